//! What a row gave: the samples of each pair, and the lines made of them. Pure.

use serde::Serialize;

use super::goal::Goal;
use super::measure::Measure;
use super::rows::Row;
use crate::figures::{Figures, Spread};

/// What one run of one server gave.
#[derive(Debug, Clone, Serialize)]
pub struct Sample {
    /// In the order in which tables have them.
    pub values: Vec<(Measure, f64)>,
    /// All figures of the load, where there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub figures: Option<Figures>,
}

impl Sample {
    /// Of a load on servers whose processes are known.
    pub(super) fn of_load(figures: Figures) -> Self {
        let mut values = vec![
            (Measure::Throughput, figures.per_second),
            (Measure::P50, figures.p50_ms),
            (Measure::P99, figures.p99_ms),
            (Measure::GeneratorCpu, figures.generator_cpu_us),
        ];
        if let Some(server) = &figures.server {
            values.push((Measure::Cpu, server.cpu_us));
            values.push((Measure::Resident, server.resident_bytes as f64 / f64::from(1 << 20)));
        }
        Self { values, figures: Some(figures) }
    }

    fn value(&self, measure: Measure) -> Option<f64> {
        self.values.iter().find(|(of, _)| *of == measure).map(|(_, value)| *value)
    }
}

/// One quantity of a row, over all its pairs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Line {
    /// Which.
    pub measure: Measure,
    /// Of its values; empty for a pure number.
    pub unit: &'static str,
    /// The server's and, if there is one, the peer's.
    pub values: Vec<Spread>,
    /// The server's over the peer's, pair by pair.
    pub ratio: Option<Spread>,
    /// What it should come to.
    pub goal: Option<Goal>,
    /// Whether the median does; unknown without a goal or a peer.
    pub met: Option<bool>,
}

/// A row that was measured, whole or in part.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// Which.
    pub row: Row,
    /// What it is, in words.
    pub title: String,
    /// Members of each server.
    pub nodes: usize,
    /// How long all its runs took, in seconds.
    pub seconds: f64,
    /// By pair and server.
    pub pairs: Vec<Vec<Sample>>,
    /// Medians, ratios and goals; none of a row that failed.
    pub lines: Vec<Line>,
    /// Why it has no lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Makes the lines of a row: a measure that not all samples have has none.
pub(super) fn lines(row: Row, nodes: usize, pairs: &[Vec<Sample>]) -> Vec<Line> {
    let measures = pairs.first().and_then(|pair| pair.first()).map_or(&[][..], |sample| &sample.values);
    let goal = |measure| row.goals(nodes).find(|goal| goal.measure == measure);
    measures.iter().filter_map(|(measure, _)| line(*measure, goal(*measure), pairs)).collect()
}

fn line(measure: Measure, goal: Option<Goal>, pairs: &[Vec<Sample>]) -> Option<Line> {
    let of_pair = |pair: &Vec<Sample>| pair.iter().map(|sample| sample.value(measure)).collect::<Option<Vec<f64>>>();
    let values: Vec<Vec<f64>> = pairs.iter().map(of_pair).collect::<Option<_>>()?;
    let of_server = |place: usize| Spread::new(values.iter().filter_map(|pair| pair.get(place).copied()));
    let ratios = values.iter().filter_map(|pair| match pair[..] {
        [server, peer] if peer != 0.0 => Some(server / peer),
        _ => None,
    });
    let ratio = Spread::new(ratios);
    let values: Vec<Spread> = (0..2).map_while(of_server).collect();
    let met = goal.and_then(|goal| goal.bound.is_met(*values.first()?, ratio));
    Some(Line { measure, unit: measure.unit(), values, ratio, goal, met })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn sample(throughput: f64, cpu: f64) -> Sample {
        Sample { values: vec![(Measure::Throughput, throughput), (Measure::Cpu, cpu)], figures: None }
    }

    fn find(lines: &[Line], measure: Measure) -> &Line {
        lines.iter().find(|line| line.measure == measure).unwrap()
    }

    #[test]
    fn ratios_are_made_pair_by_pair_and_held_against_the_goals() {
        // The machine slows down by half in the second pair; the ratios do not notice.
        let pairs = [
            vec![sample(300.0, 10.0), sample(100.0, 40.0)],
            vec![sample(150.0, 20.0), sample(50.0, 90.0)],
            vec![sample(200.0, 10.0), sample(100.0, 30.0)],
        ];
        let lines = lines(Row::Put, 1, &pairs);
        let throughput = find(&lines, Measure::Throughput);
        assert_eq!(throughput.ratio, Some(Spread { median: 3.0, min: 2.0, max: 3.0 }));
        assert_eq!((throughput.values[0].median, throughput.values[1].median), (200.0, 100.0));
        assert_eq!((throughput.met, find(&lines, Measure::Cpu).met), (Some(true), Some(true)));
        let slower = [vec![sample(100.0, 11.0), sample(100.0, 40.0)]];
        let lines = super::lines(Row::Put, 1, &slower);
        assert_eq!(find(&lines, Measure::Throughput).met, Some(false));
        assert_eq!(find(&lines, Measure::Cpu).met, Some(false));
    }

    #[test]
    fn three_nodes_have_the_goal_of_three() {
        let pairs = [vec![sample(2.7, 1.0), sample(1.0, 4.0)]];
        let met = |nodes| find(&lines(Row::Put, nodes, &pairs), Measure::Throughput).met;
        assert_eq!((met(1), met(3)), (Some(true), Some(false)));
    }

    #[test]
    fn without_a_peer_there_are_values_and_no_verdict() {
        let lines = lines(Row::Put, 1, &[vec![sample(1.0, 2.0)], vec![sample(3.0, 2.0)]]);
        let line = find(&lines, Measure::Throughput);
        assert_eq!((line.values.len(), line.values[0].median, line.ratio, line.met), (1, 2.0, None, None));
    }
}
