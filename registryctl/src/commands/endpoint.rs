//! `endpoint`: each endpoint is asked by itself, and one that does not answer keeps the others' answers from nobody.

use std::pin::pin;

use clap::{Args as ClapArgs, Subcommand};
use futures_util::StreamExt as _;
use futures_util::stream;
use registry_proto::etcdserverpb::kv_client::KvClient;
use registry_proto::etcdserverpb::maintenance_client::MaintenanceClient;
use registry_proto::etcdserverpb::{HashKvRequest, HashKvResponse, RangeRequest, StatusRequest, StatusResponse};
use tokio::time::Instant;
use tonic::Code;

use super::{member, within};
use crate::connect;
use crate::error::CtlError;
use crate::global::Global;
use crate::output::{Answer, Text, json, print, string_of, tell};

/// Endpoints that are asked at a time.
const AT_ONCE: usize = 64;

const EXAMPLES: &str = "\
Examples:
  registryctl endpoint health --cluster
  registryctl endpoint status -w table
  registryctl endpoint hashkv --rev 1234";

/// Looks at each endpoint.
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Endpoint {
    #[command(subcommand)]
    look: Look,
    /// At all members' endpoints, instead of those that are given.
    #[arg(long, global = true)]
    cluster: bool,
}

#[derive(Debug, Subcommand)]
enum Look {
    /// Whether each commits a proposal.
    Health,
    /// Version, sizes, leader and progress of each.
    Status,
    /// A hash of each one's keys and their history.
    Hashkv {
        /// Up to this revision; 0 for the newest.
        #[arg(long, default_value_t = 0)]
        rev: i64,
    },
}

impl Endpoint {
    pub(crate) async fn run(&self, global: &Global) -> Result<(), CtlError> {
        let endpoints = if self.cluster { members(global).await? } else { global.endpoints.clone() };
        match self.look {
            Look::Health => health(global, &endpoints).await,
            Look::Status => statuses(global, &endpoints).await,
            Look::Hashkv { rev } => hashes(global, &endpoints, rev).await,
        }
    }
}

pub(super) async fn members(global: &Global) -> Result<Vec<String>, CtlError> {
    let members = member::list(connect::any(global).await?).await?.members;
    Ok(members.into_iter().flat_map(|member| member.client_ur_ls).collect())
}

async fn health(global: &Global, endpoints: &[String]) -> Result<(), CtlError> {
    let ask = async |endpoint: &String| {
        let began = Instant::now();
        let asked = within_alone(global, endpoint, async {
            let mut client = KvClient::new(connect::to(global, endpoint).await?);
            let request = RangeRequest { key: "health".into(), ..RangeRequest::default() };
            match client.range(request).await {
                // Who may not read has an answer all the same, and it took a quorum.
                Err(status) if status.code() != Code::PermissionDenied => Err(status.into()),
                _ => Ok(()),
            }
        });
        let error = asked.await.err().map(|error| error.to_string());
        Health { endpoint: endpoint.clone(), error, took: format!("{:?}", began.elapsed()) }
    };
    let rows: Vec<_> = stream::iter(endpoints).map(ask).buffered(AT_ONCE).collect().await;
    let is_healthy = rows.iter().all(|row| row.error.is_none());
    print(global, &Healths(rows))?;
    if is_healthy { Ok(()) } else { Err(CtlError::Unhealthy("unhealthy cluster")) }
}

struct Health {
    endpoint: String,
    error: Option<String>,
    took: String,
}

struct Healths(Vec<Health>);

impl Answer for Healths {
    fn simple(&self, text: &mut Text) {
        for Health { endpoint, error, took } in &self.0 {
            text.row(&match error {
                None => format!("{endpoint} is healthy: successfully committed proposal: took = {took}"),
                Some(error) => format!("{endpoint} is unhealthy: failed to commit proposal: {error}"),
            });
        }
    }

    fn fields(&self, text: &mut Text) {
        for Health { endpoint, error, took } in &self.0 {
            text.field("Health", error.is_none());
            text.quoted("Endpoint", endpoint.as_bytes());
            text.quoted("Took", took.as_bytes());
            text.quoted("Error", error.as_deref().unwrap_or_default().as_bytes());
        }
    }

    fn json(&self) -> Result<String, CtlError> {
        let line = |Health { endpoint, error, took }: &Health| {
            let error = error.as_ref().map(|error| format!(",\"error\":{}", string_of(error))).unwrap_or_default();
            let (endpoint, is_healthy, took) = (string_of(endpoint), error.is_empty(), string_of(took));
            format!("{{\"endpoint\":{endpoint},\"health\":{is_healthy},\"took\":{took}{error}}}")
        };
        Ok(format!("[{}]", self.0.iter().map(line).collect::<Vec<_>>().join(",")))
    }

    fn rows(&self) -> Option<(Vec<&'static str>, Vec<Vec<String>>)> {
        let cells = |row: &Health| {
            let (is_healthy, error) = (row.error.is_none().to_string(), row.error.clone().unwrap_or_default());
            vec![row.endpoint.clone(), is_healthy, row.took.clone(), error]
        };
        Some((vec!["ENDPOINT", "HEALTH", "TOOK", "ERROR"], self.0.iter().map(cells).collect()))
    }
}

/// Bounds what one endpoint is asked: however many others there are, only its own dialling counts.
async fn within_alone<T>(
    global: &Global,
    endpoint: &str,
    work: impl Future<Output = Result<T, CtlError>>,
) -> Result<T, CtlError> {
    within(&Global { endpoints: vec![endpoint.to_owned()], ..global.clone() }, work).await
}

/// The answers that came, in the endpoints' order; `at_once` are asked at a time. What did not is told on standard error, and fails the command when all is printed.
pub(super) async fn each<T>(
    endpoints: &[String],
    what: &'static str,
    at_once: usize,
    ask: impl AsyncFn(&str) -> Result<T, CtlError>,
) -> (Vec<(String, T)>, Result<(), CtlError>) {
    let (mut answers, mut result) = (Vec::new(), Ok(()));
    let mut asked =
        pin!(stream::iter(endpoints).map(async |endpoint| (endpoint, ask(endpoint).await)).buffered(at_once));
    while let Some((endpoint, answer)) = asked.next().await {
        match answer {
            Ok(answer) => answers.push((endpoint.clone(), answer)),
            Err(error) => {
                tell(&format!("Failed to get the {what} of endpoint {endpoint} ({error})"));
                result = Err(CtlError::Unhealthy("not every endpoint has answered"));
            }
        }
    }
    (answers, result)
}

async fn statuses(global: &Global, endpoints: &[String]) -> Result<(), CtlError> {
    let (answers, result) = each(endpoints, "status", AT_ONCE, async |endpoint| {
        within_alone(global, endpoint, async {
            let mut client = MaintenanceClient::new(connect::to(global, endpoint).await?);
            Ok(client.status(StatusRequest {}).await?.into_inner())
        })
        .await
    })
    .await;
    print(global, &Statuses(answers))?;
    result
}

struct Statuses(Vec<(String, StatusResponse)>);

impl Statuses {
    fn cells(&self) -> Vec<Vec<String>> {
        let cells = |(endpoint, status): &(String, StatusResponse)| {
            let member = status.header.as_ref().map_or(0, |header| header.member_id);
            vec![
                endpoint.clone(),
                format!("{member:x}"),
                status.version.clone(),
                human(status.db_size),
                (status.leader == member).to_string(),
                status.is_learner.to_string(),
                status.raft_term.to_string(),
                status.raft_index.to_string(),
                status.raft_applied_index.to_string(),
                status.errors.join(", "),
            ]
        };
        self.0.iter().map(cells).collect()
    }
}

impl Answer for Statuses {
    fn simple(&self, text: &mut Text) {
        self.cells().iter().for_each(|row| text.line(row.join(", ")));
    }

    fn fields(&self, text: &mut Text) {
        for (endpoint, status) in &self.0 {
            text.header(status.header.as_ref());
            text.quoted("Version", status.version.as_bytes());
            text.field("DBSize", status.db_size);
            text.field("DBSizeInUse", status.db_size_in_use);
            text.field("Leader", status.leader);
            text.field("IsLearner", status.is_learner);
            text.field("RaftIndex", status.raft_index);
            text.field("RaftTerm", status.raft_term);
            text.field("RaftAppliedIndex", status.raft_applied_index);
            text.quoted("Errors", status.errors.join(", ").as_bytes());
            text.quoted("Endpoint", endpoint.as_bytes());
            text.line("");
        }
    }

    fn json(&self) -> Result<String, CtlError> {
        let one = |(endpoint, status): &(String, StatusResponse)| {
            let status = json(status, "etcdserverpb.StatusResponse")?;
            Ok(format!("{{\"Endpoint\":{},\"Status\":{status}}}", string_of(endpoint)))
        };
        Ok(format!("[{}]", self.0.iter().map(one).collect::<Result<Vec<_>, CtlError>>()?.join(",")))
    }

    fn rows(&self) -> Option<(Vec<&'static str>, Vec<Vec<String>>)> {
        let head = vec![
            "ENDPOINT",
            "ID",
            "VERSION",
            "DB SIZE",
            "IS LEADER",
            "IS LEARNER",
            "RAFT TERM",
            "RAFT INDEX",
            "RAFT APPLIED INDEX",
            "ERRORS",
        ];
        Some((head, self.cells()))
    }
}

async fn hashes(global: &Global, endpoints: &[String], revision: i64) -> Result<(), CtlError> {
    let (answers, result) = each(endpoints, "hash", AT_ONCE, async |endpoint| {
        within_alone(global, endpoint, async {
            let mut client = MaintenanceClient::new(connect::to(global, endpoint).await?);
            Ok(client.hash_kv(HashKvRequest { revision }).await?.into_inner())
        })
        .await
    })
    .await;
    print(global, &Hashes(answers))?;
    result
}

struct Hashes(Vec<(String, HashKvResponse)>);

impl Answer for Hashes {
    fn simple(&self, text: &mut Text) {
        self.0.iter().for_each(|(endpoint, answer)| text.line(format!("{endpoint}, {}", answer.hash)));
    }

    fn fields(&self, text: &mut Text) {
        for (endpoint, answer) in &self.0 {
            text.header(answer.header.as_ref());
            text.quoted("Endpoint", endpoint.as_bytes());
            text.field("Hash", answer.hash);
            text.field("HashRevision", answer.hash_revision);
            text.line("");
        }
    }

    fn json(&self) -> Result<String, CtlError> {
        let one = |(endpoint, answer): &(String, HashKvResponse)| {
            let answer = json(answer, "etcdserverpb.HashKVResponse")?;
            Ok(format!("{{\"Endpoint\":{},\"HashKV\":{answer}}}", string_of(endpoint)))
        };
        Ok(format!("[{}]", self.0.iter().map(one).collect::<Result<Vec<_>, CtlError>>()?.join(",")))
    }

    fn rows(&self) -> Option<(Vec<&'static str>, Vec<Vec<String>>)> {
        let cells = |(endpoint, answer): &(String, HashKvResponse)| {
            vec![endpoint.clone(), answer.hash.to_string(), answer.hash_revision.to_string()]
        };
        Some((vec!["ENDPOINT", "HASH", "HASH REVISION"], self.0.iter().map(cells).collect()))
    }
}

/// Bytes as etcdctl writes them: two digits below ten, powers of 1,000.
pub(super) fn human(bytes: i64) -> String {
    let mut size = bytes.max(0) as f64;
    let mut unit = "B";
    for larger in ["kB", "MB", "GB", "TB", "PB"] {
        if size < 1_000.0 {
            break;
        }
        (size, unit) = (size / 1_000.0, larger);
    }
    if unit != "B" && size < 9.95 { format!("{size:.1} {unit}") } else { format!("{size:.0} {unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_etcdctl() {
        let told = [0, 999, 1_000, 20_480, 9_960, 25_000_000, 2_147_483_648].map(human);
        assert_eq!(told, ["0 B", "999 B", "1.0 kB", "20 kB", "10 kB", "25 MB", "2.1 GB"]);
    }
}
