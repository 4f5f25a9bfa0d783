//! The rows of the comparison and their goals: the one place where these are written down.

use clap::ValueEnum;
use serde::Serialize;

use super::goal::Goal;
use super::measure::Measure;
use super::plan::Plan;
use crate::load::{Load, Work};

/// A row, as `--rows` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Row {
    /// Puts of one client.
    #[value(name = "put-1")]
    #[serde(rename = "put-1")]
    Put1,
    /// Puts of 1,000 clients.
    Put,
    /// Linearizable reads of one key, 1,000 clients.
    Get,
    /// Serializable reads of one key, 1,000 clients.
    GetSerializable,
    /// Ranges of 1,000 keys, 100 clients.
    Range,
    /// Lease keep-alives, 1,000 clients.
    KeepAlive,
    /// Transactions of eight puts, 1,000 clients.
    Txn,
    /// Events of one key at 1,000 watchers, as fast as it goes.
    FanOut,
    /// How late events are at 100 watchers, at 200 puts a second.
    Lag,
}

const CPU: Measure = Measure::Cpu;
const THROUGHPUT: Measure = Measure::Throughput;

const PUT_1: &[Goal] =
    &[Goal::at_most(CPU, 1.0 / 3.0), Goal::at_most(Measure::P50, 1.0), Goal::at_most(Measure::P99, 1.0)];
const PUT: &[Goal] = &[
    Goal::at_most(CPU, 0.25),
    Goal::at_least(THROUGHPUT, 2.5).of_nodes(1),
    Goal::at_least(THROUGHPUT, 3.0).of_nodes(3),
];
const GET: &[Goal] = &[Goal::at_most(CPU, 0.25), Goal::at_least(THROUGHPUT, 2.5)];
const GET_SERIALIZABLE: &[Goal] = &[Goal::at_most(CPU, 0.2), Goal::at_least(THROUGHPUT, 2.5)];
const RANGE: &[Goal] = &[Goal::at_most(CPU, 1.0 / 12.0), Goal::at_least(THROUGHPUT, 4.0)];
const KEEP_ALIVE: &[Goal] = &[Goal::at_most(CPU, 0.25)];
const TXN: &[Goal] = &[Goal::at_most(CPU, 0.25)];
const FAN_OUT: &[Goal] = &[Goal::at_most(CPU, 0.1), Goal::at_least(THROUGHPUT, 2.0)];
const LAG: &[Goal] = &[Goal::at_most(Measure::P99, 1.0)];

impl Row {
    /// All rows, in the order in which they are measured.
    #[must_use]
    pub fn all() -> &'static [Self] {
        Self::value_variants()
    }

    /// As `--rows` and `--json` name it.
    #[must_use]
    pub fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// What it should come to on servers with so many nodes.
    pub(super) fn goals(self, nodes: usize) -> impl Iterator<Item = Goal> {
        let goals = match self {
            Self::Put1 => PUT_1,
            Self::Put => PUT,
            Self::Get => GET,
            Self::GetSerializable => GET_SERIALIZABLE,
            Self::Range => RANGE,
            Self::KeepAlive => KEEP_ALIVE,
            Self::Txn => TXN,
            Self::FanOut => FAN_OUT,
            Self::Lag => LAG,
        };
        goals.iter().copied().filter(move |goal| goal.is_for(nodes))
    }

    /// The load that it measures.
    pub(super) fn load(self, plan: &Plan) -> Load {
        let few = plan.clients.div_ceil(10);
        match self {
            Self::Put1 => plan.load(Work::Put, 1, 1),
            Self::Put => plan.load(Work::Put, plan.clients, plan.connections),
            Self::Get => plan.load(Work::Get, plan.clients, plan.connections),
            Self::GetSerializable => {
                Load { serializable: true, ..plan.load(Work::Get, plan.clients, plan.connections) }
            }
            Self::Range => plan.load(Work::Range, few, few),
            Self::KeepAlive => plan.load(Work::KeepAlive, plan.clients, plan.connections),
            Self::Txn => plan.load(Work::Txn, plan.clients, plan.connections),
            Self::FanOut => Load { watchers: plan.clients, ..plan.load(Work::Watch, few, few) },
            Self::Lag => {
                let streams = few.div_ceil(10);
                Load { watchers: few, rate: Some(200.0), ..plan.load(Work::Watch, streams, streams) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_can_be_made_and_has_a_goal() {
        let plan = Plan::default();
        for row in Row::all() {
            row.load(&plan).validate().unwrap();
            assert!(row.goals(1).count() > 0 && row.goals(3).count() > 0, "{row:?}");
            assert!(!row.name().is_empty());
        }
    }

    #[test]
    fn a_measure_has_at_most_one_goal_in_a_row() {
        for (row, nodes) in Row::all().iter().flat_map(|row| [(row, 1), (row, 3)]) {
            let mut measures: Vec<Measure> = row.goals(nodes).map(|goal| goal.measure).collect();
            let count = measures.len();
            measures.sort();
            measures.dedup();
            assert_eq!(measures.len(), count, "{row:?}");
        }
    }

    #[test]
    fn the_loads_are_those_of_the_published_table() {
        let plan = Plan::default();
        let put = Row::Put.load(&plan);
        assert_eq!(
            (put.clients, put.connections, put.key_bytes, put.value_bytes, put.key_space),
            (1000, 100, 16, 256, 100_000)
        );
        let range = Row::Range.load(&plan);
        assert_eq!((range.clients, range.range_keys, range.serializable), (100, 1_000, false));
        let fan_out = Row::FanOut.load(&plan);
        assert_eq!((fan_out.watchers, fan_out.rate, fan_out.spread), (1_000, None, false));
        let lag = Row::Lag.load(&plan);
        assert_eq!((lag.watchers, lag.rate, lag.clients), (100, Some(200.0), 10));
    }
}
