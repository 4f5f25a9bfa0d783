//! Messages of peers: what is written is read, and bytes that are none are an error.

use bytes::Bytes;
use futures_util::StreamExt;
use openraft::Vote;
use openraft::impls::TokioRuntime;
use openraft::impls::leader_id_adv::LeaderId;
use openraft::raft::{AppendEntriesRequest, StreamAppendError, TransferLeaderRequest, VoteRequest, VoteResponse};

use super::List;
use crate::consensus::messages::*;
use crate::consensus::types::{
    Batch, Leadership, Origin, Payload, PeerNode, RaftEntry, RaftLogId, RaftMembership, RaftSnapshotMeta, TypeConfig,
};
use crate::types::{ClusterId, MemberId};

type Config = TypeConfig<List, TokioRuntime>;

fn log_id(index: u64) -> RaftLogId {
    RaftLogId { leader_id: LeaderId { term: 3, node_id: 7 }, index }
}

fn vote() -> Vote<LeaderId<u64, u64>> {
    Vote { leader_id: LeaderId { term: 3, node_id: 7 }, committed: true }
}

fn entries() -> Vec<RaftEntry> {
    let origin = Origin { node: 5, number: 6 };
    let node = PeerNode { peer_urls: vec!["http://a:1".to_owned()] };
    let membership = RaftMembership::new(vec![[7].into()], std::collections::BTreeMap::from([(7, node)])).unwrap();
    let (members, batch) = (Some(membership), Some(Batch { origin, commands: Bytes::from_static(b"commands") }));
    let payloads = [
        Payload::default(),
        Payload { membership: None, batch: batch.clone() },
        Payload { membership: members.clone(), batch: None },
        Payload { membership: members, batch },
    ];
    payloads.into_iter().zip(1..).map(|(payload, index)| RaftEntry { log_id: log_id(index), payload }).collect()
}

/// Each kind of message, as bytes.
fn messages() -> Vec<Bytes> {
    let append = AppendEntriesRequest::<Config> {
        vote: vote(),
        prev_log_id: None,
        entries: entries(),
        leader_commit: Some(log_id(1)),
    };
    let request = VoteRequest::<Config> { vote: vote(), last_log_id: Some(log_id(9)), leadership_transfer: true };
    let proposed = Proposed {
        leader: Leadership { term: 3, member: 7 },
        origin: Origin { node: 5, number: 6 },
        commands: Bytes::from_static(b"commands"),
    };
    let node = PeerNode { peer_urls: vec!["http://a:1".to_owned()] };
    vec![
        append_to_bytes(&append),
        appended_to_bytes::<List, TokioRuntime>(&Err(StreamAppendError::Conflict(log_id(4)))),
        vote_request_to_bytes(&request),
        vote_response_to_bytes(&VoteResponse::<Config>::new(vote(), Some(log_id(9)), true)),
        transfer_to_bytes(&TransferLeaderRequest::<Config>::new(vote(), 8, Some(log_id(9)))),
        transferred_to_bytes::<List, TokioRuntime>(&Ok(())),
        SnapshotHead { vote: vote(), meta: RaftSnapshotMeta::default() }.to_bytes(),
        block_part(b"block"),
        installed_to_bytes(&vote()),
        proposed.to_bytes(),
        Taken::NotLeader.to_bytes(),
        read_index_to_bytes(Some(&log_id(9))),
        Description { cluster: ClusterId(1), members: vec![(MemberId(7), node)], version: 3 }.to_bytes(),
    ]
}

/// Reads bytes as every kind of message; says as how many it could.
fn read_as_all(bytes: &Bytes) -> usize {
    let read = [
        append_from_bytes::<List, TokioRuntime>(bytes.clone()).is_ok(),
        appended_from_bytes::<List, TokioRuntime>(bytes.clone()).is_ok(),
        vote_request_from_bytes::<List, TokioRuntime>(bytes.clone()).is_ok(),
        vote_response_from_bytes::<List, TokioRuntime>(bytes.clone()).is_ok(),
        transfer_from_bytes::<List, TokioRuntime>(bytes.clone()).is_ok(),
        transferred_from_bytes::<List, TokioRuntime>(bytes.clone()).is_ok(),
        SnapshotHead::from_bytes(bytes.clone()).is_ok(),
        snapshot_part(bytes.clone()).is_ok(),
        installed_from_bytes(bytes.clone()).is_ok(),
        Proposed::from_bytes(bytes.clone()).is_ok(),
        Taken::from_bytes(bytes.clone()).is_ok(),
        read_index_from_bytes(bytes.clone()).is_ok(),
        Description::from_bytes(bytes.clone()).is_ok(),
    ];
    read.into_iter().filter(|read| *read).count()
}

#[test]
fn what_is_written_is_read() {
    let append = append_from_bytes::<List, TokioRuntime>(messages()[0].clone()).unwrap();
    assert_eq!((append.vote, append.prev_log_id, append.leader_commit), (vote(), None, Some(log_id(1))));
    assert_eq!(append_to_bytes(&append), messages()[0]);
    let Some(batch) = &append.entries[1].payload.batch else { panic!("a batch was written") };
    assert_eq!((batch.origin, &batch.commands[..]), (Origin { node: 5, number: 6 }, b"commands".as_slice()));
    let request = vote_request_from_bytes::<List, TokioRuntime>(messages()[2].clone()).unwrap();
    assert!(request.leadership_transfer && request.last_log_id == Some(log_id(9)));
    let proposed = Proposed::from_bytes(messages()[9].clone()).unwrap();
    assert_eq!(
        (proposed.leader.member, proposed.origin.number, &proposed.commands[..]),
        (7, 6, b"commands".as_slice())
    );
    let described = Description::from_bytes(messages()[12].clone()).unwrap();
    assert_eq!((described.cluster, described.members[0].0), (ClusterId(1), MemberId(7)));
    assert_eq!(snapshot_part(end_part()).unwrap(), None);
    assert_eq!(snapshot_part(messages()[7].clone()).unwrap().as_deref(), Some(b"block".as_slice()));
}

#[test]
fn cut_bent_and_newer_messages_are_errors_or_other_messages_and_never_panic() {
    let mut rng = fastrand::Rng::with_seed(4);
    for message in messages() {
        assert!(read_as_all(&message) > 0);
        for len in 0..message.len() {
            read_as_all(&message.slice(..len));
        }
        for _ in 0..2_000 {
            let mut bent = message.to_vec();
            for _ in 0..rng.usize(1..4) {
                let at = rng.usize(..bent.len());
                bent[at] = rng.u8(..);
            }
            read_as_all(&bent.into());
        }
    }
    let newer: Vec<Bytes> = messages().iter().map(|message| [&[9], &message[1..]].concat().into()).collect();
    assert!(newer.iter().all(|message| read_as_all(message) == 0));
}

/// What broke: a message of several entries that was larger than one entry may be was refused, came again, and the
/// follower never caught up.
#[tokio::test]
async fn entries_that_are_larger_together_than_one_may_be_are_taken() {
    let (node, _) = super::start_with(&super::disk(), u64::MAX, 16 << 10).await;
    let last = node.status().last_index;
    let leader = LeaderId { term: 9, node_id: 7 };
    let batch = || Batch { origin: Origin { node: 5, number: 6 }, commands: Bytes::from(vec![0; 1_000]) };
    let entry = |index| {
        let payload = Payload { membership: None, batch: Some(batch()) };
        RaftEntry { log_id: RaftLogId { leader_id: leader, index }, payload }
    };
    let prev = RaftLogId { leader_id: LeaderId { term: 1, node_id: 1 }, index: last };
    let append = AppendEntriesRequest::<Config> {
        vote: Vote { leader_id: leader, committed: true },
        prev_log_id: Some(prev),
        entries: (last + 1..last + 5).map(entry).collect(),
        leader_commit: None,
    };
    let requests = futures_util::stream::iter([append_to_bytes(&append)]);
    let answers: Vec<_> = node.receiver().append(Box::pin(requests)).collect().await;
    let taken = appended_from_bytes::<List, TokioRuntime>(answers[0].clone().unwrap()).unwrap();
    assert_eq!(taken, Ok(Some(RaftLogId { leader_id: leader, index: last + 4 })));
    node.shutdown().await;
}
