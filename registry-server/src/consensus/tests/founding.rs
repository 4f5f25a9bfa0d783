//! A node whose files were made from a state that came from elsewhere.

use super::*;
use crate::consensus::{Beginning, Ground, found};

const INDEX: u64 = 1_000_000;
const TERM: u64 = 9;
const SEGMENT: u64 = 1 << 20;

/// What came from elsewhere: two entries of a list, with some term of its members' above that of the last entry.
async fn make(vfs: &MemVfs) -> Result<(), String> {
    let members = [1, 2].map(|id| (MemberId(id), PeerNode { peer_urls: vec![format!("http://m{id}:1")] }));
    let beginning = Beginning {
        last: Position { term: TERM - 1, index: INDEX },
        term: TERM,
        voters: [MemberId(1)].into(),
        members: members.into(),
    };
    let source = ListSnapshot(vec![command(0), command(1)].into_iter());
    let NodeOptions { wal_dir, snapshot_dir, wal, .. } = options(u64::MAX, SEGMENT);
    let ground = Ground { wal_dir, snapshot_dir, wal };
    let made = found::<List, TokioRuntime, _>(&ground, vfs.clone(), &ThreadExecutor, source, &beginning).await;
    made.map(drop).map_err(|error| error.to_string())
}

#[tokio::test]
async fn a_node_goes_on_behind_a_state_from_elsewhere_and_after_a_power_loss() {
    let vfs = disk();
    make(&vfs).await.unwrap();
    for commands in 2..5 {
        let (node, applied) = start_with(&vfs.crash(), u64::MAX, SEGMENT).await;
        assert_eq!(applied.lock().len(), commands, "the state is there before anything is proposed");
        node.shutdown().await;
        let (node, applied) = start_with(&vfs, u64::MAX, SEGMENT).await;
        node.propose(command(commands)).await.unwrap();
        assert_eq!(applied.lock().len(), commands + 1);
        let status = node.status();
        assert!(status.term > TERM, "nobody leads again in a term of before: {status:?}");
        assert!(status.applied_index > INDEX, "{status:?}");
        let membership = node.membership();
        assert_eq!((membership.voters.len(), membership.members.len()), (1, 2));
        node.shutdown().await;
    }
}
