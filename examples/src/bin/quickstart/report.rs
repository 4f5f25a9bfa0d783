//! What the run showed, and whether it is what was promised.

use std::fmt;
use std::time::Duration;

use crate::traffic::Tally;

/// The figures of a run.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) tally: Tally,
    /// Each change, and how long it took until the balancer acted on it.
    pub(crate) changes: Vec<(&'static str, Duration)>,
    /// From SIGKILL until the key was gone.
    pub(crate) expired: Duration,
    /// The instance that was killed; only it may have failed requests.
    pub(crate) crashed: &'static str,
    /// As many requests could be in its hands.
    pub(crate) callers: u64,
    /// Instances that were told to end and did not end well.
    pub(crate) unclean: Vec<String>,
    /// Leases that the registry holds after all services are gone and the TTL has passed.
    pub(crate) leases: usize,
}

impl Report {
    fn crash_cost(&self) -> u64 {
        self.tally.failed.get(self.crashed).map_or(0, |failed| failed.requests)
    }

    fn other_failures(&self) -> u64 {
        self.tally.failures() - self.crash_cost()
    }

    /// Each promise, and whether it was kept.
    fn promises(&self) -> [(bool, String); 4] {
        let (cost, other) = (self.crash_cost(), self.other_failures());
        let (most, unclean) = (self.callers, self.unclean.join(", "));
        [
            (other == 0, format!("no request failed for an instance that came or ended in order: {other} did")),
            (
                cost <= most,
                format!("the crash cost no more than the requests it had in hand: {cost} of at most {most}"),
            ),
            (
                unclean.is_empty(),
                format!("every service that was told to end ended in order{}{unclean}", colon(&unclean)),
            ),
            (self.leases == 0, format!("no lease outlived its service: the registry holds {}", self.leases)),
        ]
    }

    /// Whether all promises were kept.
    pub(crate) fn is_kept(&self) -> bool {
        self.promises().iter().all(|(kept, _)| *kept)
    }
}

fn colon(rest: &str) -> &'static str {
    if rest.is_empty() { "" } else { ", but: " }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "\nrequests           {}", self.tally.requests())?;
        writeln!(formatter, "failures           {}", self.tally.failures())?;
        for failed in self.tally.failed.values() {
            writeln!(formatter, "                   {} × {}", failed.requests, failed.last)?;
        }
        writeln!(formatter, "\nuntil the balancer acted on it")?;
        for (change, took) in &self.changes {
            writeln!(formatter, "  {change:<40} {:>8.1} ms", took.as_secs_f64() * 1e3)?;
        }
        writeln!(formatter, "  {:<40} {:>8.1} ms\n", "killed → its key expired", self.expired.as_secs_f64() * 1e3)?;
        for (kept, promise) in self.promises() {
            writeln!(formatter, "{} {promise}", if kept { "kept   " } else { "BROKEN " })?;
        }
        Ok(())
    }
}
