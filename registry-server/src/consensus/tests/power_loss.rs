//! Snapshots and the log behind them: whatever a power loss takes, one of them has what was acknowledged.

use super::*;
use crate::storage::{Syncs, Wal, latest};

/// So few that a snapshot is due after some ten commands: each counts as the sector it takes in the log.
const SNAPSHOT_BYTES: u64 = 6_000;
/// So small a segment, in bytes, that the log goes through some.
const SMALL_SEGMENT: u64 = 64 << 10;
/// Changes of the disk in which three snapshots are written and the log is purged behind them.
const CHANGES: u64 = 240;

fn long_command(number: usize) -> Bytes {
    format!("command {number:0100}").into()
}

/// Proposes the commands that follow `done` until one fails or there are `end`; how many were acknowledged.
async fn propose_until(node: &ListNode, done: usize, end: usize) -> usize {
    for number in done + 1..=end {
        match node.propose(long_command(number)).await {
            Ok(reply) => assert_eq!(reply, number),
            Err(_) => return number - 1,
        }
    }
    end
}

/// The last index that is purged from the log, and the last that a snapshot holds.
fn purged_and_saved(disk: &MemVfs) -> (Option<u64>, Option<u64>) {
    let disk = disk.crash();
    let options = WalOptions { segment_bytes: SMALL_SEGMENT, ..WalOptions::default() };
    let (wal, recovered) = Wal::open(disk.clone(), DIRS[0].as_ref(), options, &ThreadExecutor).unwrap();
    let saved = latest(&disk, DIRS[1].as_ref()).unwrap().map(|file| file.index);
    drop(wal);
    (recovered.state.purged.map(|(index, _)| index), saved)
}

/// All that was acknowledged is there once and in order, and nothing that was not asked for.
async fn assert_all_there(disk: &MemVfs, acknowledged: usize, asked: usize) {
    let (node, applied) = start_with(disk, SNAPSHOT_BYTES, SMALL_SEGMENT).await;
    let applied = applied.lock().clone();
    assert!((acknowledged..=asked).contains(&applied.len()), "{acknowledged} of {asked}, found {}", applied.len());
    assert_eq!(applied, (1..=applied.len()).map(long_command).collect::<Vec<_>>());
    node.shutdown().await;
}

/// The power goes after any change around snapshots: before a file is synced, renamed, or its name is synced,
/// between that and the purge, before segments are removed. What was not synced is lost, kept, or some of both.
#[tokio::test]
async fn a_power_loss_between_any_two_steps_of_a_snapshot_and_the_purge_loses_nothing() {
    let mut random = fastrand::Rng::with_seed(3);
    let mut with_a_snapshot = 0;
    let mut unpurged = 0;
    for stop in (0..CHANGES).step_by(5) {
        let vfs = disk();
        let (node, _) = start_with(&vfs, SNAPSHOT_BYTES, SMALL_SEGMENT).await;
        vfs.stop_after(stop + random.u64(..5));
        let acknowledged = propose_until(&node, 0, CHANGES as usize).await;
        let keep_percent = [0, 50, 100][random.usize(..3)];
        let left = vfs.crash_with(|_| random.u32(..100) < keep_percent);
        node.shutdown().await;
        let (purged, saved) = purged_and_saved(&left);
        assert!(purged <= saved, "purged up to {purged:?} behind a snapshot of {saved:?}");
        with_a_snapshot += usize::from(saved.is_some());
        unpurged += usize::from(purged < saved);
        assert_all_there(&left, acknowledged, acknowledged + 1).await;
    }
    assert!(with_a_snapshot > 10 && unpurged > 0, "{with_a_snapshot} snapshots, {unpurged} before their purge");
}

/// What broke: a snapshot whose name could not be synced was taken for the newest, as the directory showed it,
/// and the log was purged behind it.
#[tokio::test]
async fn a_snapshot_that_cannot_be_synced_does_not_count_and_nothing_is_purged() {
    for syncs in [Syncs::Files, Syncs::Entries] {
        let vfs = disk();
        let (node, _) = start_with(&vfs, SNAPSHOT_BYTES, SMALL_SEGMENT).await;
        vfs.set_unsyncable(Some((DIRS[1].as_ref(), syncs)));
        assert_eq!(propose_until(&node, 0, 100).await, 100, "the node goes on");
        if syncs == Syncs::Entries {
            until("a snapshot is tried", || !snapshots(&vfs).is_empty()).await;
        }
        assert_eq!(propose_until(&node, 100, 200).await, 200);
        assert_eq!(purged_and_saved(&vfs), (None, None), "{syncs:?}");
        assert_all_there(&vfs.crash(), 200, 200).await;

        // Once the disk is well again, there are snapshots and the log is purged.
        vfs.set_unsyncable(None);
        let mut done = 200;
        while purged_and_saved(&vfs).0.is_none() {
            done = propose_until(&node, done, done + 10).await;
            assert!(done < 5_000, "{syncs:?}: it is tried again");
        }
        node.shutdown().await;
        let (purged, saved) = purged_and_saved(&vfs);
        assert!(purged <= saved, "{purged:?}, {saved:?}");
        assert_all_there(&vfs.crash(), done, done).await;
    }
}
