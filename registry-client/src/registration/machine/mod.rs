//! The pure lease machine of one registration: told what happened, it says what to do.
//!
//! [`Machine::step`] takes an event in and then looks at the whole state for what is due, so that no order
//! of events can lose a step. The driver carries the actions out and tells how they ended. It reads no
//! clock, draws numbers only from its seed, and never waits.
//!
//! What always holds: at most one lease is kept alive, and every other one that may exist is among the
//! doomed, which are revoked until they are certain to be gone; after the end no keep-alive, grant or put
//! is asked for.

mod absorb;
mod advance;
mod doomed;
mod event;
mod lease;
mod retry;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod world;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use doomed::DoomedLeases;
pub(crate) use event::{Action, Event, Expect, Holder, LeaseId, Moment, Progress, PutOutcome, RevokeOutcome};
use lease::Lease;
use retry::Backoff;

use super::{Conflict, LeaseState};
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
        self.doomed.insert(lease, self.settings.ttl, Backoff::new(self.random.u64(..)));
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
