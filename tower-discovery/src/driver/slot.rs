//! One endpoint of the newest snapshot, as the driver knows it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::DropGuard;

use crate::balancing::outlier::Record;
use crate::balancing::subset::Condition;
use crate::picker::Member;
use crate::target::Target;

/// How long an endpoint that is down is left alone, when so many are that not all are tried all the time.
const REST: Duration = Duration::from_secs(10);

pub(super) struct Slot<S> {
    pub(super) target: Target,
    pub(super) state: State<S>,
    /// Came after the first endpoints of all.
    pub(super) is_new: bool,
    /// When it was connected first.
    pub(super) since: Option<Instant>,
    pub(super) record: Record,
    /// When it may be tried again, since it was down and taken out of the subset.
    pub(super) rests_until: Option<Instant>,
    /// The task that keeps it connected; none outside the subset.
    pub(super) work: Option<Work>,
}

/// The task of an endpoint.
pub(super) struct Work {
    /// Tells news of this task from those of a predecessor under the same key.
    pub(super) serial: u64,
    /// Ends the task; connections in use live on until their requests are done.
    pub(super) _stop: DropGuard,
}

pub(super) enum State<S> {
    Untried,
    Down,
    Up(Arc<Member<S>>),
}

impl<S> Slot<S> {
    pub(super) fn new(target: Target, is_new: bool) -> Self {
        Self {
            target,
            state: State::Untried,
            is_new,
            since: None,
            record: Record::default(),
            rests_until: None,
            work: None,
        }
    }

    pub(super) fn connected(&self) -> Option<&Arc<Member<S>>> {
        match &self.state {
            State::Up(member) => Some(member),
            State::Untried | State::Down => None,
        }
    }

    pub(super) fn is_of_the_subset(&self) -> bool {
        self.work.is_some()
    }

    pub(super) fn condition(&self, now: Instant) -> Condition {
        match (&self.state, self.rests_until) {
            (State::Down, Some(until)) if until <= now && !self.is_of_the_subset() => Condition::Rested,
            (State::Down, _) => Condition::Down,
            (State::Untried | State::Up(_), _) => Condition::Usable,
        }
    }

    /// Takes it out of the subset. If it is down, that is remembered, so that others get their turn.
    pub(super) fn leave(&mut self, now: Instant) {
        self.work = None;
        match self.state {
            State::Down => self.rests_until = now.checked_add(REST),
            State::Untried | State::Up(_) => self.enter(State::Untried),
        }
    }

    pub(super) fn is_untried(&self) -> bool {
        self.is_of_the_subset() && self.rests_until.is_none() && matches!(self.state, State::Untried)
    }

    /// Leaves the state, without losing what was counted in it.
    pub(super) fn enter(&mut self, state: State<S>) {
        self.count();
        self.state = state;
    }

    /// Moves what callers counted into the record.
    pub(super) fn count(&mut self) {
        if let State::Up(member) = &self.state {
            self.record.counts.add(member.load.take_counts());
        }
    }
}
