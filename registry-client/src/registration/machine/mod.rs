//! The pure lease machine of a registration: told what happened, it says what to do.
//!
//! A registration is one lease and one key or many: the keys share whatever becomes of the lease, and heal
//! one by one (`places`).
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
mod places;
mod retry;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use doomed::DoomedLeases;
pub(crate) use event::{
    Action, Changes, Event, Expect, Found, Holder, KeyPut, Keys, LeaseId, Moment, Progress, PutOutcome, RevokeOutcome,
};
use lease::Lease;
use places::Places;
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
    /// What is asked for; the server may grant more.
    pub(crate) ttl: Duration,
    pub(crate) conflict: Conflict,
    /// A health check decides when an instance that wants traffic is shown as up.
    pub(crate) gated: bool,
    /// Where lease ids and jitter come from.
    pub(crate) seed: u64,
    pub(crate) batch: Batch,
}

/// How much may go into one txn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Batch {
    pub(crate) keys: usize,
    pub(crate) bytes: usize,
}

impl Default for Batch {
    /// etcd takes 128 comparisons and 1.5 MiB unless told otherwise; each key takes two of them, its own and
    /// the tombstone's.
    fn default() -> Self {
        Self { keys: 64, bytes: 1536 * 1024 }
    }
}

/// A put that is in flight.
#[derive(Debug)]
struct Flight {
    lease: LeaseId,
    /// The update up to which it stores all.
    update: u64,
    sent: BTreeMap<usize, Sent>,
    /// The keys as they were seen meanwhile.
    held_back: BTreeMap<usize, (i64, Option<Holder>)>,
    /// The same as they were read.
    reads_held_back: BTreeMap<usize, (i64, Option<Holder>)>,
}

#[derive(Debug)]
struct Sent {
    value: Bytes,
    version: u64,
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
    places: Places,
    /// The number of the newest update, and of the newest up to which all are stored.
    wanted: u64,
    stored: u64,
    /// What the health check says, and what of it is stored; nothing without one.
    gate: Option<Status>,
    gate_stored: Option<Status>,
    refused: Option<(u64, Arc<Error>)>,
    lease: Option<Lease>,
    /// Leases that were ours: a key under one of them is no stranger's.
    former: VecDeque<LeaseId>,
    doomed: DoomedLeases,
    put: Option<Flight>,
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
    /// The instances must be in the order of their keys, each of which may be there once.
    pub(crate) fn new(instances: Vec<(Keys, Arc<Instance>)>, settings: Settings) -> Self {
        let mut random = fastrand::Rng::with_seed(settings.seed);
        let retry = Backoff::new(random.u64(..));
        let gate = settings.gated.then_some(Status::Starting);
        Self {
            settings,
            random,
            places: Places::new(instances),
            wanted: 1,
            stored: 0,
            gate,
            gate_stored: None,
            refused: None,
            lease: None,
            former: VecDeque::new(),
            doomed: DoomedLeases::default(),
            put: None,
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

    /// Values of the user; what others added to the records stays in them.
    fn update(&mut self, changes: Changes, number: u64) {
        for (place, mut instance) in changes {
            let old = &mut self.places.get_mut(place).instance;
            if instance.lacks_unknown_fields_of(old) {
                Arc::make_mut(&mut instance).keep_unknown_fields_of(old);
            }
            *old = instance;
            self.places.change(place);
        }
        self.wanted = self.wanted.max(number);
        self.retry.reset();
    }

    fn health_changed(&mut self, status: Status) {
        if self.gate.replace(status) != Some(status) {
            self.places.change_all();
            self.retry.reset();
        }
    }

    /// What is shown of an instance's status: the health check only lowers it, and draining goes before all.
    fn shown_status(&self, instance: &Instance) -> Status {
        match (&self.ending, instance.status(), self.gate) {
            (Ending::Draining { .. }, ..) => Status::Draining,
            (_, Status::Up, Some(gate)) => gate,
            (_, own, _) => own,
        }
    }

    fn shut_down(&mut self, drain: Duration, deadline: Moment) {
        if self.ending != Ending::Open {
            return;
        }
        if !self.established || drain.is_zero() {
            self.close(None);
            return;
        }
        self.ending = Ending::Draining { drain, deadline, visible_at: None };
        self.places.change_all();
        self.retry.reset();
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
            Some(_) if !self.keys_are_current() => LeaseState::Reregistering(trouble),
            Some(_) => trouble.map_or(LeaseState::Active, LeaseState::Suspect),
            None => LeaseState::Reregistering(trouble),
        }
    }

    /// The lease that is held.
    fn live(&self) -> Option<LeaseId> {
        self.lease.as_ref().filter(|lease| lease.held.is_some()).map(|lease| lease.id)
    }

    /// Every key stands under the lease that is kept alive.
    fn keys_are_current(&self) -> bool {
        self.live().is_some() && self.places.are_current()
    }
}
