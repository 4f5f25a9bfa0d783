//! What runs with and without stalled watchers gave, and how they compare.

use serde::Serialize;

use super::Stall;
use super::reader::Caught;
use crate::figures::{Figures, Ratios, Spread};

/// One run. One operation is one put, which is one event at one fast watcher; its latency is that event's lag.
#[derive(Debug, Clone, Serialize)]
pub struct Run {
    /// The fast ones while the stalled read nothing.
    pub stall: Figures,
    /// The fast ones while the stalled read what they missed.
    pub catch_up: Figures,
    /// What each stalled watcher got.
    pub caught: Vec<Caught>,
    /// The server's memory over the whole run; empty when its process is not known.
    pub memory: Vec<Sample>,
}

/// One look at the server's memory.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Sample {
    /// Since the stall began.
    pub seconds: f64,
    /// Resident.
    pub resident_bytes: u64,
}

/// A run without stalled watchers, and the one with them right after it.
#[derive(Debug, Clone, Serialize)]
pub struct Pair {
    /// Without.
    pub without: Run,
    /// With.
    pub with: Run,
}

/// All pairs of one program.
#[derive(Debug, Clone, Serialize)]
pub struct Pairs {
    /// The program.
    pub name: String,
    /// In the order of the rounds.
    pub pairs: Vec<Pair>,
}

/// Everything about a comparison, as `--json` writes it.
#[derive(Debug, Clone, Serialize)]
pub struct Comparison {
    /// What was asked.
    pub plan: Stall,
    /// Cores of the machine.
    pub cores: usize,
    /// How busy it was when the measurement began and ended: the mean number of runnable tasks over a minute.
    /// It includes the measurement's own.
    pub load_average: [Option<f64>; 2],
    /// Figures by program.
    pub programs: Vec<Pairs>,
}

impl Run {
    /// The most memory the server had while its memory was looked at.
    #[must_use]
    pub fn peak_bytes(&self) -> Option<u64> {
        self.memory.iter().map(|sample| sample.resident_bytes).max()
    }
}

impl Pairs {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), pairs: Vec::new() }
    }

    /// Adds the runs of a round: without, then with.
    pub(super) fn add(&mut self, runs: Vec<Run>) {
        if let Ok([without, with]) = <[Run; 2]>::try_from(runs) {
            self.pairs.push(Pair { without, with });
        }
    }

    /// With ÷ without, while the stalled read nothing.
    #[must_use]
    pub fn stall(&self) -> Option<Ratios> {
        self.ratios(|run| &run.stall)
    }

    /// With ÷ without, while they read what they missed.
    #[must_use]
    pub fn catch_up(&self) -> Option<Ratios> {
        self.ratios(|run| &run.catch_up)
    }

    /// Bytes of memory that the server had more with stalled watchers than without: at the end of the stall, and
    /// at the most of each run.
    #[must_use]
    pub fn extra_bytes(&self) -> Option<[Spread; 2]> {
        let at_the_end = |run: &Run| run.stall.server.as_ref().map(|server| server.resident_bytes);
        Some([self.difference(at_the_end)?, self.difference(Run::peak_bytes)?])
    }

    fn ratios(&self, phase: fn(&Run) -> &Figures) -> Option<Ratios> {
        let pairs = self.pairs.iter().map(|pair| (phase(&pair.with).clone(), phase(&pair.without).clone()));
        Ratios::new(&pairs.collect::<Vec<_>>())
    }

    fn difference(&self, bytes: impl Fn(&Run) -> Option<u64>) -> Option<Spread> {
        let of = |pair: &Pair| Some(bytes(&pair.with)? as f64 - bytes(&pair.without)? as f64);
        Spread::new(self.pairs.iter().map(of).collect::<Option<Vec<_>>>()?)
    }
}
