//! `elect`.

use clap::Args as ClapArgs;
use registry_proto::v3electionpb::election_client::ElectionClient;
use registry_proto::v3electionpb::{CampaignRequest, LeaderRequest};

use super::session::Session;
use crate::connect;
use crate::error::CtlError;
use crate::global::Global;
use crate::output::{data, say};

const EXAMPLES: &str = "\
Examples:
  registryctl elect scheduler host-1
  registryctl elect -l scheduler";

/// Stands for an election and leads until this program is ended, or tells who leads.
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Elect {
    /// What it is about.
    name: String,
    /// What others are told of the leader.
    #[arg(required_unless_present = "listen")]
    proposal: Option<String>,
    /// Do not stand: tell each leader.
    #[arg(short, long, conflicts_with = "proposal")]
    listen: bool,
    /// How long, in seconds, it leads after this program was killed.
    #[arg(long, default_value_t = 60)]
    ttl: i64,
}

impl Elect {
    pub(crate) async fn run(&self, global: &Global) -> Result<(), CtlError> {
        let connection = connect::any(global).await?;
        let mut client = ElectionClient::new(connection.clone());
        let Some(proposal) = &self.proposal else {
            let mut leaders = client.observe(LeaderRequest { name: data(&self.name) }).await?.into_inner();
            while let Some(leader) = leaders.message().await? {
                if let Some(kv) = leader.kv {
                    say(&format!("{}\n{}", String::from_utf8_lossy(&kv.key), String::from_utf8_lossy(&kv.value)))?;
                }
            }
            return Err(CtlError::Answer("the server ended the stream".to_owned()));
        };
        let session = Session::begin(connection, self.ttl).await?;
        let request = CampaignRequest { name: data(&self.name), lease: session.lease, value: data(proposal) };
        let led = session.hold(async {
            let answer = client.campaign(request).await?.into_inner();
            let key = answer.leader.map(|leader| String::from_utf8_lossy(&leader.key).into_owned()).unwrap_or_default();
            say(&format!("{key}\n{proposal}"))?;
            std::future::pending::<Result<(), CtlError>>().await
        });
        led.await.map(drop)
    }
}
