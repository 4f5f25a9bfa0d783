//! A node over files in memory, with a state machine that is a list of what it was given.

mod force;
mod founding;
mod messages;
mod pending;
mod power_loss;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use openraft::impls::TokioRuntime;
use parking_lot::Mutex;

use super::encoding::{commands, entry_from_bytes, put_command, vote_from_bytes};
use super::types::{Batch, Origin};
use super::{
    MembershipChange, NoPeers, Node, NodeOptions, PeerNode, Position, ProposeError, RestoreError, SnapshotSource,
    StateMachine,
};
use crate::storage::{MemVfs, Syncs, Vfs, WalOptions};
use crate::types::{MemberId, ThreadExecutor};

/// Every command that was applied, in order.
type Applied = Arc<Mutex<Vec<Bytes>>>;

#[derive(Debug)]
struct List(Applied);

struct ListSnapshot(std::vec::IntoIter<Bytes>);

impl SnapshotSource for ListSnapshot {
    fn next_block(&mut self) -> Option<Bytes> {
        self.0.next()
    }
}

impl StateMachine for List {
    type Command = Bytes;
    /// How many commands were applied, this one included.
    type Reply = usize;
    type Snapshot = ListSnapshot;

    fn decode(command: Bytes) -> Result<Bytes, RestoreError> {
        Ok(command)
    }

    fn apply(&mut self, _at: Position, command: Bytes) -> usize {
        let mut applied = self.0.lock();
        applied.push(command);
        applied.len()
    }

    fn members(&mut self, _members: &mut dyn Iterator<Item = (MemberId, &PeerNode)>) {}

    fn background(&mut self) -> bool {
        false
    }

    fn on_background_work(&mut self, _wake: Arc<dyn Fn() + Send + Sync>) {}

    fn snapshot(&mut self) -> ListSnapshot {
        ListSnapshot(self.0.lock().clone().into_iter())
    }

    fn restore(&mut self, blocks: &mut dyn Iterator<Item = Result<Bytes, RestoreError>>) -> Result<(), RestoreError> {
        *self.0.lock() = blocks.collect::<Result<_, _>>()?;
        Ok(())
    }
}

const DIRS: [&str; 2] = ["/d/wal", "/d/snap"];

fn disk() -> MemVfs {
    let vfs = MemVfs::new();
    for dir in DIRS {
        vfs.create_dir_all(dir.as_ref()).unwrap();
    }
    vfs
}

type ListNode = Node<List, TokioRuntime, MemVfs>;

async fn start(vfs: &MemVfs, snapshot_after_bytes: u64) -> (ListNode, Applied) {
    start_with(vfs, snapshot_after_bytes, 10 << 20).await
}

fn options(snapshot_after_bytes: u64, segment_bytes: u64) -> NodeOptions {
    let [wal_dir, snapshot_dir] = DIRS.map(PathBuf::from);
    NodeOptions {
        member: MemberId(1),
        founders: [(MemberId(1), PeerNode { peer_urls: vec!["http://a:1".to_owned()] })].into(),
        life: 1,
        heartbeat_interval: Duration::from_millis(100),
        election_timeout: Duration::from_secs(1),
        snapshot_after_bytes,
        wal_dir,
        snapshot_dir,
        wal: WalOptions { segment_bytes, ..WalOptions::default() },
        keep_entries: 100,
        slow_apply: None,
    }
}

async fn start_with(vfs: &MemVfs, snapshot_after_bytes: u64, segment_bytes: u64) -> (ListNode, Applied) {
    let options = options(snapshot_after_bytes, segment_bytes);
    let applied = Applied::default();
    let node =
        Node::start(&options, vfs.clone(), &ThreadExecutor, Arc::new(NoPeers), List(applied.clone())).await.unwrap();
    node.ready(Some(Duration::from_secs(20))).await.unwrap();
    (node, applied)
}

fn batch_of(commands: Bytes) -> Batch {
    Batch { origin: Origin::default(), commands }
}

fn command(number: usize) -> Bytes {
    format!("command {number}").into()
}

/// Waits for something that the node does by itself.
async fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(tokio::time::Instant::now() < deadline, "{what} does not come true");
        tokio::task::yield_now().await;
    }
}

fn snapshots(vfs: &MemVfs) -> Vec<String> {
    vfs.list(DIRS[1].as_ref()).unwrap().into_iter().filter(|name| name.ends_with(".snap")).collect()
}

#[tokio::test]
async fn each_of_many_proposals_gets_its_own_reply_in_the_order_of_the_log() {
    let (node, applied) = start(&disk(), u64::MAX).await;
    let proposals = (0..5_000).map(|number| node.propose(command(number)));
    let replies = futures_util::future::join_all(proposals).await;
    let applied = applied.lock();
    assert_eq!(applied.len(), 5_000, "each is applied once");
    for (number, reply) in replies.into_iter().enumerate() {
        assert_eq!(applied[reply.unwrap() - 1], command(number));
    }
    let entries = node.status().last_index;
    assert!(entries < 1_000, "what waits together shares entries: {entries}");
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_power_loss_and_in_order() {
    let mut vfs = disk();
    for round in 0..4 {
        let (node, applied) = start(&vfs, u64::MAX).await;
        assert_eq!(applied.lock().len(), round * 100);
        for number in 0..100 {
            let expected = round * 100 + number + 1;
            assert_eq!(node.propose(command(expected)).await, Ok(expected));
        }
        // What was not synced is lost; the old node writes on into its own past.
        vfs = vfs.crash();
        node.shutdown().await;
    }
    let (_node, applied) = start(&vfs, u64::MAX).await;
    let expected: Vec<_> = (1..=400).map(command).collect();
    assert_eq!(*applied.lock(), expected);
}

#[tokio::test]
async fn a_snapshot_and_what_came_after_it_are_the_state_after_a_restart() {
    let vfs = disk();
    let (node, _) = start(&vfs, 20_000).await;
    for number in 1..=2_000 {
        node.propose(command(number)).await.unwrap();
    }
    until("a snapshot", || !snapshots(&vfs).is_empty()).await;
    for number in 2_001..=2_010 {
        node.propose(command(number)).await.unwrap();
    }
    node.shutdown().await;
    let (_node, applied) = start(&vfs.crash(), 20_000).await;
    let expected: Vec<_> = (1..=2_010).map(command).collect();
    assert_eq!(*applied.lock(), expected);
}

#[tokio::test]
async fn a_log_of_several_reads_is_applied_whole_and_in_order() {
    let vfs = disk();
    let (node, applied) = start(&vfs, u64::MAX).await;
    for number in 0_u8..60 {
        node.propose(vec![number; 100_000].into()).await.unwrap();
    }
    node.shutdown().await;
    let (_node, again) = start(&vfs.crash(), u64::MAX).await;
    assert_eq!(*again.lock(), *applied.lock());
    assert_eq!(again.lock().len(), 60);
}

#[tokio::test]
async fn a_log_whose_beginning_is_in_no_snapshot_is_refused() {
    let vfs = disk();
    let (node, _) = start_with(&vfs, 20_000, 16 << 10).await;
    for number in 1..=2_000 {
        node.propose(command(number)).await.unwrap();
    }
    until("a snapshot", || !snapshots(&vfs).is_empty()).await;
    node.shutdown().await;
    for name in snapshots(&vfs) {
        vfs.remove_file(&PathBuf::from(DIRS[1]).join(name)).unwrap();
    }
    let outcome = ListNode::start(
        &options(u64::MAX, 16 << 10),
        vfs,
        &ThreadExecutor,
        Arc::new(NoPeers),
        List(Applied::default()),
    )
    .await;
    let error = outcome.err().expect("what was acknowledged is not forgotten").to_string();
    assert!(error.contains("the log's entries 0 to ") && error.contains("are in no snapshot"), "{error}");
}

#[tokio::test]
async fn a_snapshot_that_cannot_be_written_stops_nothing_and_is_tried_again() {
    let vfs = disk();
    let (node, _) = start(&vfs, 10_000).await;
    vfs.set_create_error(Some(std::io::ErrorKind::PermissionDenied));
    for number in 1..=1_500 {
        node.propose(command(number)).await.unwrap();
    }
    assert_eq!(snapshots(&vfs), [""; 0]);
    vfs.set_create_error(None);
    for number in 1_501..=3_000 {
        assert_eq!(node.propose(command(number)).await, Ok(number));
    }
    until("a snapshot", || !snapshots(&vfs).is_empty()).await;
    node.shutdown().await;
}

#[tokio::test]
async fn a_full_disk_refuses_proposals_and_takes_them_again_when_there_is_room() {
    let vfs = disk();
    let (node, applied) = start(&vfs, u64::MAX).await;
    node.propose(command(1)).await.unwrap();
    vfs.set_capacity(Some(0));
    let large = Bytes::from(vec![7; 20 << 10]);
    let mut taken = 1;
    let refusal = loop {
        match node.propose(large.clone()).await {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
        assert!(taken < 1_000, "a full disk refuses");
    };
    assert_eq!(refusal, ProposeError::NoSpace);
    node.read_barrier().await.unwrap();
    vfs.set_capacity(None);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while node.propose(command(2)).await.is_err() {
        assert!(tokio::time::Instant::now() < deadline, "it heals");
        tokio::task::yield_now().await;
    }
    assert_eq!(applied.lock().len(), taken + 1, "what was refused was not applied");
    node.shutdown().await;
}

#[tokio::test]
async fn small_entries_make_a_snapshot_due_by_what_they_take_in_the_log() {
    let vfs = disk();
    let (node, _) = start(&vfs, 64 << 10).await;
    // Each is synced alone and fills a sector: 100 KiB of log, 2 KiB of commands.
    for number in 0..200 {
        node.propose(command(number)).await.unwrap();
    }
    until("a snapshot", || !snapshots(&vfs).is_empty()).await;
    node.shutdown().await;
}

#[tokio::test]
async fn proposals_wait_for_the_next_segment_instead_of_being_refused() {
    let (node, applied) = start(&disk(), u64::MAX).await;
    let large = Bytes::from(vec![7; 20 << 10]);
    // Many times what two segments hold.
    let outcomes = futures_util::future::join_all((0..1_000).map(|_| node.propose(large.clone()))).await;
    assert_eq!(
        outcomes.iter().filter(|outcome| outcome.is_err()).count(),
        0,
        "{:?}",
        outcomes.iter().find(|o| o.is_err())
    );
    assert_eq!(applied.lock().len(), 1_000);
    node.shutdown().await;
}

#[tokio::test]
async fn a_failed_sync_stops_the_node_for_good() {
    let vfs = disk();
    let (node, _) = start(&vfs, u64::MAX).await;
    // Of all files of the log, as the one to come may be synced first, and that is no reason to stop.
    vfs.set_unsyncable(Some((DIRS[0].as_ref(), Syncs::Files)));
    assert_eq!(node.propose(command(1)).await, Err(ProposeError::Stopped));
    vfs.set_unsyncable(None);
    assert!(!node.failed().await.is_empty());
    assert_eq!(node.propose(command(2)).await, Err(ProposeError::Stopped));
    node.shutdown().await;
}

#[tokio::test]
async fn after_shutdown_nothing_is_proposed_or_read() {
    let (node, _) = start(&disk(), u64::MAX).await;
    node.shutdown().await;
    assert_eq!(node.propose(command(1)).await, Err(ProposeError::Stopped));
    assert!(node.read_barrier().await.is_err());
}

#[test]
fn bytes_that_are_no_entry_vote_or_batch_are_an_error_and_never_a_panic() {
    for len in 0..64 {
        for fill in [0_u8, 1, 2, 255] {
            let mut bytes = vec![fill; len];
            bytes.first_mut().map(|version| *version = 1).unwrap_or_default();
            let bytes = Bytes::from(bytes);
            drop(entry_from_bytes(bytes.clone()));
            drop(vote_from_bytes(bytes.clone()));
            commands(batch_of(bytes)).for_each(drop);
        }
    }
    let mut batch = bytes::BytesMut::new();
    put_command(&mut batch, b"a whole command");
    let cut = batch.freeze().slice(..10);
    assert!(commands(batch_of(cut)).next().unwrap().is_err());
}

/// Metrics are behind a lock whose readers must not nest: a writer in between stopped the node for good.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_asks_for_the_status_all_the_time_stops_nobody() {
    let (node, _) = start(&disk(), u64::MAX).await;
    let stop = Arc::new(AtomicBool::new(false));
    let (asked, stopped) = (node.clone(), stop.clone());
    let asker = std::thread::spawn(move || {
        let mut times = 0;
        while !stopped.load(Ordering::Relaxed) {
            assert_eq!(asked.status().leader, Some(MemberId(1)));
            times += 1;
        }
        times
    });
    for number in 0..300 {
        tokio::time::timeout(Duration::from_secs(20), node.propose(command(number))).await.unwrap().unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    assert!(asker.join().unwrap() > 300);
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_reads_without_asking_while_it_is_the_only_member() {
    let (node, _) = start(&disk(), u64::MAX).await;
    let becomes_sole = async || {
        while node.is_sole().is_none() {
            tokio::task::yield_now().await;
        }
    };
    becomes_sole().await;
    let learner = PeerNode { peer_urls: vec!["http://b:1".to_owned()] };
    node.change_membership(&MembershipChange::Add(MemberId(2), learner)).await.unwrap();
    assert_eq!(node.is_sole(), None);
    node.read_barrier().await.unwrap();
    node.change_membership(&MembershipChange::Remove(MemberId(2))).await.unwrap();
    becomes_sole().await;
    // One that is in the log, and not yet in Raft's figures.
    node.memberships.begins(1_000);
    assert_eq!(node.is_sole(), None);
    node.read_barrier().await.unwrap();
    node.shutdown().await;
}
