//! `member`.

use clap::Subcommand;
use registry_proto::etcdserverpb::cluster_client::ClusterClient;
use registry_proto::etcdserverpb::{
    MemberAddRequest, MemberAddResponse, MemberListRequest, MemberListResponse, MemberPromoteRequest,
    MemberRemoveRequest, MemberUpdateRequest, ResponseHeader,
};

use crate::connect::{self, Connection};
use crate::error::CtlError;
use crate::global::Global;
use crate::output::{Acknowledged, Answer, Text, encoded, json, print, string_of};

const EXAMPLES: &str = "\
Examples:
  registryctl member list -w table
  registryctl member add third --peer-urls http://10.0.0.3:2380 --learner
  registryctl member update c89feb932daef420 --peer-urls http://10.0.0.4:2380
  registryctl member promote c89feb932daef420
  registryctl member remove c89feb932daef420";

/// Tells the cluster's members, and changes who they are.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Member {
    /// Lists the members.
    List {
        /// l: as the cluster agrees on now. s: as the endpoint knows, even if it is cut off.
        #[arg(long, default_value = "l", value_parser = ["l", "s"])]
        consistency: String,
    },
    /// Makes a place for a member, which is to be started after that.
    Add {
        /// What it will be called.
        name: String,
        /// Where the others reach it.
        #[arg(long, required = true, value_delimiter = ',', value_name = "URL,...")]
        peer_urls: Vec<String>,
        /// It has no vote until it is promoted.
        #[arg(long)]
        learner: bool,
    },
    /// Takes a member out, for good.
    Remove {
        /// The member, in hexadecimal.
        #[arg(value_parser = member_id)]
        id: u64,
    },
    /// Tells the others where a member is reached from now on.
    Update {
        /// The member, in hexadecimal.
        #[arg(value_parser = member_id)]
        id: u64,
        /// Where the others reach it.
        #[arg(long, required = true, value_delimiter = ',', value_name = "URL,...")]
        peer_urls: Vec<String>,
    },
    /// Gives a learner a vote.
    Promote {
        /// The member, in hexadecimal.
        #[arg(value_parser = member_id)]
        id: u64,
    },
}

/// A member's id, in hexadecimal.
pub(super) fn member_id(text: &str) -> Result<u64, String> {
    u64::from_str_radix(text, 16).map_err(|_| "a member is named in hexadecimal, as `member list` prints it".to_owned())
}

impl Member {
    pub(crate) async fn run(&self, global: &Global) -> Result<(), CtlError> {
        let connection = connect::any(global).await?;
        let mut client = ClusterClient::new(connection.clone());
        match self {
            Self::List { consistency } => {
                let request = MemberListRequest { linearizable: consistency == "l" };
                print(global, &Members(client.member_list(request).await?.into_inner()))
            }
            Self::Add { name, peer_urls, learner } => {
                let request = MemberAddRequest { peer_ur_ls: peer_urls.clone(), is_learner: *learner };
                let answer = client.member_add(request).await?.into_inner();
                print(global, &Added { name: name.clone(), answer })
            }
            Self::Remove { id } => {
                let answer = client.member_remove(MemberRemoveRequest { id: *id }).await?.into_inner();
                let line = changed(*id, "removed from", answer.header);
                print(global, &Acknowledged::new(line, "MemberRemoveResponse", answer.header, &answer)?)
            }
            Self::Update { id, peer_urls } => {
                let request = MemberUpdateRequest { id: *id, peer_ur_ls: peer_urls.clone() };
                let answer = client.member_update(request).await?.into_inner();
                let line = changed(*id, "updated in", answer.header);
                print(global, &Acknowledged::new(line, "MemberUpdateResponse", answer.header, &answer)?)
            }
            Self::Promote { id } => {
                let answer = client.member_promote(MemberPromoteRequest { id: *id }).await?.into_inner();
                let line = changed(*id, "promoted in", answer.header);
                print(global, &Acknowledged::new(line, "MemberPromoteResponse", answer.header, &answer)?)
            }
        }
    }
}

/// As etcdctl says it.
fn changed(id: u64, what: &str, header: Option<ResponseHeader>) -> String {
    format!("Member {id:16x} {what} cluster {:16x}", header.map_or(0, |header| header.cluster_id))
}

struct Added {
    name: String,
    answer: MemberAddResponse,
}

impl Answer for Added {
    /// What the new member is to be started with follows, to be pasted.
    fn simple(&self, text: &mut Text) {
        let cluster = self.answer.header.map_or(0, |header| header.cluster_id);
        let Some(new) = &self.answer.member else { return };
        text.line(format!("Member {:16x} added to cluster {cluster:16x}\n", new.id));
        let named = |member: &registry_proto::etcdserverpb::Member| {
            let name = if member.id == new.id { &self.name } else { &member.name };
            member.peer_ur_ls.iter().map(|url| format!("{name}={url}")).collect::<Vec<_>>()
        };
        let cluster: Vec<_> = self.answer.members.iter().flat_map(named).collect();
        text.line(format!("ETCD_NAME={}", string_of(&self.name)));
        text.line(format!("ETCD_INITIAL_CLUSTER={}", string_of(&cluster.join(","))));
        text.line(format!("ETCD_INITIAL_ADVERTISE_PEER_URLS={}", string_of(&new.peer_ur_ls.join(","))));
        text.line("ETCD_INITIAL_CLUSTER_STATE=\"existing\"");
    }

    fn fields(&self, text: &mut Text) {
        text.header(self.answer.header.as_ref());
        if let Some(new) = &self.answer.member {
            text.field("MemberID", new.id);
        }
    }

    fn json(&self) -> Result<String, CtlError> {
        json(&self.answer, "etcdserverpb.MemberAddResponse")
    }

    fn protobuf(&self) -> Option<Vec<u8>> {
        encoded(&self.answer)
    }
}

/// What the cluster says of its members.
pub(super) async fn list(connection: Connection) -> Result<MemberListResponse, CtlError> {
    Ok(ClusterClient::new(connection).member_list(MemberListRequest { linearizable: true }).await?.into_inner())
}

struct Members(MemberListResponse);

impl Answer for Members {
    fn simple(&self, text: &mut Text) {
        self.cells().iter().for_each(|row| text.line(row.join(", ")));
    }

    fn fields(&self, text: &mut Text) {
        text.header(self.0.header.as_ref());
        for member in &self.0.members {
            text.field("ID", member.id);
            text.quoted("Name", member.name.as_bytes());
            member.peer_ur_ls.iter().for_each(|url| text.quoted("PeerURL", url.as_bytes()));
            member.client_ur_ls.iter().for_each(|url| text.quoted("ClientURL", url.as_bytes()));
            text.field("IsLearner", member.is_learner);
            text.line("");
        }
    }

    fn json(&self) -> Result<String, CtlError> {
        json(&self.0, "etcdserverpb.MemberListResponse")
    }

    fn protobuf(&self) -> Option<Vec<u8>> {
        encoded(&self.0)
    }

    fn rows(&self) -> Option<(Vec<&'static str>, Vec<Vec<String>>)> {
        Some((vec!["ID", "STATUS", "NAME", "PEER ADDRS", "CLIENT ADDRS", "IS LEARNER"], self.cells()))
    }
}

impl Members {
    fn cells(&self) -> Vec<Vec<String>> {
        let cells = |member: &registry_proto::etcdserverpb::Member| {
            // A member that was added and has not come yet has no name.
            let status = if member.name.is_empty() { "unstarted" } else { "started" };
            vec![
                format!("{:x}", member.id),
                status.to_owned(),
                member.name.clone(),
                member.peer_ur_ls.join(","),
                member.client_ur_ls.join(","),
                member.is_learner.to_string(),
            ]
        };
        self.0.members.iter().map(cells).collect()
    }
}
