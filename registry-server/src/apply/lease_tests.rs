//! Commands about leases: who hears of them when, and which life of a lease they mean.

use parking_lot::Mutex;
use registry_proto::etcdserverpb::{LeaseGrantRequest, LeaseRevokeRequest, PutRequest};

use super::*;
use crate::command::{LeaseCheckpoint, LeaseExpiry};
use crate::consensus::SnapshotSource;
use crate::lease::{ATTACHED_KEY_BYTES, LEASE_BYTES};
use crate::types::GrantNumber;

/// Remembers what it is told, and whether a reader could have seen it before.
struct Ear {
    state: Arc<State>,
    heard: Mutex<Vec<(&'static str, i64)>>,
}

impl Ear {
    fn hear(&self, what: &'static str, id: LeaseId) {
        assert!(self.state.leases.try_read().is_none(), "{what} {id}: a reader sees it before the keeper hears of it");
        self.heard.lock().push((what, id.0));
    }
}

impl LeaseObserver for Ear {
    fn granted(&self, grant: Grant, _: i64) {
        self.hear("granted", grant.id);
    }

    fn recorded(&self, id: LeaseId, _: Option<i64>) {
        self.hear("recorded", id);
    }

    fn revoked(&self, id: LeaseId) {
        assert!(
            self.state.store.try_read().is_none(),
            "a reader sees that the keys are gone before the keeper hears of it"
        );
        self.hear("revoked", id);
    }
}

fn machine() -> (Machine, Arc<State>, Arc<Ear>) {
    let state = Arc::new(State::default());
    let ear = Arc::new(Ear { state: state.clone(), heard: Mutex::default() });
    (Machine::new(state.clone(), ear.clone(), Hub::new(state.clone())), state, ear)
}

fn apply(machine: &mut Machine, command: &Command) -> Result<Outcome, ApplyError> {
    machine.apply(Position::default(), Machine::decode(command.encode()).unwrap()).outcome
}

fn grant(machine: &mut Machine, id: i64) {
    apply(machine, &Command::LeaseGrant(LeaseGrantRequest { id, ttl: 60 })).unwrap();
}

fn revoke(id: i64) -> Command {
    Command::LeaseRevoke(LeaseRevokeRequest { id })
}

fn put(key: &str, lease: i64) -> Command {
    Command::Put(PutRequest { key: key.to_owned().into(), lease, ..PutRequest::default() })
}

fn life(id: i64, number: u64) -> Grant {
    Grant { id: LeaseId(id), number: GrantNumber(number) }
}

fn expire(grant: Grant) -> Command {
    Command::LeaseExpire(LeaseExpiry::new(grant, 0))
}

fn checkpoint(grant: Grant, seconds: i64) -> Command {
    Command::LeaseCheckpoint(LeaseCheckpoints { checkpoints: vec![LeaseCheckpoint::of(grant, seconds)], term: 0 })
}

#[test]
fn nobody_sees_a_lease_come_or_go_before_its_keeper_has_heard_of_it() {
    let (mut machine, _, ear) = machine();
    grant(&mut machine, 7);
    apply(&mut machine, &put("a", 7)).unwrap();
    apply(&mut machine, &checkpoint(life(7, 1), 20)).unwrap();
    apply(&mut machine, &revoke(7)).unwrap();
    grant(&mut machine, 8);
    apply(&mut machine, &expire(life(8, 2))).unwrap();
    let expected = [("granted", 7), ("recorded", 7), ("revoked", 7), ("granted", 8), ("revoked", 8)];
    assert_eq!(*ear.heard.lock(), expected);

    grant(&mut machine, 9);
    let mut snapshot = machine.snapshot();
    let blocks: Vec<_> = std::iter::from_fn(|| snapshot.next_block()).collect();
    ear.heard.lock().clear();
    machine.restore(&mut blocks.into_iter().map(Ok)).unwrap();
    assert_eq!(*ear.heard.lock(), [("revoked", 9), ("granted", 9), ("recorded", 9)]);
}

#[test]
fn expiry_and_checkpoints_that_were_meant_for_a_former_life_leave_a_lease_alone() {
    let (mut machine, state, ear) = machine();
    grant(&mut machine, 7);
    apply(&mut machine, &revoke(7)).unwrap();
    grant(&mut machine, 7);
    apply(&mut machine, &put("a", 7)).unwrap();
    ear.heard.lock().clear();

    assert_eq!(apply(&mut machine, &expire(life(7, 1))), Err(ApplyError::LeaseNotFound));
    apply(&mut machine, &checkpoint(life(7, 1), 20)).unwrap();
    assert_eq!(state.leases.read().get(LeaseId(7)).unwrap().remaining_seconds, None);
    assert!(state.store.read().get(b"a").is_some());
    assert!(ear.heard.lock().is_empty(), "the keeper forgets or shortens the new life");

    apply(&mut machine, &checkpoint(life(7, 2), 20)).unwrap();
    assert_eq!(state.leases.read().get(LeaseId(7)).unwrap().remaining_seconds, Some(20));
    apply(&mut machine, &expire(life(7, 2))).unwrap();
    assert!(state.leases.read().is_empty() && state.store.read().get(b"a").is_none());
}

#[test]
fn grants_are_counted_on_after_a_snapshot() {
    let (mut machine, _, _) = machine();
    (1..=3).for_each(|id| grant(&mut machine, id));
    // The newest grant is gone, and its number must not come back.
    apply(&mut machine, &revoke(3)).unwrap();
    let mut snapshot = machine.snapshot();
    let blocks: Vec<_> = std::iter::from_fn(|| snapshot.next_block()).collect();
    let (mut other, state, _) = self::machine();
    other.restore(&mut blocks.into_iter().map(Ok)).unwrap();
    grant(&mut other, 3);
    let leases = state.leases.read();
    let lives: Vec<_> = leases.iter().map(|(id, lease)| (id.0, lease.number.0)).collect();
    assert_eq!(lives, [(1, 1), (2, 2), (3, 4)]);
}

#[test]
fn a_lease_that_an_older_version_granted_expires_as_any_other() {
    let (mut machine, state, _) = machine();
    state.leases.write().restore(life(7, 0), 60).unwrap();
    grant(&mut machine, 8);
    assert_eq!(apply(&mut machine, &expire(life(7, 1))), Err(ApplyError::LeaseNotFound));
    apply(&mut machine, &checkpoint(life(7, 0), 20)).unwrap();
    apply(&mut machine, &expire(life(7, 0))).unwrap();
    // What an older version wrote means whichever life there is.
    apply(&mut machine, &expire(life(8, 0))).unwrap();
    assert!(state.leases.read().is_empty());
}

#[test]
fn leases_and_what_is_attached_to_them_count_in_the_size() {
    let (mut machine, state, _) = machine();
    let empty = state.size_bytes();
    (1..=100).for_each(|id| grant(&mut machine, id));
    assert_eq!(state.size_bytes(), empty + 100 * LEASE_BYTES);
    apply(&mut machine, &put("free", 0)).unwrap();
    let free = state.size_bytes();
    apply(&mut machine, &put("held", 1)).unwrap();
    assert!(state.size_bytes() >= free + ATTACHED_KEY_BYTES);
    assert_eq!(state.sizes().held_bytes, state.size_bytes());

    let mut snapshot = machine.snapshot();
    let blocks: Vec<_> = std::iter::from_fn(|| snapshot.next_block()).collect();
    let (mut other, restored, _) = self::machine();
    other.restore(&mut blocks.into_iter().map(Ok)).unwrap();
    assert_eq!(restored.leases.read().size_bytes(), state.leases.read().size_bytes());

    (2..=100).for_each(|id| apply(&mut machine, &revoke(id)).map(drop).unwrap());
    apply(&mut machine, &expire(life(1, 1))).unwrap();
    let sizes = state.sizes();
    let store = state.store.read();
    assert_eq!((sizes.held_bytes, sizes.live_bytes), (store.size_bytes(), store.live_bytes()));
    assert_eq!(state.size_bytes(), store.size_bytes());
}
