//! Automatic compaction, at etcd's times.
//!
//! With a period, every member notes the revision ten times a period (or ten times an hour, if that is shorter), so
//! that whoever comes to lead knows what was the newest a period ago. The first compaction comes a period after the start, the
//! next ones each period or each hour. With a number of revisions, every five minutes what is older than that goes.
//!
//! Only the leader compacts. A compaction is one entry, and its work is done in slices on every member.

use std::collections::VecDeque;
use std::time::Duration;

use openraft::async_runtime::Instant as _;
use registry_proto::etcdserverpb::CompactionRequest;

use super::retention::Policy;
use crate::api::SharedBackend;
use crate::api::status::WireError;
use crate::command::Command;
use crate::storage::Vfs;
use crate::types::{Author, Revision, Runtime};

/// Longer periods are compacted this often all the same.
const LONGEST_INTERVAL: Duration = Duration::from_secs(3600);
/// Looks in an interval.
const LOOKS: u32 = 10;
/// However short the period is.
const SHORTEST_LOOK: Duration = Duration::from_millis(100);
/// Between two compactions that count revisions.
const REVISION_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// What automatic compaction asks of a member.
pub(super) trait Compactable {
    /// Whether this member leads.
    fn leads(&self) -> bool;
    /// The newest revision here.
    fn revision(&self) -> Revision;
    /// Compacts; what is compacted already is no error.
    fn compact(&self, at: Revision) -> impl Future<Output = Result<(), String>> + Send;
}

impl<R: Runtime, V: Vfs> Compactable for SharedBackend<R, V> {
    fn leads(&self) -> bool {
        self.node.status().leader == Some(self.member)
    }

    fn revision(&self) -> Revision {
        self.state.store.read().revision()
    }

    async fn compact(&self, at: Revision) -> Result<(), String> {
        let request = CompactionRequest { revision: at.0, physical: false };
        match self.propose(&Author::Member, &Command::Compact(request)).await {
            Err(status) if status.message() != WireError::Compacted.text() => Err(status.message().to_owned()),
            _ => Ok(()),
        }
    }
}

/// Compacts by a policy, for as long as the node runs.
pub(super) async fn compact_by<R: Runtime, V: Vfs>(backend: SharedBackend<R, V>, policy: Option<Policy>) {
    let node = backend.node.clone();
    match policy {
        None => {}
        Some(Policy::Periodic(period)) => node.while_running(periodic::<R>(&backend, period)).await,
        Some(Policy::Revisions(kept)) => node.while_running(by_revisions::<R>(&backend, kept)).await,
    }
}

/// The revisions of the looks back.
#[derive(Debug)]
struct Window {
    revisions: VecDeque<Revision>,
    /// Those of one period, both ends included.
    most: usize,
}

impl Window {
    fn new(period: Duration, look: Duration) -> Self {
        let most = usize::try_from(period.as_nanos() / look.as_nanos().max(1)).unwrap_or(usize::MAX).saturating_add(1);
        Self { revisions: VecDeque::new(), most }
    }

    /// Notes the newest revision; returns the oldest that is noted.
    fn note(&mut self, revision: Revision) -> Revision {
        self.revisions.push_back(revision);
        if self.revisions.len() > self.most {
            self.revisions.pop_front();
        }
        self.revisions.front().copied().unwrap_or(revision)
    }
}

async fn periodic<R: Runtime>(member: &impl Compactable, period: Duration) {
    let interval = period.min(LONGEST_INTERVAL);
    let look = (interval / LOOKS).max(SHORTEST_LOOK);
    let mut window = Window::new(period, look);
    let (mut last, mut wait) = (Revision(0), period);
    let mut last_at = R::Instant::now();
    loop {
        let oldest = window.note(member.revision());
        R::sleep(look).await;
        let is_due = R::Instant::now().saturating_duration_since(last_at) >= wait;
        if !is_due || oldest == last || !member.leads() {
            continue;
        }
        wait = interval;
        if compact(member, oldest).await {
            last = oldest;
            last_at = R::Instant::now();
        }
    }
}

async fn by_revisions<R: Runtime>(member: &impl Compactable, kept: u32) {
    let mut last = Revision(0);
    loop {
        R::sleep(REVISION_INTERVAL).await;
        let at = Revision(member.revision().0 - i64::from(kept));
        if at.0 > 0 && at != last && member.leads() && compact(member, at).await {
            last = at;
        }
    }
}

/// False if it failed, and is to be tried again.
async fn compact(member: &impl Compactable, at: Revision) -> bool {
    match member.compact(at).await {
        Ok(()) => tracing::info!(revision = %at, "completed auto compaction"),
        Err(ref error) => {
            tracing::warn!(revision = %at, error, "auto compaction failed; it is tried again");
            return false;
        }
    }
    true
}

#[cfg(test)]
#[path = "auto_compaction_tests.rs"]
mod tests;
