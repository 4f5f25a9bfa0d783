//! A small model of the server for the machine's tests: one key, its leases, and calls that may be lost,
//! late or answered in any order.

use std::collections::BTreeSet;
use std::time::Duration;

use super::*;
use crate::channel::Failure;

pub(super) const TTL: Duration = Duration::from_secs(9);

pub(super) fn settings(seed: u64, conflict: Conflict) -> Settings {
    Settings { key: "/services/pay/1".to_owned(), ttl: TTL, conflict, seed }
}

pub(super) fn instance() -> Instance {
    Instance::builder("pay").id("1").endpoint("grpc", "http://10.0.0.7:9000").build().unwrap()
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

/// A server with one key, and the calls on their way to it.
pub(super) struct World {
    pub(super) machine: Machine,
    pub(super) now: Moment,
    pub(super) revision: i64,
    pub(super) leases: BTreeSet<LeaseId>,
    pub(super) key: Option<Holder>,
    pub(super) calls: Vec<Action>,
    pub(super) late: Vec<Action>,
    pub(super) revoke_asked: BTreeSet<LeaseId>,
    pub(super) progress: Option<Progress>,
    pub(super) finished: bool,
}

impl World {
    pub(super) fn new(seed: u64, conflict: Conflict) -> Self {
        let machine = Machine::new(instance(), settings(seed, conflict));
        let now = Duration::from_secs(100);
        let (calls, late) = (Vec::new(), Vec::new());
        let (leases, revoke_asked) = (BTreeSet::new(), BTreeSet::new());
        let mut world = Self {
            machine,
            now,
            revision: 1,
            leases,
            key: None,
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
                    assert_eq!(self.machine.live_lease(), Some(id));
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

    pub(super) fn tell_key(&mut self) {
        let (revision, holder) = (self.revision, self.key.clone());
        self.tell(Event::Key { revision, holder });
    }

    /// The server carries a call out and says what it answers.
    pub(super) fn serve(&mut self, call: &Action) -> Event {
        match call {
            Action::Grant { id, ttl } if self.leases.insert(*id) => Event::Granted { id: *id, ttl: *ttl },
            Action::Grant { id, .. } => Event::GrantExists { id: *id },
            Action::Revoke { id } => {
                let outcome = if self.leases.remove(id) { RevokeOutcome::Revoked } else { RevokeOutcome::NotFound };
                self.drop_key_of(*id);
                Event::Revoke { id: *id, outcome }
            }
            Action::KeepAlive { id } => {
                let ttl = if self.leases.contains(id) { TTL } else { Duration::ZERO };
                Event::KeptAlive { id: *id, ttl }
            }
            Action::Put { lease, expect, value } => Event::Put(self.serve_put(*lease, *expect, value)),
            other => panic!("{other:?} is no call"),
        }
    }

    pub(super) fn serve_put(&mut self, lease: LeaseId, expect: Expect, value: &Bytes) -> PutOutcome {
        let found = self.key.as_ref().map(|holder| holder.mod_revision);
        let expected = match expect {
            Expect::Absent => None,
            Expect::ModRevision(revision) => Some(revision),
        };
        if found != expected {
            return PutOutcome::Conflict { revision: self.revision, holder: self.key.clone(), tombstone: false };
        }
        if !self.leases.contains(&lease) {
            return PutOutcome::NoLease;
        }
        self.revision += 1;
        self.key = Some(Holder { lease, mod_revision: self.revision, value: value.clone() });
        PutOutcome::Stored { revision: self.revision }
    }

    pub(super) fn drop_key_of(&mut self, lease: LeaseId) {
        if self.key.take_if(|holder| holder.lease == lease).is_some() {
            self.revision += 1;
        }
    }

    pub(super) fn expire(&mut self) {
        for lease in std::mem::take(&mut self.leases) {
            self.drop_key_of(lease);
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
                self.tell_key();
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
        assert_eq!(self.key, None, "no key is left: {story}");
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
