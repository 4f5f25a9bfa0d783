//! Whole commands, one after the other, on a machine without consensus.

use std::sync::atomic::{AtomicUsize, Ordering};

use registry_proto::etcdserverpb::request_op::Request;
use registry_proto::etcdserverpb::{
    AlarmType, AuthUserAddRequest, CompactionRequest, LeaseRevokeRequest, RangeRequest, RequestOp,
};

use super::*;
use crate::auth::Digest;
use crate::command::{LeaseCheckpoint, LeaseExpiry};
use crate::consensus::SnapshotSource;

struct Deaf;

impl LeaseObserver for Deaf {
    fn granted(&self, _: Grant, _: i64) {}
    fn recorded(&self, _: LeaseId, _: Option<i64>) {}
    fn revoked(&self, _: LeaseId) {}
}

fn machine() -> (Machine, Arc<State>) {
    let state = Arc::new(State::default());
    (Machine::new(state.clone(), Arc::new(Deaf), Hub::new(state.clone())), state)
}

fn apply(machine: &mut Machine, command: &Command) -> Result<Outcome, ApplyError> {
    machine.apply(Position::default(), Machine::decode(command.encode()).unwrap()).outcome
}

fn alarm(action: AlarmAction) -> Command {
    Command::Alarm(AlarmRequest { action: action.into(), member_id: 7, alarm: AlarmType::Nospace.into() })
}

fn put(key: &'static str) -> PutRequest {
    PutRequest { key: key.into(), ..PutRequest::default() }
}

fn txn(request: Request) -> Command {
    Command::Txn(TxnRequest { failure: vec![RequestOp { request: Some(request) }], ..TxnRequest::default() })
}

fn blocks(machine: &mut Machine) -> Vec<Bytes> {
    let mut snapshot = machine.snapshot();
    std::iter::from_fn(|| snapshot.next_block()).collect()
}

#[test]
fn while_space_is_exceeded_only_what_adds_to_it_is_refused() {
    let (mut machine, state) = machine();
    apply(&mut machine, &Command::Put(put("k"))).unwrap();
    apply(&mut machine, &Command::LeaseGrant(LeaseGrantRequest { id: 1, ttl: 60 })).unwrap();
    apply(&mut machine, &alarm(AlarmAction::Activate)).unwrap();
    let before = state.store.read().revision();
    let refused = [
        Command::Put(put("k")),
        // The branch that is not taken counts, too: the answer must not depend on the keys.
        Command::Txn(TxnRequest {
            failure: vec![RequestOp { request: Some(Request::RequestPut(put("k"))) }],
            ..TxnRequest::default()
        }),
        Command::LeaseGrant(LeaseGrantRequest { id: 2, ttl: 60 }),
    ];
    for command in &refused {
        assert_eq!(apply(&mut machine, command), Err(ApplyError::NoSpace), "{command:?}");
    }
    assert_eq!((state.store.read().revision(), state.leases.read().len()), (before, 1));
    let accepted = [
        txn(Request::RequestRange(RangeRequest { key: "k".into(), ..RangeRequest::default() })),
        Command::DeleteRange(DeleteRangeRequest { key: "k".into(), ..DeleteRangeRequest::default() }),
        Command::LeaseRevoke(LeaseRevokeRequest { id: 1 }),
        Command::Compact(CompactionRequest { revision: 2, physical: false }),
        alarm(AlarmAction::Deactivate),
        Command::Put(put("k")),
    ];
    for command in &accepted {
        apply(&mut machine, command).unwrap();
    }
}

#[test]
fn while_a_member_is_corrupt_nothing_changes_but_members_and_alarms() {
    let (mut machine, state) = machine();
    let member = |kind: MemberChangeKind, id| {
        let peer_urls = vec![format!("http://m{id}:1")];
        Command::Member(MemberChange { kind: kind.into(), id, peer_urls, ..MemberChange::default() })
    };
    let corrupt = |id| {
        let (action, alarm) = (AlarmAction::Activate.into(), AlarmType::Corrupt.into());
        Command::Alarm(AlarmRequest { action, member_id: id, alarm })
    };
    apply(&mut machine, &member(MemberChangeKind::Add, 1)).unwrap();
    apply(&mut machine, &Command::Put(put("k"))).unwrap();
    apply(&mut machine, &Command::LeaseGrant(LeaseGrantRequest { id: 1, ttl: 60 })).unwrap();
    apply(&mut machine, &corrupt(2)).unwrap();
    let before = state.store.read().revision();
    let refused = [
        Command::Put(put("k")),
        Command::DeleteRange(DeleteRangeRequest { key: "k".into(), ..DeleteRangeRequest::default() }),
        txn(Request::RequestRange(RangeRequest { key: "k".into(), ..RangeRequest::default() })),
        Command::Compact(CompactionRequest { revision: 2, physical: false }),
        Command::LeaseGrant(LeaseGrantRequest { id: 2, ttl: 60 }),
        Command::LeaseRevoke(LeaseRevokeRequest { id: 1 }),
        Command::LeaseExpire(LeaseExpiry::new(leases::any_life(LeaseId(1)), 0)),
    ];
    for command in &refused {
        assert_eq!(apply(&mut machine, command), Err(ApplyError::Corrupt), "{command:?}");
    }
    assert_eq!((state.store.read().revision(), state.leases.read().len()), (before, 1));
    // The alarm goes with the member, and does not come again after it.
    apply(&mut machine, &member(MemberChangeKind::Add, 2)).unwrap();
    apply(&mut machine, &member(MemberChangeKind::Remove, 2)).unwrap();
    apply(&mut machine, &corrupt(2)).unwrap();
    apply(&mut machine, &Command::Put(put("k"))).unwrap();
}

#[test]
fn checkpoints_come_back_with_a_snapshot() {
    let (mut machine, _) = machine();
    for id in [1, 2] {
        apply(&mut machine, &Command::LeaseGrant(LeaseGrantRequest { id, ttl: 60 })).unwrap();
    }
    let checkpoints = [(1, 20), (2, 20), (2, 0), (3, 20)];
    // Without a number, as older versions wrote them.
    let checkpoint = |(id, seconds)| LeaseCheckpoint::of(leases::any_life(LeaseId(id)), seconds);
    let checkpoints = checkpoints.map(checkpoint).to_vec();
    apply(&mut machine, &Command::LeaseCheckpoint(LeaseCheckpoints { checkpoints, term: 0 })).unwrap();
    let blocks = blocks(&mut machine);
    let (mut other, state) = self::machine();
    other.restore(&mut blocks.into_iter().map(Ok)).unwrap();
    let leases = state.leases.read();
    let remaining: Vec<_> = leases.iter().map(|(id, lease)| (id.0, lease.remaining_seconds)).collect();
    assert_eq!(remaining, [(1, Some(20)), (2, None)]);
}

#[test]
fn alarms_come_back_with_a_snapshot() {
    let (mut machine, _) = machine();
    apply(&mut machine, &alarm(AlarmAction::Activate)).unwrap();
    let blocks = blocks(&mut machine);
    let (mut other, state) = self::machine();
    other.restore(&mut blocks.into_iter().map(Ok)).unwrap();
    assert_eq!(apply(&mut other, &Command::Put(put("k"))), Err(ApplyError::NoSpace));
    assert!(state.alarms.read().no_space());
}

/// Counts what it is told.
#[derive(Default)]
struct Ear(AtomicUsize);

impl TokenObserver for Ear {
    fn granted(&self, _: &str, _: Digest) {}
    fn revoked(&self, _: &str) {}
    fn revoked_all(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A member that got a snapshot instead of the entries in which a user lost its tokens took them for good.
#[test]
fn users_come_back_with_a_snapshot_and_tokens_end() {
    let (mut machine, _) = machine();
    let add = AuthUserAddRequest { name: "anna".into(), hashed_password: "h".into(), ..Default::default() };
    apply(&mut machine, &Command::Auth(AuthChange { action: Some(AuthAction::UserAdd(add)) })).unwrap();
    let blocks = blocks(&mut machine);
    let (other, state) = self::machine();
    let ear = Arc::new(Ear::default());
    let mut other = other.telling(ear.clone());
    other.restore(&mut blocks.into_iter().map(Ok)).unwrap();
    assert_eq!(state.auth.read().users().collect::<Vec<_>>(), ["anna"]);
    assert_eq!(ear.0.load(Ordering::Relaxed), 1);
}
