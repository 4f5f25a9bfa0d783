//! One member that is left of three, and its disk: whatever a power loss takes, it is of the old cluster or of the new one.

use std::collections::BTreeMap;

use openraft::Vote;
use openraft::impls::leader_id_adv::LeaderId;

use super::*;
use crate::consensus::encoding::{entry_to_bytes, log_id_to_bytes, snapshot_meta_to_bytes, vote_to_bytes};
use crate::consensus::types::{Payload, RaftEntry, RaftLogId, RaftMembership, RaftSnapshotMeta, RaftStoredMembership};
use crate::consensus::{Membership, Survivor, Unconfirmed};
use crate::storage::{SnapshotWriter, Wal, WalError};

/// So small, in bytes, that the entry that forces a cluster is the first of a segment now and then.
const SEGMENT: u64 = 16 << 10;
/// Changes of the disk within which a cluster is forced.
const CHANGES: u64 = 30;

const REMOVALS: [&[u8]; 2] = [b"remove 2", b"remove 3"];

type ListSurvivor = Survivor<List, TokioRuntime, MemVfs>;

fn node(id: u64) -> PeerNode {
    PeerNode { peer_urls: vec![format!("http://m{id}:1")] }
}

fn log_id(index: u64) -> RaftLogId {
    RaftLogId { leader_id: LeaderId { term: 3, node_id: 2 }, index }
}

fn three() -> RaftMembership {
    let nodes = BTreeMap::from([1, 2, 3].map(|id| (id, node(id))));
    RaftMembership::new(vec![[1, 2, 3].into()], nodes).unwrap()
}

/// The first entry is the members, every other one a command.
fn entry(index: u64) -> RaftEntry {
    let batch = || {
        let mut commands = bytes::BytesMut::new();
        put_command(&mut commands, &command(index as usize));
        batch_of(commands.freeze())
    };
    let payload = match index {
        0 => Payload { membership: Some(three()), batch: None },
        _ => Payload { membership: None, batch: Some(batch()) },
    };
    RaftEntry { log_id: log_id(index), payload }
}

/// Waits for an operation of the log to be on disk.
async fn synced(submit: impl FnOnce(Box<dyn FnOnce(Result<(), WalError>) + Send>)) {
    let (done, outcome) = tokio::sync::oneshot::channel();
    submit(Box::new(move |saved| done.send(saved).unwrap()));
    outcome.await.unwrap().unwrap();
}

/// A follower's log, synced an entry at a time: it has voted for 2, and knows that all but the last two are committed.
async fn log_of_follower(vfs: &MemVfs, entries: std::ops::Range<u64>) {
    let options = WalOptions { segment_bytes: SEGMENT, ..WalOptions::default() };
    let (wal, _) = Wal::open(vfs.clone(), DIRS[0].as_ref(), options, &ThreadExecutor).unwrap();
    let vote = vote_to_bytes(&Vote { leader_id: log_id(0).leader_id, committed: true });
    synced(|done| wal.save_vote(vote, done)).await;
    for index in entries.clone() {
        if index + 2 == entries.end && index > 0 {
            wal.save_committed(log_id_to_bytes(&log_id(index - 1)));
        }
        let record = (index, entry_to_bytes(&entry(index)));
        synced(|done| wal.append(vec![record], done).unwrap()).await;
    }
    synced(|done| wal.close(move || done(Ok(())))).await;
}

async fn survivor(vfs: &MemVfs) -> (ListSurvivor, Applied) {
    let applied = Applied::default();
    let list = List(applied.clone());
    let opened = ListSurvivor::open(&options(u64::MAX, SEGMENT), vfs.clone(), &ThreadExecutor, list).await;
    (opened.unwrap().expect("there is a log"), applied)
}

fn removals() -> Vec<Bytes> {
    REMOVALS.map(Bytes::from_static).to_vec()
}

/// Forces the cluster, unless it was; an error is the disk's.
async fn force(vfs: &MemVfs) -> Result<Option<Unconfirmed>, String> {
    let list = List(Applied::default());
    let opened = ListSurvivor::open(&options(u64::MAX, SEGMENT), vfs.clone(), &ThreadExecutor, list).await;
    let mut survivor = opened.map_err(|error| error.to_string())?.expect("there is a log");
    let outcome = match survivor.membership().await.map(|membership| membership.members.len()) {
        Ok(1) => Ok(None),
        _ => survivor.become_alone(node(1), &removals()).await,
    };
    survivor.close().await;
    outcome.map_err(|error| error.to_string())
}

/// Raft's members as the disk says, and all commands, committed or not.
async fn found(vfs: &MemVfs) -> (Membership, Vec<Bytes>) {
    let (mut survivor, applied) = survivor(vfs).await;
    let membership = survivor.membership().await.unwrap();
    survivor.close().await;
    let applied = applied.lock().clone();
    (membership, applied)
}

fn members(ids: &[u64]) -> Membership {
    let ids: std::collections::BTreeSet<_> = ids.iter().copied().map(MemberId).collect();
    Membership { voters: ids.clone(), members: ids }
}

fn commands_of(entries: std::ops::Range<u64>) -> Vec<Bytes> {
    entries.filter(|index| *index > 0).map(|index| command(index as usize)).collect()
}

/// A node on the disk leads alone, applies all and takes more.
async fn assert_goes_on(vfs: &MemVfs, before: &[Bytes]) {
    let (node, applied) = start_with(vfs, u64::MAX, SEGMENT).await;
    node.propose(Bytes::from_static(b"more")).await.unwrap();
    let mut expected = before.to_vec();
    expected.push(Bytes::from_static(b"more"));
    assert_eq!(*applied.lock(), expected);
    assert_eq!(node.membership(), members(&[1]));
    assert!(node.term() > 4, "later than the term of the entry that forced it");
    node.shutdown().await;
}

#[tokio::test]
async fn the_one_that_is_left_keeps_every_entry_and_tells_of_those_in_doubt() {
    let vfs = disk();
    log_of_follower(&vfs, 0..10).await;
    let unconfirmed = force(&vfs).await.unwrap().expect("two are in doubt");
    let at = |index| Position { term: 3, index };
    assert_eq!(unconfirmed, Unconfirmed { entries: 2, first: at(8), last: at(9) });
    let expected = [commands_of(0..10), removals()].concat();
    let vfs = vfs.crash();
    assert_eq!(found(&vfs).await, (members(&[1]), expected.clone()));
    // Once more changes nothing.
    assert_eq!(force(&vfs).await, Ok(None));
    assert_eq!(found(&vfs).await.1, expected);
    assert_goes_on(&vfs, &expected).await;
}

#[tokio::test]
async fn a_power_loss_at_any_step_leaves_the_old_cluster_or_the_new_one() {
    let mut random = fastrand::Rng::with_seed(5);
    let (mut old, mut new) = (0, 0);
    for stop in 0..CHANGES {
        for keep_percent in [0, 50, 100] {
            let entries = 0..random.u64(2..40);
            let vfs = disk();
            log_of_follower(&vfs, entries.clone()).await;
            let vfs = vfs.crash();
            vfs.stop_after(stop);
            let outcome = force(&vfs).await;
            let left = vfs.crash_with(|_| random.u32(..100) < keep_percent);
            let (raft, commands) = found(&left).await;
            let (before, after) = (commands_of(entries.clone()), [commands_of(entries), removals()].concat());
            if raft == members(&[1]) {
                assert_eq!(commands, after, "after {stop} changes");
                new += 1;
            } else {
                assert!(outcome.is_err(), "after {stop} changes: {outcome:?}");
                assert_eq!((raft, commands), (members(&[1, 2, 3]), before), "after {stop} changes");
                old += 1;
            }
            force(&left).await.unwrap();
            assert_eq!(found(&left).await, (members(&[1]), after.clone()));
            assert_goes_on(&left, &after).await;
        }
    }
    assert!(old > 10 && new > 10, "{old} times the old cluster, {new} times the new one");
}

/// What comes of a snapshot from the leader when the power goes before the log behind it is purged.
#[tokio::test]
async fn a_log_that_ends_before_the_snapshot_is_gone_on_with_behind_it() {
    let vfs = disk();
    log_of_follower(&vfs, 0..3).await;
    let meta = RaftSnapshotMeta {
        last_log_id: Some(log_id(20)),
        last_membership: RaftStoredMembership::new(Some(log_id(0)), three()),
    };
    let mut snapshot =
        SnapshotWriter::create(vfs.clone(), DIRS[1].as_ref(), 20, &snapshot_meta_to_bytes(&meta)).unwrap();
    snapshot.write_block(&Bytes::from_static(b"all before")).unwrap();
    snapshot.finish().unwrap();
    assert_eq!(force(&vfs).await, Ok(None), "a snapshot is of what is committed");
    let vfs = vfs.crash();
    let expected = [vec![Bytes::from_static(b"all before")], removals()].concat();
    assert_eq!(found(&vfs).await, (members(&[1]), expected.clone()));
    assert_goes_on(&vfs, &expected).await;
}

#[tokio::test]
async fn nothing_is_forced_where_there_is_nothing() {
    let vfs = disk();
    let list = List(Applied::default());
    let none = ListSurvivor::open(&options(u64::MAX, SEGMENT), vfs.clone(), &ThreadExecutor, list).await.unwrap();
    assert!(none.is_none());
    // All is let go of, so that a node may be started there.
    let (node, _) = start_with(&vfs, u64::MAX, SEGMENT).await;
    node.shutdown().await;
}

#[tokio::test]
async fn a_full_disk_refuses_and_has_changed_nothing() {
    let vfs = disk();
    // Most of a segment, and the next one is gone.
    let entries = 0..22;
    log_of_follower(&vfs, entries.clone()).await;
    let segments = vfs.list(DIRS[0].as_ref()).unwrap();
    vfs.remove_file(&PathBuf::from(DIRS[0]).join(segments.last().unwrap())).unwrap();
    vfs.set_capacity(Some(0));
    assert_eq!(force(&vfs).await, Err("no space left for the log".to_owned()));
    vfs.set_capacity(None);
    assert_eq!(found(&vfs).await, (members(&[1, 2, 3]), commands_of(entries.clone())));
    force(&vfs).await.unwrap();
    assert_goes_on(&vfs, &[commands_of(entries), removals()].concat()).await;
}
