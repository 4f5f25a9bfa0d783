//! What is asked of a comparison.

use std::time::Duration;

use serde::Serialize;

use super::rows::Row;
use crate::BenchError;
use crate::load::{Amount, Load, Work};

/// Fewer pairs than this are a hint and decide nothing.
pub(super) const PAIRS_THAT_COUNT: usize = 5;

/// A comparison.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// The rows, in order.
    pub rows: Vec<Row>,
    /// Members of each server.
    pub nodes: usize,
    /// How often both servers are measured in each row.
    pub pairs: usize,
    /// How long a load is measured, each time.
    pub duration: Duration,
    /// How long the same load runs before that.
    pub warmup: Duration,
    /// Clients of the rows with many; a tenth of them in the rows with fewer.
    pub clients: usize,
    /// Over how many connections the many are spread.
    pub connections: usize,
    /// How many threads the generator uses.
    pub threads: usize,
    /// How many keys there are under a load.
    pub key_space: u64,
}

impl Plan {
    /// Checks that it can be carried out.
    ///
    /// # Errors
    /// [`BenchError::Load`] with the flag to change.
    pub fn validate(&self) -> Result<(), BenchError> {
        let faults = [
            (self.rows.is_empty(), "--rows must name at least one"),
            (self.pairs == 0, "--pairs must be at least 1"),
            (self.nodes == 0, "--nodes must be at least 1"),
            (self.duration.is_zero(), "--duration must be above 0"),
        ];
        if let Some((_, text)) = faults.iter().find(|(wrong, _)| *wrong) {
            return Err(BenchError::Load((*text).to_owned()));
        }
        self.rows.iter().try_for_each(|row| row.load(self).validate())
    }

    pub(super) fn load(&self, work: Work, clients: usize, connections: usize) -> Load {
        let connections = connections.min(clients);
        Load {
            work,
            clients,
            connections,
            threads: self.threads.min(connections),
            amount: Amount::Time(self.duration),
            warmup: self.warmup,
            key_space: self.key_space,
            range_keys: self.key_space.min(1_000),
            ..Load::default()
        }
    }
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            rows: Row::all().to_vec(),
            nodes: 1,
            pairs: PAIRS_THAT_COUNT,
            duration: Duration::from_secs(10),
            warmup: Duration::from_secs(1),
            clients: 1_000,
            connections: 100,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            key_space: 100_000,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_that_cannot_be_carried_out_names_its_flag() {
        Plan::default().validate().unwrap();
        let refused = |plan: Plan| plan.validate().unwrap_err().to_string();
        assert!(refused(Plan { rows: Vec::new(), ..Plan::default() }).contains("--rows"));
        assert!(refused(Plan { pairs: 0, ..Plan::default() }).contains("--pairs"));
        assert!(refused(Plan { duration: Duration::ZERO, ..Plan::default() }).contains("--duration"));
    }
}
