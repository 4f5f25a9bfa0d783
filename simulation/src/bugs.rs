//! The proof that the simulation bites: bugs that are planted on purpose, and how many seeds it takes to find each.
//!
//! What always holds: a bug counts as found only by a seed that is clean without it.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use parking_lot::Mutex;
use registry_client::planted as client;
use registry_server::types::planted as server;

use crate::plan::Plan;
use crate::run::{Outcome, simulate};

/// A bug of the server or of the SDK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// In a room of the server.
    Server(server::Bug),
    /// In the SDK.
    Client(client::Bug),
}

impl Bug {
    /// All of them, room by room.
    pub fn all() -> impl Iterator<Item = Self> {
        server::Bug::ALL.iter().copied().map(Self::Server).chain(client::Bug::ALL.iter().copied().map(Self::Client))
    }

    /// The bug of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::all().find(|bug| bug.to_string() == name)
    }

    /// Where it is.
    #[must_use]
    pub fn room(self) -> &'static str {
        match self {
            Self::Server(bug) => bug.room(),
            Self::Client(_) => "SDK",
        }
    }
}

impl fmt::Display for Bug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(bug) => write!(f, "{bug:?}"),
            Self::Client(bug) => write!(f, "{bug:?}"),
        }
    }
}

/// Carries a plan out with a bug, or with none, and says how often the bug did something.
#[must_use]
pub fn simulate_with(bug: Option<Bug>, plan: &Plan, keep_trace: bool) -> (Outcome, u64) {
    let (of_server, of_client) = match bug {
        Some(Bug::Server(bug)) => (Some(bug), None),
        Some(Bug::Client(bug)) => (None, Some(bug)),
        None => (None, None),
    };
    server::plant(of_server);
    client::plant(of_client);
    let outcome = simulate(plan, keep_trace);
    let hits = server::hits() + client::hits();
    server::plant(None);
    client::plant(None);
    (outcome, hits)
}

/// A seed that finds a bug.
#[derive(Debug, Clone)]
pub struct Catch {
    /// The seed.
    pub seed: u64,
    /// What was seen that must not be.
    pub problem: String,
}

/// How the hunt for a bug ended.
#[derive(Debug, Clone)]
pub struct Hunt {
    /// Which one.
    pub bug: Bug,
    /// So many seeds were tried up to the catch, or in all.
    pub seeds: u64,
    /// In so many of them the bug did something.
    pub reached: u64,
    /// The first seed that finds it.
    pub catch: Option<Catch>,
}

/// Hunts bugs on some threads, each with a simulation at a time.
#[derive(Debug)]
pub struct Hunter {
    threads: usize,
    /// Which seeds are clean without a bug, of those that mattered so far.
    clean: Mutex<BTreeMap<u64, bool>>,
}

impl Hunter {
    /// A hunter of so many threads.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        Self { threads: threads.max(1), clean: Mutex::default() }
    }

    /// Tries seeds in their order until one finds the bug.
    #[must_use]
    pub fn hunt(&self, bug: Bug, seeds: Range<u64>) -> Hunt {
        let next = AtomicU64::new(seeds.start);
        let found = Mutex::new(BTreeMap::<u64, String>::new());
        let reached = Mutex::new(Vec::new());
        // A seed before the first that was found is never left out, so the answer does not depend on the threads.
        let is_over =
            |seed| seed >= seeds.end || found.lock().first_key_value().is_some_and(|(first, _)| *first < seed);
        let work = || {
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if is_over(seed) {
                    return;
                }
                let (problem, hits) = self.try_seed(bug, seed);
                if hits > 0 {
                    reached.lock().push(seed);
                }
                if let Some(problem) = problem {
                    found.lock().insert(seed, problem);
                }
            }
        };
        thread::scope(|scope| (0..self.threads).for_each(|_| drop(scope.spawn(work))));
        let catch = found.into_inner().pop_first().map(|(seed, problem)| Catch { seed, problem });
        let end = catch.as_ref().map_or(seeds.end, |catch| catch.seed + 1);
        let reached = reached.into_inner().iter().filter(|seed| **seed < end).count() as u64;
        Hunt { bug, seeds: end.saturating_sub(seeds.start), reached, catch }
    }

    /// What a seed finds, and how often the bug did something.
    fn try_seed(&self, bug: Bug, seed: u64) -> (Option<String>, u64) {
        let plan = Plan::new(seed);
        let (outcome, hits) = simulate_with(Some(bug), &plan, false);
        let problem = telling(&outcome);
        (problem.filter(|_| hits > 0 && self.is_clean(&plan)), hits)
    }

    /// Whether a plan has no problem that counts without a bug.
    fn is_clean(&self, plan: &Plan) -> bool {
        if let Some(known) = self.clean.lock().get(&plan.seed) {
            return *known;
        }
        let is_clean = telling(&simulate_with(None, plan, false).0).is_none();
        self.clean.lock().insert(plan.seed, is_clean);
        is_clean
    }
}

/// What says most about what went wrong: a promise that was broken, else whatever else must not have happened.
fn telling(outcome: &Outcome) -> Option<String> {
    let hard = outcome.report.violations.iter().find(|violation| !violation.promise.is_soft());
    hard.map(ToString::to_string).or_else(|| outcome.problems.iter().min_by_key(|problem| is_vague(problem)).cloned())
}

/// What follows from much else.
fn is_vague(problem: &str) -> bool {
    problem.contains("did not reach revision") || problem.contains("the machine has stopped")
}
