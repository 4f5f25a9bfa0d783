//! One of several candidates leads: elected through the registry, and handed over when the process is told to end.
//!
//! Run it several times. Whoever has campaigned first leads for as long as its lease lives; the others wait. A leader
//! that is told to end resigns, and the next one leads at once; one that crashes is followed when its lease has
//! expired. Leadership is what the registry says, so a leader stops by its own clock when it could not renew the
//! lease in time, and what it writes elsewhere should carry the fencing number, which grows with each leader.
#![expect(clippy::print_stdout, reason = "the program's output")]

use std::pin::Pin;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use registry_client::shutdown_signal;
use registry_examples::{BoxError, exit_code};
use registry_proto::etcdserverpb::lease_client::LeaseClient;
use registry_proto::etcdserverpb::{
    LeaseGrantRequest, LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseRevokeRequest,
};
use registry_proto::v3electionpb::election_client::ElectionClient;
use registry_proto::v3electionpb::{CampaignRequest, ResignRequest};
use tokio::time::{Instant, sleep, timeout_at};
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

/// Before anything is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// Campaigns until Ctrl-C or SIGTERM.
///
/// It says when it leads, when it has lost that, and when it has handed over.
#[derive(Parser)]
#[command(after_help = "Examples:\n  leader_election --name billing --id a\n  \
    leader_election --name billing --id b --ttl 5")]
struct Args {
    /// Endpoints of the registry, separated by commas.
    #[arg(long, env = "REGISTRY", value_delimiter = ',', default_value = "http://127.0.0.1:2379")]
    registry: Vec<String>,

    /// What is led: candidates of one name are each other's rivals.
    #[arg(long, default_value = "leader")]
    name: String,

    /// Who this candidate is, for whoever looks.
    #[arg(long)]
    id: String,

    /// How long a leader that crashed stays elected, in seconds.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(i64).range(2..))]
    ttl: i64,
}

/// How a candidacy ended.
enum Ended {
    /// The process is to end.
    Told,
    /// The lease could not be renewed, so that somebody else may lead.
    Lost,
}

fn main() -> ExitCode {
    exit_code(run(&Args::parse()))
}

#[tokio::main(flavor = "current_thread")]
async fn run(args: &Args) -> Result<(), BoxError> {
    let endpoints: Vec<Endpoint> = args.registry.iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
    let channel = Channel::balance_list(endpoints.into_iter());
    let mut told_to_end = std::pin::pin!(shutdown_signal());
    loop {
        let ended = tokio::select! {
            () = &mut told_to_end => return Ok(()),
            candidacy = Candidacy::begin(channel.clone(), args.ttl) => match candidacy {
                Ok(candidacy) => candidacy.hold(args, told_to_end.as_mut()).await,
                Err(error) => Err(error),
            },
        };
        match ended {
            Ok(Ended::Told) => return Ok(()),
            Ok(Ended::Lost) => println!("{} has lost its lease", args.id),
            Err(error) => println!("{} tries again: {error}", args.id),
        }
        sleep(PAUSE).await;
    }
}

/// A lease, under which this process is a candidate and perhaps the leader.
struct Candidacy {
    channel: Channel,
    lease: i64,
    ttl: Duration,
    /// By this process's clock, counted from when it was asked for.
    expires_at: Instant,
}

impl Candidacy {
    async fn begin(channel: Channel, ttl: i64) -> Result<Self, BoxError> {
        let asked_at = Instant::now();
        let granted = LeaseClient::new(channel.clone()).lease_grant(LeaseGrantRequest { ttl, id: 0 }).await?;
        let granted = granted.into_inner();
        let ttl = seconds(granted.ttl);
        Ok(Self { channel, lease: granted.id, ttl, expires_at: asked_at + ttl })
    }

    /// Waits to be elected and leads, until the lease is lost or the process is told to end. The lease, and with it the
    /// candidate's key, is given back however it ends.
    async fn hold(self, args: &Args, told_to_end: Pin<&mut impl Future<Output = ()>>) -> Result<Ended, BoxError> {
        let ended = tokio::select! {
            () = self.renew() => Ok(Ended::Lost),
            ended = self.campaign_and_lead(args, told_to_end) => ended.map(|()| Ended::Told),
        };
        LeaseClient::new(self.channel.clone()).lease_revoke(LeaseRevokeRequest { id: self.lease }).await?;
        ended
    }

    async fn campaign_and_lead(
        &self,
        args: &Args,
        mut told_to_end: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<(), BoxError> {
        let mut elections = ElectionClient::new(self.channel.clone());
        let (name, value) = (args.name.clone().into(), args.id.clone().into());
        let elected = tokio::select! {
            () = &mut told_to_end => return Ok(()),
            elected = elections.campaign(CampaignRequest { name, lease: self.lease, value }) => elected?.into_inner(),
        };
        let leader = elected.leader.ok_or("the registry names no key")?;
        println!("{} leads with the fencing number {}", args.id, leader.rev);
        // Here the leader's work is done; it ends when `hold` does.
        told_to_end.await;
        elections.resign(ResignRequest { leader: Some(leader) }).await?;
        println!("{} has handed over", args.id);
        Ok(())
    }

    /// Keeps the lease alive; returns when it may have expired.
    async fn renew(&self) {
        let mut expires_at = self.expires_at;
        while let Ok(Some(renewed_until)) = timeout_at(expires_at, self.renew_once()).await {
            expires_at = renewed_until;
            sleep(self.ttl / 3).await;
        }
    }

    /// Asks until there is an answer; none when the lease is gone.
    async fn renew_once(&self) -> Option<Instant> {
        loop {
            let asked_at = Instant::now();
            match self.ask().await {
                Ok(Some(answer)) if answer.ttl > 0 => return Some(asked_at + seconds(answer.ttl)),
                Ok(Some(_)) => return None,
                Ok(None) | Err(_) => sleep(PAUSE.min(self.ttl / 10)).await,
            }
        }
    }

    async fn ask(&self) -> Result<Option<LeaseKeepAliveResponse>, Status> {
        let request = tokio_stream::once(LeaseKeepAliveRequest { id: self.lease });
        LeaseClient::new(self.channel.clone()).lease_keep_alive(request).await?.into_inner().message().await
    }
}

fn seconds(ttl: i64) -> Duration {
    Duration::from_secs(u64::try_from(ttl).unwrap_or(0))
}
