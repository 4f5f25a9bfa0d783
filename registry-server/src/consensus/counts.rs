//! What a node counts and times of its proposals, its log and its state machine.
//!
//! The clock is the [`Runtime`]'s. A slow command is told to whoever asked to hear of it; writing a line is
//! not this room's business.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use openraft::async_runtime::Instant as _;
use openraft::type_config::AsyncRuntime;

use super::peer_counts::PeerCounts;
use super::state_machine::Position;
use crate::storage::AroundSync;
use crate::types::{Counter, Durations, Gauge, Runtime};

type InstantOf<R> = <R as AsyncRuntime>::Instant;

/// The counts of one node.
#[derive(Debug, Default)]
pub struct Counts {
    /// How often a leader became known that was not known right before.
    pub leader_changes: Counter,
    /// Proposals that wait for their reply.
    pub proposals_pending: Gauge,
    /// Proposals that were taken and did not come to a reply: no leader, no room in the log, no answer in
    /// time. What was refused at once, as too large or as too much was
    /// waiting, is not among them.
    pub proposals_failed: Counter,
    /// Linearizable reads that nobody confirmed.
    pub reads_failed: Counter,
    /// How long the syncs of the log took, of one batch each.
    pub log_syncs: Durations,
    /// How long runs of committed entries took to become state: what comes between a batch's sync and its
    /// replies.
    pub applied_runs: Durations,
    /// Commands that took longer to apply than [`SlowApply::after`].
    pub slow_applies: Counter,
    /// What passes between this member and its peers.
    pub peers: PeerCounts,
}

/// Takes a command's place and bytes, and how long it took.
pub type TellSlow = Arc<dyn Fn(Position, &Bytes, Duration) + Send + Sync>;

/// Who hears of slow commands.
#[derive(Clone)]
pub struct SlowApply {
    /// What takes longer than this is slow.
    pub after: Duration,
    /// Called from the apply lane; must be short.
    pub tell: TellSlow,
}

impl std::fmt::Debug for SlowApply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SlowApply").field("after", &self.after).finish_non_exhaustive()
    }
}

/// Times what the apply lane does.
#[derive(Clone)]
pub(super) struct ApplyClock {
    pub(super) counts: Arc<Counts>,
    pub(super) slow: Option<SlowApply>,
}

/// A run that is being applied.
pub(super) struct RunClock<'a, R: Runtime> {
    clock: &'a ApplyClock,
    begun: InstantOf<R>,
    /// When the last command was done: one look at the clock a command.
    last: InstantOf<R>,
}

impl ApplyClock {
    pub(super) fn begin<R: Runtime>(&self) -> RunClock<'_, R> {
        let begun = InstantOf::<R>::now();
        RunClock { clock: self, begun, last: begun }
    }
}

impl<R: Runtime> RunClock<'_, R> {
    /// A command was applied.
    pub(super) fn applied(&mut self, at: Position, command: &Bytes) {
        let now = InstantOf::<R>::now();
        let took = now - self.last;
        self.last = now;
        if let Some(slow) = self.clock.slow.as_ref().filter(|slow| took > slow.after) {
            self.clock.counts.slow_applies.inc();
            (slow.tell)(at, command, took);
        }
    }

    /// The run is over.
    pub(super) fn end(self) {
        self.clock.counts.applied_runs.observe(self.last - self.begun);
    }
}

/// Times the syncs of a log.
pub(super) fn timed_syncs<R: Runtime>(counts: Arc<Counts>) -> AroundSync {
    Arc::new(move |sync| {
        let begun = InstantOf::<R>::now();
        let outcome = sync();
        counts.log_syncs.observe(begun.elapsed());
        outcome
    })
}

#[cfg(test)]
mod tests {
    use openraft::impls::TokioRuntime;
    use parking_lot::Mutex;
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_command_above_the_limit_is_counted_and_told() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let teller = told.clone();
        let tell = move |at: Position, command: &Bytes, took| teller.lock().push((at.index, command.len(), took));
        let slow = Some(SlowApply { after: Duration::from_millis(100), tell: Arc::new(tell) });
        let clock = ApplyClock { counts: Arc::default(), slow };
        let mut run = clock.begin::<TokioRuntime>();
        for (index, took_ms) in [(1, 60), (2, 60), (3, 150), (4, 100)] {
            advance(Duration::from_millis(took_ms)).await;
            run.applied(Position { term: 1, index }, &Bytes::from_static(b"abc"));
        }
        run.end();
        assert_eq!(*told.lock(), [(3, 3, Duration::from_millis(150))]);
        assert_eq!(clock.counts.slow_applies.get(), 1);
        assert_eq!(clock.counts.applied_runs.sum(), Duration::from_millis(370));
    }
}
