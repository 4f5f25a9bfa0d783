//! One of the servers that are compared: its program, its home, and its process while it runs.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use registry_proto::etcdserverpb::RangeRequest;
use registry_proto::etcdserverpb::kv_client::KvClient;

use super::disk::DiskUsage;
use super::plan::Plan;
use crate::BenchError;
use crate::channel::{Connection, Endpoint};
use crate::home::Home;
use crate::keys::Keys;
use crate::load::Amount;
use crate::process::{Program, ServerProcess};

/// A server with its data, which stay from start to start.
#[derive(Debug)]
pub(super) struct Subject<'a> {
    program: &'a Program,
    home: Arc<Home>,
    process: Option<ServerProcess>,
}

impl<'a> Subject<'a> {
    /// A server that has no data and does not run yet.
    pub(super) fn new(program: &'a Program, data_root: &Path) -> Result<Self, BenchError> {
        Ok(Self { program, home: Home::new(data_root)?, process: None })
    }

    pub(super) fn name(&self) -> &'a str {
        &self.program.name
    }

    pub(super) fn endpoint(&self) -> Result<Endpoint, BenchError> {
        Endpoint::parse(self.home.url())
    }

    /// Starts it on what data it has.
    pub(super) async fn start(&mut self, limit: Duration) -> Result<&ServerProcess, BenchError> {
        // Two processes on one directory would be a fault of the caller's; the old one would be killed here.
        self.process = None;
        let process = ServerProcess::start_in(self.program, &self.home, limit).await?;
        Ok(self.process.insert(process))
    }

    /// The process, which must run.
    pub(super) fn process(&self) -> Result<&ServerProcess, BenchError> {
        self.process.as_ref().ok_or_else(|| self.not_running())
    }

    /// Ends it in order, and says how long that took.
    pub(super) async fn stop(&mut self, limit: Duration) -> Result<Duration, BenchError> {
        let process = self.process.take().ok_or_else(|| self.not_running())?;
        process.stop_within(limit).await
    }

    /// Ends it as a crash does.
    pub(super) fn crash(&mut self) -> Result<(), BenchError> {
        let process = self.process.take().ok_or_else(|| self.not_running())?;
        process.kill();
        Ok(())
    }

    pub(super) fn disk_usage(&self) -> Result<DiskUsage, BenchError> {
        DiskUsage::of(&self.home.data()).map_err(BenchError::system("the size of the data directory"))
    }

    /// The store's revision now.
    pub(super) async fn revision(&self) -> Result<i64, BenchError> {
        let read = RangeRequest { key: "revision".into(), ..RangeRequest::default() };
        Ok(self.read(read).await?.0)
    }

    /// Checks that all keys are there and the store is at `revision`: a server that starts fast without its
    /// data has not started.
    pub(super) async fn check(&self, plan: &Plan, revision: i64) -> Result<(), BenchError> {
        let keys = Keys::new(&plan.load(Amount::Ops(1)));
        let all = RangeRequest {
            key: keys.key(0),
            range_end: keys.key(plan.key_space),
            count_only: true,
            ..RangeRequest::default()
        };
        let (at, count) = self.read(all).await?;
        if (at, count) == (revision, i64::try_from(plan.key_space).unwrap_or(i64::MAX)) {
            return Ok(());
        }
        let wanted = format!("{} keys at revision {revision}", plan.key_space);
        let what = format!("{} has {count} keys at revision {at} instead of {wanted}", self.name());
        Err(BenchError::answer("checking the data", what))
    }

    /// The store's revision and the number of keys in the range.
    async fn read(&self, request: RangeRequest) -> Result<(i64, i64), BenchError> {
        let endpoint = self.endpoint()?;
        let mut kv = KvClient::with_origin(Connection::open(&endpoint).await?, endpoint.origin());
        let answer = kv.range(request).await.map_err(BenchError::operation("range"))?.into_inner();
        let header = answer.header.ok_or_else(|| BenchError::answer("range", "an answer without a header"))?;
        Ok((header.revision, answer.count))
    }

    fn not_running(&self) -> BenchError {
        BenchError::Load(format!("{} does not run", self.name()))
    }
}
