//! What a node does by itself until it stops: snapshots that are due, counts, and a look for room on a full disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use tokio_util::sync::CancellationToken;

use super::applier::{RaftHandle, SinceSnapshot};
use super::counts::Counts;
use super::state_machine::StateMachine;
use crate::storage::{Vfs, Wal};
use crate::types::Runtime;

/// How long snapshots wait for one that is being sent, at most: the log grows meanwhile.
const MAX_SENDING_SECONDS: u32 = 600;

/// How often a full disk is asked again.
const LOOK_FOR_ROOM: Duration = Duration::from_secs(1);

/// Begins all of it. Snapshots wait while some number of them are being sent.
pub(super) fn begin<S: StateMachine, R: Runtime, V: Vfs>(
    stop: &CancellationToken,
    raft: &RaftHandle<S, R, V>,
    wal: &Wal<V>,
    counts: &Arc<Counts>,
    (since_snapshot, sending): (Arc<SinceSnapshot>, Arc<AtomicUsize>),
) {
    until_stopped::<R>(stop, write_snapshots(raft.clone(), since_snapshot, sending));
    until_stopped::<R>(stop, look_for_room::<R, V>(wal.clone()));
    until_stopped::<R>(stop, count_leaders(raft.clone(), counts.clone()));
}

/// Spawns what goes on until the node stops.
fn until_stopped<R: Runtime>(stop: &CancellationToken, work: impl Future<Output = ()> + Send + 'static) {
    drop(R::spawn(stop.clone().run_until_cancelled_owned(work)));
}

/// Counts the leaders that become known. Follows what changes with a vote only, not with every entry.
async fn count_leaders<S: StateMachine, R: Runtime, V: Vfs>(raft: RaftHandle<S, R, V>, counts: Arc<Counts>) {
    let mut metrics = raft.server_metrics();
    let mut known = None;
    loop {
        let leader = metrics.borrow_watched().current_leader;
        if leader.is_some() && leader != known {
            counts.leader_changes.inc();
        }
        known = leader;
        if metrics.changed().await.is_err() {
            return;
        }
    }
}

/// When all that waits is in the log's own queue, nobody else asks for room on a full disk.
async fn look_for_room<R: Runtime, V: Vfs>(wal: Wal<V>) {
    loop {
        R::sleep(LOOK_FOR_ROOM).await;
        if wal.waits_for_room() {
            wal.look_for_room();
        }
    }
}

async fn write_snapshots<S: StateMachine, R: Runtime, V: Vfs>(
    raft: RaftHandle<S, R, V>,
    since_snapshot: Arc<SinceSnapshot>,
    sending: Arc<AtomicUsize>,
) {
    loop {
        since_snapshot.due.notified().await;
        // The log behind a snapshot that a peer is getting must still be there when the peer has it.
        for _ in 0..MAX_SENDING_SECONDS {
            if sending.load(Ordering::Relaxed) == 0 {
                break;
            }
            R::sleep(Duration::from_secs(1)).await;
        }
        if raft.trigger().snapshot().await.is_err() {
            return;
        }
    }
}
