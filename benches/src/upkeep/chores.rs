//! The chores, each a call of its own connection.

use std::time::Duration;

use registry_proto::etcdserverpb::kv_client::KvClient;
use registry_proto::etcdserverpb::maintenance_client::MaintenanceClient;
use registry_proto::etcdserverpb::{CompactionRequest, DefragmentRequest, RangeRequest, SnapshotRequest};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use crate::BenchError;
use crate::channel::{Connection, Endpoint};

/// What is done beside the puts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Chore {
    /// Maintenance.Defragment.
    Defragment,
    /// KV.Compact up to the current revision, `physical`.
    Compact,
    /// Maintenance.Snapshot, read to its end and thrown away.
    Snapshot,
}

/// How often a chore was done in a phase.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Done {
    /// Times it was done.
    pub times: u32,
    /// How long all of them took, in seconds.
    pub seconds: f64,
    /// What a snapshot sent, all in all.
    pub bytes: u64,
}

/// A connection for chores.
pub(super) struct Chores {
    kv: KvClient<Connection>,
    maintenance: MaintenanceClient<Connection>,
}

impl Chores {
    pub(super) async fn open(endpoint: &str) -> Result<Self, BenchError> {
        let endpoint = Endpoint::parse(endpoint)?;
        let connection = Connection::open(&endpoint).await?;
        let kv = KvClient::with_origin(connection.clone(), endpoint.origin());
        Ok(Self { kv, maintenance: MaintenanceClient::with_origin(connection, endpoint.origin()) })
    }

    /// Does a chore over and over, with pauses, until none may begin any more.
    pub(super) async fn repeat(
        &self,
        chore: Option<Chore>,
        time: Duration,
        pause: Duration,
    ) -> Result<Done, BenchError> {
        let mut done = Done::default();
        let Some(chore) = chore else { return Ok(done) };
        let until = Instant::now() + time;
        while Instant::now() < until {
            let begun = Instant::now();
            done.bytes += self.once(chore).await?;
            done.times += 1;
            done.seconds += begun.elapsed().as_secs_f64();
            sleep(pause.min(until.saturating_duration_since(Instant::now()))).await;
        }
        Ok(done)
    }

    /// Bytes that came of it.
    pub(super) async fn once(&self, chore: Chore) -> Result<u64, BenchError> {
        let (mut kv, mut maintenance) = (self.kv.clone(), self.maintenance.clone());
        match chore {
            Chore::Defragment => {
                maintenance.defragment(DefragmentRequest {}).await.map_err(BenchError::operation("defragment"))?;
                Ok(0)
            }
            Chore::Compact => {
                let read = RangeRequest { key: "x".into(), ..RangeRequest::default() };
                let answer = kv.range(read).await.map_err(BenchError::operation("range"))?.into_inner();
                let revision = answer.header.map_or(0, |header| header.revision);
                let request = CompactionRequest { revision, physical: true };
                kv.compact(request).await.map_err(BenchError::operation("compact"))?;
                Ok(0)
            }
            Chore::Snapshot => {
                let failed = BenchError::operation("snapshot");
                let mut parts = maintenance.snapshot(SnapshotRequest {}).await.map_err(&failed)?.into_inner();
                let mut bytes = 0;
                while let Some(part) = parts.message().await.map_err(&failed)? {
                    bytes += part.blob.len() as u64;
                }
                Ok(bytes)
            }
        }
    }
}
