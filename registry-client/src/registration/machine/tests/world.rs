//! A small model of the server for the machine's tests: the registration's keys, its leases, and calls that
//! may be lost, late or answered in any order.

use std::collections::BTreeSet;
use std::time::Duration;

use super::super::*;
use crate::channel::Failure;

pub(super) const TTL: Duration = Duration::from_secs(9);

/// Two keys in a txn, so that few keys make several.
pub(super) fn settings(seed: u64, conflict: Conflict) -> Settings {
    let batch = Batch { keys: 2, ..Batch::default() };
    Settings { ttl: TTL, conflict, gated: false, seed, batch }
}

pub(super) fn instance() -> Instance {
    Instance::builder("pay").id("1").endpoint("grpc", "http://10.0.0.7:9000").build().unwrap()
}

/// Instances of their own, in the order of their keys.
pub(super) fn instances(count: usize) -> Vec<(Keys, Arc<Instance>)> {
    let one = |number: usize| {
        let key = |kind| format!("/{kind}/pay/{number:05}").into();
        let keys = Keys { instance: key("services"), tombstone: key("tombstones") };
        (keys, Arc::new(instance()))
    };
    (0..count).map(one).collect()
}

pub(super) fn failure(maybe_done: bool) -> Failure {
    Failure { error: Error::Unavailable { message: "lost".to_owned() }, maybe_done }
}

/// What can happen to a call, or between calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Carried out and answered.
    Answered,
    /// Carried out, the answer lost.
    AnswerLost,
    /// Not carried out, and known not to be.
    NotSent,
    /// The caller gives up on it, and it is carried out later all the same.
    Late,
}

pub(super) const FATES: [Fate; 4] = [Fate::Answered, Fate::AnswerLost, Fate::NotSent, Fate::Late];

/// A server with the keys of one registration, and the calls on their way to it.
pub(super) struct World {
    pub(super) machine: Machine,
    pub(super) now: Moment,
    pub(super) revision: i64,
    pub(super) leases: BTreeSet<LeaseId>,
    pub(super) keys: Vec<Option<Holder>>,
    pub(super) tombstones: BTreeSet<usize>,
    pub(super) calls: Vec<Action>,
    pub(super) late: Vec<Action>,
    pub(super) revoke_asked: BTreeSet<LeaseId>,
    pub(super) progress: Option<Progress>,
    pub(super) finished: bool,
}

impl World {
    pub(super) fn new(seed: u64, conflict: Conflict) -> Self {
        Self::with(1, settings(seed, conflict))
    }

    pub(super) fn with(count: usize, settings: Settings) -> Self {
        let machine = Machine::new(instances(count), settings);
        let now = Duration::from_secs(100);
        let (calls, late) = (Vec::new(), Vec::new());
        let (leases, revoke_asked) = (BTreeSet::new(), BTreeSet::new());
        let mut world = Self {
            machine,
            now,
            revision: 1,
            leases,
            keys: vec![None; count],
            tombstones: BTreeSet::new(),
            calls,
            late,
            revoke_asked,
            progress: None,
            finished: false,
        };
        world.tell(Event::Tick);
        world
    }

    pub(super) fn tell(&mut self, event: Event) {
        for action in self.machine.step(event, self.now) {
            assert!(!self.finished, "nothing follows the end: {action:?}");
            match action {
                Action::KeepAlive { id } => {
                    assert!(!self.revoke_asked.contains(&id), "no keep-alive after a revoke");
                    assert_eq!(self.machine.live(), Some(id));
                    self.calls.push(Action::KeepAlive { id });
                }
                Action::Revoke { id } => {
                    self.revoke_asked.insert(id);
                    self.calls.push(Action::Revoke { id });
                }
                Action::Report(progress) => self.progress = Some(progress),
                Action::Finished => self.finished = true,
                Action::Reconnect => {}
                call => self.calls.push(call),
            }
        }
    }

    /// A call comes late by less than this: a grant that is later than its own TTL is the TTL's to clean up.
    pub(super) fn pass(&mut self, time: Duration) {
        for call in std::mem::take(&mut self.late) {
            drop(self.serve(&call));
        }
        self.now += time;
        self.tell(Event::Tick);
    }

    /// What a watch sees of every key.
    pub(super) fn tell_keys(&mut self) {
        for place in 0..self.keys.len() {
            let (revision, holder) = (self.revision, self.keys[place].clone());
            self.tell(Event::Key { place, revision, holder });
        }
    }

    pub(super) fn delete(&mut self, place: usize) {
        self.keys[place] = None;
        self.revision += 1;
    }

    /// The server carries a call out and says what it answers.
    pub(super) fn serve(&mut self, call: &Action) -> Event {
        match call {
            Action::Grant { id, ttl } if self.leases.insert(*id) => Event::Granted { id: *id, ttl: *ttl },
            Action::Grant { id, .. } => Event::GrantExists { id: *id },
            Action::Revoke { id } => {
                let outcome = if self.leases.remove(id) { RevokeOutcome::Revoked } else { RevokeOutcome::NotFound };
                self.drop_keys_of(*id);
                Event::Revoke { id: *id, outcome }
            }
            Action::KeepAlive { id } => {
                let ttl = if self.leases.contains(id) { TTL } else { Duration::ZERO };
                Event::KeptAlive { id: *id, ttl }
            }
            Action::Put { lease, puts } => Event::Put(self.serve_put(*lease, puts)),
            other => panic!("{other:?} is no call"),
        }
    }

    pub(super) fn serve_put(&mut self, lease: LeaseId, puts: &[KeyPut]) -> PutOutcome {
        let fits = |put: &KeyPut| {
            let found = self.keys[put.place].as_ref().map(|holder| holder.mod_revision);
            let expected = match put.expect {
                Expect::Absent => None,
                Expect::ModRevision(revision) => Some(revision),
            };
            found == expected && !self.tombstones.contains(&put.place)
        };
        if !puts.iter().all(fits) {
            let found = |put: &KeyPut| {
                let (holder, tombstone) = (self.keys[put.place].clone(), self.tombstones.contains(&put.place));
                Found { place: put.place, holder, tombstone }
            };
            return PutOutcome::Conflict { revision: self.revision, found: puts.iter().map(found).collect() };
        }
        if !self.leases.contains(&lease) {
            return PutOutcome::NoLease;
        }
        self.revision += 1;
        for put in puts {
            let (mod_revision, value) = (self.revision, put.value.clone());
            self.keys[put.place] = Some(Holder { lease, mod_revision, value });
        }
        PutOutcome::Stored { revision: self.revision }
    }

    fn drop_keys_of(&mut self, lease: LeaseId) {
        let ours = |holder: &mut Holder| holder.lease == lease;
        let dropped = self.keys.iter_mut().filter_map(|key| key.take_if(ours)).count();
        self.revision += i64::from(dropped > 0);
    }

    pub(super) fn expire(&mut self) {
        for lease in std::mem::take(&mut self.leases) {
            self.drop_keys_of(lease);
        }
    }

    pub(super) fn settle(&mut self, index: usize, fate: Fate) {
        let call = self.calls.remove(index);
        match fate {
            Fate::Answered => {
                let answer = self.serve(&call);
                self.tell(answer);
            }
            Fate::AnswerLost => {
                drop(self.serve(&call));
                self.tell(lost(&call, true));
            }
            Fate::NotSent => self.tell(lost(&call, false)),
            Fate::Late => {
                self.tell(lost(&call, true));
                self.late.push(call);
            }
        }
    }

    /// From now on everything gets through; late calls come first, as they were sent first.
    pub(super) fn heal(&mut self) {
        for call in std::mem::take(&mut self.late) {
            drop(self.serve(&call));
        }
        for _ in 0..200 {
            while !self.calls.is_empty() && !self.finished {
                self.settle(0, Fate::Answered);
                self.tell_keys();
            }
            if self.finished {
                return;
            }
            let wake = self.machine.next_wake(self.now).unwrap_or(self.now + TTL);
            self.pass(wake.saturating_sub(self.now).max(Duration::from_millis(1)));
        }
    }

    pub(super) fn assert_nothing_is_left(&mut self, story: &str) {
        self.tell(Event::Dropped);
        self.heal();
        assert!(self.finished, "it ends: {story}");
        assert!(self.leases.is_empty(), "no lease is left: {story}");
        assert!(self.keys.iter().all(Option::is_none), "no key is left: {story}");
    }
}

pub(super) fn lost(call: &Action, maybe_done: bool) -> Event {
    let failure = failure(maybe_done);
    match call {
        Action::Grant { id, .. } => Event::GrantFailed { id: *id, failure },
        Action::Put { .. } => Event::Put(PutOutcome::Failed(failure)),
        Action::Revoke { id } => Event::Revoke { id: *id, outcome: RevokeOutcome::Failed },
        _ => Event::StreamLost(LeaseTrouble::StreamEnded),
    }
}

/// The leases under which the keys stand.
pub(super) fn stored(world: &World) -> Vec<Option<LeaseId>> {
    world.keys.iter().map(|holder| holder.as_ref().map(|holder| holder.lease)).collect()
}
