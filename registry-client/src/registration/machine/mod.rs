//! The pure lease machine of one registration: told what happened, it says what to do.
//!
//! [`Machine::step`] takes an event in and then looks at the whole state for what is due, so that no order
//! of events can lose a step. The driver carries the actions out and tells how they ended. It reads no
//! clock, draws numbers only from its seed, and never waits.
//!
//! What always holds: at most one lease is kept alive, and every other one that may exist is among the
//! doomed, which are revoked until they are certain to be gone; after the end no keep-alive, grant or put
//! is asked for.

mod advance;
mod doomed;
mod event;
mod lease;
mod retry;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use doomed::{Attempts, DoomedLeases};
pub(crate) use event::{Action, Event, Expect, Holder, LeaseId, Moment, Progress, PutOutcome, RevokeOutcome};
use lease::Lease;
use retry::Backoff;

use super::{Conflict, LeaseState};
use crate::channel::Failure;
use crate::error::{Error, LeaseTrouble};
use crate::instance::{Instance, Status};

/// Former leases whose keys are still known to be our own.
const FORMER_LIMIT: usize = 16;

/// How often it is looked whether an operator's tombstone is still there.
const TOMBSTONE_PAUSE: Duration = Duration::from_secs(5);

/// What the user decided.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// The key, for messages.
    pub(crate) key: String,
    /// What is asked for; the server may grant more.
    pub(crate) ttl: Duration,
    pub(crate) conflict: Conflict,
    /// Where lease ids and jitter come from.
    pub(crate) seed: u64,
}

/// What stands under the key, as far as we know.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Key {
    Absent,
    Ours { mod_revision: i64, lease: LeaseId },
    Foreign { mod_revision: i64 },
}

/// A put that is in flight.
#[derive(Debug)]
struct Flight {
    lease: LeaseId,
    value: Bytes,
    /// The update that it stores.
    update: u64,
}

#[derive(Debug, PartialEq, Eq)]
enum Ending {
    Open,
    Draining { drain: Duration, deadline: Moment, visible_at: Option<Moment> },
    Closed(Option<Arc<Error>>),
}

/// See the room's words.
#[derive(Debug)]
pub(crate) struct Machine {
    settings: Settings,
    random: fastrand::Rng,
    instance: Instance,
    /// How many values there were to store, and how many are.
    wanted: u64,
    stored: u64,
    refused: Option<(u64, Arc<Error>)>,
    lease: Option<Lease>,
    /// Leases that were ours: a key under one of them is no stranger's.
    former: VecDeque<LeaseId>,
    doomed: DoomedLeases,
    key: Key,
    /// The newest revision at which the key was seen.
    seen_revision: i64,
    tombstone: bool,
    put: Option<Flight>,
    /// The key as it was seen while a put was in flight.
    held_back: Option<(i64, Option<Holder>)>,
    /// When the next grant or put may go out.
    retry: Backoff,
    /// The registration stood once; from then on a stranger's key is never taken.
    established: bool,
    trouble: Option<Arc<Error>>,
    ending: Ending,
    reported: Option<Progress>,
    finished: bool,
}

impl Machine {
    pub(crate) fn new(instance: Instance, settings: Settings) -> Self {
        let mut random = fastrand::Rng::with_seed(settings.seed);
        let retry = Backoff::new(random.u64(..));
        Self {
            settings,
            random,
            instance,
            wanted: 1,
            stored: 0,
            refused: None,
            lease: None,
            former: VecDeque::new(),
            doomed: DoomedLeases::default(),
            key: Key::Absent,
            seen_revision: 0,
            tombstone: false,
            put: None,
            held_back: None,
            retry,
            established: false,
            trouble: None,
            ending: Ending::Open,
            reported: None,
            finished: false,
        }
    }

    /// Takes an event in and says what to do about it, in that order.
    pub(crate) fn step(&mut self, event: Event, now: Moment) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.finished {
            return actions;
        }
        self.absorb(event, now);
        self.advance(now, &mut actions);
        actions
    }

    fn absorb(&mut self, event: Event, now: Moment) {
        match event {
            Event::Granted { id, ttl } => self.granted(id, ttl),
            Event::GrantExists { id } => self.grant_exists(id),
            Event::GrantFailed { id, failure } => self.grant_failed(id, failure, now),
            Event::Put(outcome) => self.put_settled(outcome, now),
            Event::Revoke { id, outcome } => self.doomed.revoke_settled(id, &outcome, now),
            Event::KeptAlive { id, ttl } => self.kept_alive(id, ttl),
            Event::StreamLost(trouble) => self.stream_lost(trouble, now),
            Event::Key { revision, holder } if self.put.is_some() => {
                if self.held_back.as_ref().is_none_or(|(seen, _)| revision >= *seen) {
                    self.held_back = Some((revision, holder));
                }
            }
            Event::Key { revision, holder } => self.key_seen(revision, holder),
            Event::Update { instance, number } => self.update(*instance, number),
            Event::Shutdown { drain, deadline } => self.shut_down(drain, deadline),
            Event::Dropped => self.close(None),
            Event::Tick => {}
        }
    }

    fn granted(&mut self, id: LeaseId, ttl: Duration) {
        match &mut self.lease {
            Some(lease) if lease.id == id => {
                lease.grant(ttl);
                self.retry.reset();
            }
            _ => self.doomed.grant_settled(id, Attempts::answer),
        }
    }

    fn grant_exists(&mut self, id: LeaseId) {
        match &mut self.lease {
            Some(lease) if lease.id == id && lease.attempts.sent > 1 => {
                lease.adopt(self.settings.ttl);
                self.retry.reset();
            }
            // Somebody else's lease: leave it alone and take another id.
            Some(lease) if lease.id == id => self.lease = None,
            _ => self.doomed.grant_settled(id, Attempts::answer_all),
        }
    }

    fn grant_failed(&mut self, id: LeaseId, failure: Failure, now: Moment) {
        match &mut self.lease {
            Some(lease) if lease.id == id => {
                lease.attempts.fail(failure.maybe_done, now);
                self.failed(failure.error, now);
            }
            _ => self.doomed.grant_settled(id, |attempts| attempts.fail(failure.maybe_done, now)),
        }
    }

    fn put_settled(&mut self, outcome: PutOutcome, now: Moment) {
        let Some(flight) = self.put.take() else { return };
        match outcome {
            PutOutcome::Stored { revision } => {
                self.seen_revision = self.seen_revision.max(revision);
                self.key = Key::Ours { mod_revision: revision, lease: flight.lease };
                self.stored = self.stored.max(flight.update);
                self.refused = None;
                self.trouble = None;
                self.tombstone = false;
                self.retry.reset();
            }
            PutOutcome::Conflict { revision, holder, tombstone } => {
                self.conflicted(revision, holder, &flight, now);
                self.tombstone = tombstone;
                if tombstone {
                    self.entombed(now);
                }
            }
            PutOutcome::NoLease => {
                if self.lease.as_ref().is_some_and(|lease| lease.id == flight.lease) {
                    self.lose_lease(LeaseTrouble::NotFound);
                }
            }
            PutOutcome::Failed(failure) => {
                if failure.error.is_permanent() {
                    self.refused = Some((flight.update, Arc::new(failure.error.clone())));
                }
                self.failed(failure.error, now);
            }
        }
        if let Some((revision, holder)) = self.held_back.take() {
            self.key_seen(revision, holder);
        }
    }

    /// The put's comparison did not hold; what stands there decides.
    fn conflicted(&mut self, revision: i64, holder: Option<Holder>, flight: &Flight, now: Moment) {
        let known = holder.as_ref().is_some_and(|holder| self.is_ours(holder.lease));
        if let Some(holder) = holder.as_ref().filter(|_| known)
            && holder.lease == flight.lease
            && holder.value == flight.value
        {
            // An earlier attempt, whose answer was lost, had been carried out.
            self.stored = self.stored.max(flight.update);
        }
        let waiting = matches!(self.key, Key::Foreign { .. });
        self.key_seen(revision, holder);
        let takes_at_once = self.settings.conflict == Conflict::TakeOver && !waiting;
        if matches!(self.key, Key::Foreign { .. }) && !takes_at_once {
            let pause = (self.settings.ttl / 3).max(Duration::from_secs(1));
            self.retry.wait_until(now + pause.min(Duration::from_secs(10)));
        }
    }

    /// An operator keeps the instance away: a first registration fails, a later one looks again now and then.
    fn entombed(&mut self, now: Moment) {
        let error = Error::Tombstone { key: self.settings.key.clone() };
        if self.established {
            self.trouble = Some(Arc::new(error));
            self.retry.wait_until(now + TOMBSTONE_PAUSE);
        } else {
            self.close(Some(error));
        }
    }

    /// The key stands, or does not, at `revision`: by a watch or by a put's answer.
    fn key_seen(&mut self, revision: i64, holder: Option<Holder>) {
        if revision < self.seen_revision {
            return;
        }
        self.seen_revision = revision;
        let Some(holder) = holder else {
            if self.key != Key::Absent {
                self.key = Key::Absent;
                if !self.tombstone {
                    self.retry.reset();
                }
            }
            return;
        };
        let ours = self.is_ours(holder.lease) || (holder.lease == 0 && self.established);
        if ours {
            self.instance.keep_unknown_fields(&holder.value);
            self.key = Key::Ours { mod_revision: holder.mod_revision, lease: holder.lease };
            return;
        }
        self.key = Key::Foreign { mod_revision: holder.mod_revision };
        if self.established || self.settings.conflict == Conflict::Fail {
            let conflict = Error::Conflict { key: self.settings.key.clone(), lease: holder.lease };
            self.close(Some(conflict));
        }
    }

    fn kept_alive(&mut self, id: LeaseId, ttl: Duration) {
        let Some(lease) = self.lease.as_mut().filter(|lease| lease.id == id) else { return };
        if ttl.is_zero() {
            self.lose_lease(LeaseTrouble::Gone);
        } else if let Some(held) = &mut lease.held {
            held.renew(ttl);
            self.trouble.take_if(|trouble| matches!(**trouble, Error::Lease(_)));
        }
    }

    fn stream_lost(&mut self, trouble: LeaseTrouble, now: Moment) {
        if let Some(held) = self.lease.as_mut().and_then(|lease| lease.held.as_mut()) {
            held.forget_asked(now);
            self.trouble = Some(Arc::new(trouble.into()));
        }
    }

    /// The lease is gone, and with it the key: start anew with another lease.
    fn lose_lease(&mut self, trouble: LeaseTrouble) {
        self.doom_lease();
        self.key = Key::Absent;
        // The registry may be another one now, with lower revisions.
        self.seen_revision = 0;
        self.trouble = Some(Arc::new(trouble.into()));
        self.retry.reset();
    }

    /// A value of the user; what others added to the record stays in it.
    fn update(&mut self, mut instance: Instance, number: u64) {
        instance.keep_unknown_fields_of(&self.instance);
        if matches!(self.ending, Ending::Draining { .. }) {
            instance.set_status(Status::Draining);
        }
        self.instance = instance;
        self.wanted = self.wanted.max(number);
        self.retry.reset();
    }

    fn shut_down(&mut self, drain: Duration, deadline: Moment) {
        if self.ending != Ending::Open {
            return;
        }
        if !self.established {
            self.close(None);
            return;
        }
        self.instance.set_status(Status::Draining);
        self.wanted += 1;
        self.retry.reset();
        self.ending = Ending::Draining { drain, deadline, visible_at: None };
    }

    /// The end: from here on only revokes go out.
    fn close(&mut self, error: Option<Error>) {
        if matches!(self.ending, Ending::Closed(_)) {
            return;
        }
        self.ending = Ending::Closed(error.map(Arc::new));
        self.doom_lease();
    }

    fn doom_lease(&mut self) {
        let Some(lease) = self.lease.take() else { return };
        if self.former.len() == FORMER_LIMIT {
            self.former.pop_front();
        }
        self.former.push_back(lease.id);
        if lease.attempts.sent > 0 {
            let ttl = lease.held.map_or(self.settings.ttl, |held| held.ttl);
            self.doomed.insert(lease.id, lease.attempts, ttl, Backoff::new(self.random.u64(..)));
        }
    }

    fn is_ours(&self, lease: LeaseId) -> bool {
        lease != 0
            && (self.lease.as_ref().is_some_and(|current| current.id == lease)
                || self.former.contains(&lease)
                || self.doomed.contains(lease))
    }

    /// A grant or a put failed: say why and try again later; before the first success, give up on what
    /// cannot heal, as somebody waits for the answer.
    fn failed(&mut self, error: Error, now: Moment) {
        if error.is_permanent() && !self.established {
            self.close(Some(error));
            return;
        }
        self.trouble = Some(Arc::new(error));
        self.retry.fail(now);
    }

    fn state(&self, now: Moment) -> LeaseState {
        let trouble = self.trouble.clone();
        match &self.ending {
            Ending::Closed(error) => return LeaseState::Closed(error.clone()),
            Ending::Draining { .. } => return LeaseState::Draining,
            Ending::Open => {}
        }
        let held = self.lease.as_ref().and_then(|lease| lease.held.as_ref());
        match held {
            _ if !self.established => LeaseState::Registering(trouble),
            Some(held) if held.is_expired(now) => LeaseState::Lost(Arc::new(LeaseTrouble::Expired.into())),
            Some(_) if !self.key_is_current() => LeaseState::Reregistering(trouble),
            Some(_) => trouble.map_or(LeaseState::Active, LeaseState::Suspect),
            None => LeaseState::Reregistering(trouble),
        }
    }

    /// The key stands under the lease that is kept alive.
    fn key_is_current(&self) -> bool {
        let current = self.lease.as_ref().filter(|lease| lease.held.is_some()).map(|lease| lease.id);
        matches!(self.key, Key::Ours { lease, .. } if Some(lease) == current)
    }
}
