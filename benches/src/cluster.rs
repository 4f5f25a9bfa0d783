//! The processes of one server: one alone, or the members of a cluster on loopback.
//!
//! All are started with the same flags but their names and ports. The member that leads when all serve is the first, so
//! that what has one connection only always goes to the same kind of member.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use registry_proto::etcdserverpb::StatusRequest;
use registry_proto::etcdserverpb::maintenance_client::MaintenanceClient;
use tokio::time::{Instant, sleep};

use crate::BenchError;
use crate::channel::{Connection, Endpoint};
use crate::home::Home;
use crate::process::{Program, START_LIMIT, ServerProcess};

const POLL_EVERY: Duration = Duration::from_millis(20);
/// Longer than any election at default timings takes.
const LEADER_LIMIT: Duration = Duration::from_secs(20);

/// Members that serve.
#[derive(Debug)]
pub struct Cluster {
    members: Vec<ServerProcess>,
}

impl Cluster {
    /// Starts so many members on empty data directories below `parent`, and waits until each answers a linearizable
    /// read.
    ///
    /// # Errors
    /// When one cannot be started or does not answer, with the end of its log; or when they have no leader.
    pub async fn start(program: &Program, nodes: usize, parent: &Path) -> Result<Self, BenchError> {
        Self::start_in(program, &Home::cluster(parent, nodes)?, START_LIMIT).await
    }

    /// Starts members on what earlier ones have left in their homes, if anything.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub(crate) async fn start_in(program: &Program, homes: &[Arc<Home>], limit: Duration) -> Result<Self, BenchError> {
        let began = Instant::now();
        let launched = homes.iter().map(|home| ServerProcess::launch(program, home));
        let mut members = launched.collect::<Result<Vec<_>, _>>()?;
        try_join_all(members.iter_mut().map(|member| member.wait_until_it_serves(began, limit))).await?;
        let mut cluster = Self { members };
        let leader = cluster.leader().await?;
        cluster.members.swap(0, leader);
        Ok(cluster)
    }

    /// Its processes, the one that led when all served first.
    #[must_use]
    pub fn members(&self) -> &[ServerProcess] {
        &self.members
    }

    /// Where each serves clients.
    #[must_use]
    pub fn urls(&self) -> Vec<&str> {
        self.members.iter().map(ServerProcess::url).collect()
    }

    /// The place of the member that leads now.
    ///
    /// # Errors
    /// When they name no leader for long.
    pub async fn leader(&self) -> Result<usize, BenchError> {
        let began = Instant::now();
        while began.elapsed() < LEADER_LIMIT {
            for (place, member) in self.members.iter().enumerate() {
                if leads(member.url()).await? {
                    return Ok(place);
                }
            }
            sleep(POLL_EVERY).await;
        }
        Err(BenchError::answer("status", format!("no member leads after {LEADER_LIMIT:?}")))
    }

    /// Ends all members in order; those that take long, in any case.
    ///
    /// # Errors
    /// When the system does not let one be ended.
    pub async fn stop(self) -> Result<(), BenchError> {
        try_join_all(self.members.into_iter().map(ServerProcess::stop)).await.map(drop)
    }
}

/// Whether the member says that it leads.
async fn leads(url: &str) -> Result<bool, BenchError> {
    let endpoint = Endpoint::parse(url)?;
    let mut stub = MaintenanceClient::with_origin(Connection::open(&endpoint).await?, endpoint.origin());
    let status = stub.status(StatusRequest {}).await.map_err(BenchError::operation("status"))?.into_inner();
    Ok(status.leader != 0 && status.header.is_some_and(|header| header.member_id == status.leader))
}
