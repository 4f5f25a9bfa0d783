//! What came of judging a history: which promises were broken, by which calls and watches, and how much was
//! looked at, so that a run that judged nothing does not pass for a good one.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::model::Dialect;

/// So many violations of one promise are told; the first say what is wrong, and the rest mostly follow from them.
const TOLD_OF_ONE: usize = 20;

/// What may be expected of the server that was run.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Whose behaviour the model has.
    pub dialect: Dialect,
    /// So much sooner than its TTL a lease may seem to end, as the clocks of clients and server differ.
    pub early: Duration,
    /// So much after its TTL a lease has ended: a checkpoint interval and an election for each change of leader.
    pub late: Duration,
    /// So soon after a registration was dropped its lease is given back.
    pub revoke: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let late = Duration::from_secs(10);
        Self { dialect: Dialect::Registry, early: Duration::ZERO, late, revoke: Duration::from_secs(5) }
    }
}

/// What a server promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Promise {
    /// All watchers of everything tell the same history.
    OneHistory,
    /// Revisions follow each other without a gap.
    NoGap,
    /// An acknowledged write is in the history, at the revision that was told.
    NoLostWrite,
    /// A write happens once at most.
    OnceAtMost,
    /// All of a write happens or nothing.
    AllOrNothing,
    /// A revision belongs to one write.
    OneWriteARevision,
    /// Nothing is in the history that nobody asked for.
    NothingInvented,
    /// A refused call changes nothing.
    RefusedMeansUnchanged,
    /// An answer says what the state is at its revision.
    RightAnswer,
    /// Who asks after an answer was given sees what it tells of, and writes after it.
    RealTime,
    /// What is compacted, and only that, is refused as compacted; only what has not happened as future.
    RightRefusal,
    /// On one member, revisions never go backwards.
    Monotonic,
    /// Events come in the order of revisions.
    WatchOrdered,
    /// Each event comes once.
    WatchUnique,
    /// No event is left out.
    WatchReliable,
    /// The events of a revision come together.
    WatchAtomic,
    /// A watch goes on exactly where another ended.
    WatchResumable,
    /// A progress notification comes after all that it covers.
    WatchBookmarkable,
    /// Only what was asked for is told.
    WatchFilter,
    /// What was before an event is right.
    WatchPrevKv,
    /// An event tells what happened.
    WatchTrue,
    /// A watch begins with its creation and ends with its cancellation, whose reason is right.
    WatchProtocol,
    /// A lease ends no sooner than its TTL after its last renewal.
    LeaseNeverEarly,
    /// A lease ends within the promised time.
    LeaseNeverLate,
    /// A lease never has more left than was granted.
    LeaseTtl,
    /// A lease that has ended stays so.
    LeaseEndsForGood,
    /// With a lease go its keys.
    LeaseTakesItsKeys,
    /// No lease is there that nobody asked for.
    LeaseWasGranted,
    /// All members have the same state.
    MembersAgree,
    /// The members have what the history leads to.
    MembersRight,
    /// Nothing is left of a registration that has ended.
    RegistrationEnds,
    /// A registration that is dropped is gone soon; softer than the others, as nobody waits for it.
    RegistrationEndsSoon,
}

impl Promise {
    /// Whether it is an aim rather than a guarantee.
    #[must_use]
    pub fn is_soft(self) -> bool {
        self == Self::RegistrationEndsSoon
    }
}

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which one.
    pub promise: Promise,
    /// How, in one line.
    pub text: String,
    /// The indices of the calls that it concerns.
    pub calls: Vec<usize>,
    /// The indices of the watches that it concerns.
    pub watches: Vec<usize>,
}

impl Violation {
    pub(crate) fn new(promise: Promise, text: String) -> Self {
        Self { promise, text, calls: Vec::new(), watches: Vec::new() }
    }

    pub(crate) fn calls(mut self, calls: impl IntoIterator<Item = usize>) -> Self {
        self.calls.extend(calls);
        self
    }

    pub(crate) fn watches(mut self, watches: impl IntoIterator<Item = usize>) -> Self {
        self.watches.extend(watches);
        self
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.promise, self.text)?;
        if !self.calls.is_empty() {
            write!(f, "; calls {:?}", self.calls)?;
        }
        if !self.watches.is_empty() {
            write!(f, "; watches {:?}", self.watches)?;
        }
        Ok(())
    }
}

/// How much was judged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Calls by kind and outcome.
    pub calls: BTreeMap<(&'static str, &'static str), usize>,
    /// Revisions whose events are known.
    pub revisions: usize,
    /// Revisions of which nothing is known, from one to another. After one, answers are compared
    /// again from the next read of everything on.
    pub gaps: Vec<(i64, i64)>,
    /// Events of these revisions.
    pub events: usize,
    /// Answers that were compared with the model's.
    pub compared: usize,
    /// Writes of unknown outcome that were found in the history.
    pub found: usize,
    /// Watches.
    pub watches: usize,
    /// Events that watches told.
    pub told: usize,
    /// Leases that calls name.
    pub leases: usize,
    /// Of them and others, how many ended by themselves with keys, as the history shows.
    pub expired: usize,
    /// Final states.
    pub members: usize,
    /// Registrations.
    pub registrations: usize,
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// What was broken, the promises in their order; of each the first violations.
    pub violations: Vec<Violation>,
    /// How many more there were of a promise.
    pub omitted: BTreeMap<Promise, usize>,
    /// What was judged.
    pub counts: Counts,
}

impl Report {
    pub(crate) fn new(mut all: Vec<Violation>, counts: Counts) -> Self {
        all.sort_by_key(|violation| violation.promise);
        let mut told: BTreeMap<Promise, usize> = BTreeMap::new();
        let mut violations = Vec::new();
        for violation in all {
            let count = told.entry(violation.promise).or_default();
            *count += 1;
            if *count <= TOLD_OF_ONE {
                violations.push(violation);
            }
        }
        told.retain(|_, count| *count > TOLD_OF_ONE);
        let omitted = told.into_iter().map(|(promise, count)| (promise, count - TOLD_OF_ONE)).collect();
        Self { violations, omitted, counts }
    }

    /// Whether every guarantee was kept; aims are not asked for.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.violations.iter().all(|violation| violation.promise.is_soft())
    }

    /// Whether a promise was broken.
    #[must_use]
    pub fn breaks(&self, promise: Promise) -> bool {
        self.violations.iter().any(|violation| violation.promise == promise)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for violation in &self.violations {
            writeln!(f, "{violation}")?;
        }
        for (promise, count) in &self.omitted {
            writeln!(f, "{promise:?}: {count} more")?;
        }
        write!(f, "{:?}", self.counts)
    }
}
