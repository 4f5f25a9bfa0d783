//! One look at everything that is shown: figures of all members, and what one of them tells of the cluster.

use std::collections::BTreeMap;

use bytes::Bytes;
use registry_proto::etcdserverpb::cluster_client::ClusterClient;
use registry_proto::etcdserverpb::kv_client::KvClient;
use registry_proto::etcdserverpb::lease_client::LeaseClient;
use registry_proto::etcdserverpb::maintenance_client::MaintenanceClient;
use registry_proto::etcdserverpb::{
    LeaseLeasesRequest, Member, MemberListRequest, RangeRequest, StatusRequest, StatusResponse,
};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tonic::Status;

use super::services::{SERVICES, add};
use crate::connect::{self, Connection};
use crate::error::CtlError;
use crate::global::Global;
use crate::http::figures::Figures;
use crate::http::{Session, Target};

/// Keys of one request.
const PAGE: i64 = 10_000;
/// Members beyond this are not asked.
const MAX_MEMBERS: usize = 64;

/// What was seen at one moment.
#[derive(Debug)]
pub(super) struct Sample {
    pub(super) taken: Instant,
    pub(super) members: Vec<Seen>,
    /// Instances by service; why not, if they may not be read.
    pub(super) services: Result<BTreeMap<String, usize>, String>,
    pub(super) leases: Result<usize, String>,
}

/// One member.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) endpoint: String,
    /// As the member list has it.
    pub(super) name: String,
    pub(super) status: Result<StatusResponse, String>,
    /// None if it does not tell any there.
    pub(super) figures: Option<Figures>,
}

/// Connections that are kept from one look to the next, so that nobody logs in every two seconds.
#[derive(Debug, Default)]
pub(super) struct Watched {
    by_endpoint: BTreeMap<String, Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    connection: Option<Connection>,
    session: Option<Session>,
}

impl Watched {
    /// Looks at the endpoints that were given, and at the members that are not among them.
    ///
    /// # Errors
    /// If none of those that were given answers.
    pub(super) async fn look(&mut self, global: &Global, prefix: &str) -> Result<Sample, CtlError> {
        let mut seen = self.all(global, global.endpoints.clone()).await;
        let answering = seen.iter().find(|one| one.status.is_ok()).map(|one| one.endpoint.clone());
        let Some(endpoint) = answering else {
            let reasons: Vec<_> = seen.iter().filter_map(|one| one.status.as_ref().err().cloned()).collect();
            return Err(CtlError::Unreachable(reasons.join("; ")));
        };
        let kept = self.by_endpoint.get(&endpoint).and_then(|kept| kept.connection.clone());
        let connection = kept.ok_or_else(|| CtlError::Unreachable(endpoint))?;
        let members = members(global, &connection).await;
        let (others, services, leases) = tokio::join!(
            self.all(global, elsewhere(&members, &seen)),
            services(global, &connection, prefix),
            leases(global, &connection),
        );
        seen.extend(others);
        for one in &mut seen {
            let of = members.iter().find(|member| is_of(one, member));
            one.name = of.map(|member| member.name.clone()).unwrap_or_default();
        }
        Ok(Sample { taken: Instant::now(), members: seen, services, leases })
    }

    /// At all of them at once, in their order.
    async fn all(&mut self, global: &Global, endpoints: Vec<String>) -> Vec<Seen> {
        let mut looking = JoinSet::new();
        for (at, endpoint) in endpoints.into_iter().take(MAX_MEMBERS).enumerate() {
            let (global, kept) = (global.clone(), self.by_endpoint.remove(&endpoint).unwrap_or_default());
            looking.spawn(async move { (at, one(&global, endpoint, kept).await) });
        }
        let mut looks = looking.join_all().await;
        looks.sort_by_key(|(at, _)| *at);
        let keep = |(_, (seen, kept)): (usize, (Seen, Kept))| {
            self.by_endpoint.insert(seen.endpoint.clone(), kept);
            seen
        };
        looks.into_iter().map(keep).collect()
    }
}

/// What failed is not kept.
async fn one(global: &Global, endpoint: String, kept: Kept) -> (Seen, Kept) {
    let inside = async {
        let connection = match kept.connection {
            Some(connection) => connection,
            None => connect::to(global, &endpoint).await?,
        };
        let status = MaintenanceClient::new(connection.clone()).status(StatusRequest {}).await?.into_inner();
        Ok::<_, CtlError>((connection, status))
    };
    let (inside, outside) =
        tokio::join!(bounded(global, inside), bounded(global, figures(global, &endpoint, kept.session)));
    let (connection, status) = match inside {
        Ok((connection, status)) => (Some(connection), Ok(status)),
        Err(error) => (None, Err(error.to_string())),
    };
    let (session, figures) = outside.ok().unzip();
    let seen = Seen { endpoint, name: String::new(), status, figures };
    (seen, Kept { connection, session })
}

async fn figures(global: &Global, endpoint: &str, session: Option<Session>) -> Result<(Session, Figures), CtlError> {
    let unread = |error: &dyn std::fmt::Display| CtlError::Answer(error.to_string());
    let target = Target::of(global, endpoint).ok_or_else(|| unread(&"it has no host and port"))?;
    let mut session = match session {
        Some(session) => session,
        None => Session::open(global, &target).await.map_err(|error| unread(&error))?,
    };
    let page = session.get("/metrics").await.map_err(|error| unread(&error))?;
    if page.status == 200 { Ok((session, Figures::read(&page.text()))) } else { Err(unread(&page.status)) }
}

async fn bounded<T>(global: &Global, work: impl Future<Output = Result<T, CtlError>>) -> Result<T, CtlError> {
    let limit = global.dial_timeout.saturating_add(global.command_timeout);
    timeout(limit, work).await.unwrap_or_else(|_| Err(Status::deadline_exceeded("").into()))
}

/// As this member knows them; none if it does not tell.
async fn members(global: &Global, connection: &Connection) -> Vec<Member> {
    let mut client = ClusterClient::new(connection.clone());
    let asked = async { Ok(client.member_list(MemberListRequest { linearizable: false }).await?.into_inner()) };
    bounded(global, asked).await.map(|answer| answer.members).unwrap_or_default()
}

fn is_of(seen: &Seen, member: &Member) -> bool {
    let id = seen.status.as_ref().ok().and_then(|status| Some(status.header.as_ref()?.member_id));
    let place = Target::of_url(&seen.endpoint, false);
    let is_at = || place.is_some_and(|place| member.client_ur_ls.iter().any(|url| place.is_url(url)));
    id.map_or_else(is_at, |id| id == member.id)
}

/// Where the members are that were not seen.
fn elsewhere(members: &[Member], seen: &[Seen]) -> Vec<String> {
    let is_seen = |member: &&Member| seen.iter().any(|one| is_of(one, member));
    members.iter().filter(|member| !is_seen(member)).filter_map(|member| member.client_ur_ls.first().cloned()).collect()
}

async fn services(global: &Global, connection: &Connection, prefix: &str) -> Result<BTreeMap<String, usize>, String> {
    let mut client = KvClient::new(connection.clone()).max_decoding_message_size(usize::MAX);
    let begin = format!("{prefix}{SERVICES}");
    // The slash at its end is followed by this.
    let range_end = Bytes::from(format!("{}0", begin.trim_end_matches('/')));
    let (mut counts, mut key) = (BTreeMap::new(), Bytes::from(begin.clone()));
    loop {
        let request = RangeRequest {
            key: key.clone(),
            range_end: range_end.clone(),
            keys_only: true,
            limit: PAGE,
            serializable: true,
            ..RangeRequest::default()
        };
        let asked = async { Ok(client.range(request).await?.into_inner()) };
        let answer = bounded(global, asked).await.map_err(|error| error.to_string())?;
        let kvs = answer.kvs.into_messages().map_err(|error| error.to_string())?;
        kvs.iter().for_each(|kv| add(&mut counts, &begin, &kv.key));
        match kvs.last().filter(|_| answer.more) {
            // The next key there can be.
            Some(last) => key = [&last.key[..], &[0]].concat().into(),
            None => return Ok(counts),
        }
    }
}

async fn leases(global: &Global, connection: &Connection) -> Result<usize, String> {
    let mut client = LeaseClient::new(connection.clone()).max_decoding_message_size(usize::MAX);
    let asked = async { Ok(client.lease_leases(LeaseLeasesRequest {}).await?.into_inner()) };
    bounded(global, asked).await.map(|answer| answer.leases.len()).map_err(|error| error.to_string())
}
