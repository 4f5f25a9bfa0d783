//! Tables for people, and the same as JSON.

use std::fmt::Write as _;

use serde::Serialize;

use crate::figures::{Figures, Ratios, Spread};
use crate::load::Load;

/// Everything about a measurement, as `--json` writes it.
#[derive(Debug, Serialize)]
pub struct Report<'a> {
    /// What was asked.
    pub load: &'a Load,
    /// The names of what was asked, in the order of each round.
    pub programs: Vec<String>,
    /// Cores of the machine.
    pub cores: usize,
    /// How busy it was when the measurement began and ended: the mean number of runnable tasks over a minute.
    /// It includes the measurement's own.
    pub load_average: [Option<f64>; 2],
    /// Figures by round and program.
    pub rounds: &'a [Vec<Figures>],
    /// The first program over the second, when there are two.
    pub ratios: Option<Ratios>,
}

/// The mean number of runnable tasks over the last minute.
#[must_use]
pub fn load_average() -> Option<f64> {
    std::fs::read_to_string("/proc/loadavg").ok()?.split_ascii_whitespace().next()?.parse().ok()
}

/// The line above the rows.
#[must_use]
pub fn head() -> String {
    format!(
        "{:30} {:>10} {:>9} {:>9} {:>9} {:>9} {:>11} {:>8} {:>8} {:>10}",
        "", "op/s", "p50 ms", "p99 ms", "p99.9", "max", "CPU µs/op", "RSS MiB", "peak", "generator"
    )
}

/// One run's figures.
#[must_use]
pub fn row(name: &str, figures: &Figures) -> String {
    let mib = |bytes: u64| format!("{:.0}", bytes as f64 / f64::from(1 << 20));
    let server = figures.server.as_ref();
    let [cpu, resident, peak] = match server {
        Some(server) => [format!("{:.2}", server.cpu_us), mib(server.resident_bytes), mib(server.peak_bytes)],
        None => ["-", "-", "-"].map(str::to_owned),
    };
    format!(
        "{name:30} {:>10.0} {:>9.3} {:>9.3} {:>9.3} {:>9.3} {cpu:>11} {resident:>8} {peak:>8} {:>10.2}",
        figures.per_second, figures.p50_ms, figures.p99_ms, figures.p999_ms, figures.max_ms, figures.generator_cpu_us,
    )
}

/// Medians of several runs of one program; none without runs.
#[must_use]
pub fn median(runs: &[&Figures]) -> Option<Figures> {
    let of = |figure: fn(&Figures) -> f64| Spread::new(runs.iter().map(|run| figure(run))).map(|spread| spread.median);
    let servers: Option<Vec<_>> = runs.iter().map(|run| run.server.as_ref()).collect();
    let server = servers.and_then(|servers| {
        let of = |figure: fn(&crate::figures::ServerFigures) -> f64| {
            Spread::new(servers.iter().map(|server| figure(server))).map(|spread| spread.median)
        };
        Some(crate::figures::ServerFigures {
            cpu_us: of(|server| server.cpu_us)?,
            resident_bytes: of(|server| server.resident_bytes as f64)? as u64,
            peak_bytes: of(|server| server.peak_bytes as f64)? as u64,
            members: Vec::new(),
        })
    });
    Some(Figures {
        operations: of(|run| run.operations as f64)? as u64,
        seconds: of(|run| run.seconds)?,
        per_second: of(|run| run.per_second)?,
        p50_ms: of(|run| run.p50_ms)?,
        p99_ms: of(|run| run.p99_ms)?,
        p999_ms: of(|run| run.p999_ms)?,
        max_ms: of(|run| run.max_ms)?,
        generator_cpu_us: of(|run| run.generator_cpu_us)?,
        server,
    })
}

/// The ratios, one a line: the median over the pairs, and the least and the greatest of them.
#[must_use]
pub fn ratios(ratios: &Ratios) -> String {
    let rows = [
        ("op/s", "more is better", ratios.per_second),
        ("p50", "less is better", ratios.p50),
        ("p99", "less is better", ratios.p99),
        ("server CPU an operation", "less is better", ratios.cpu),
        ("RSS at the end", "less is better", ratios.resident),
    ];
    let mut text = String::new();
    for (name, sense, Spread { median, min, max }) in rows {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {name:24} {median:>7.3}  ({min:.3} to {max:.3})  {sense}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(per_second: f64) -> Figures {
        let (p50_ms, p99_ms, p999_ms, max_ms) = (1.0, 2.0, 3.0, 4.0);
        let (operations, seconds, generator_cpu_us, server) = (10, 1.0, 5.0, None);
        Figures { operations, seconds, per_second, p50_ms, p99_ms, p999_ms, max_ms, generator_cpu_us, server }
    }

    #[test]
    fn a_row_has_as_many_columns_as_the_head() {
        let (head, row) = (head(), row("name", &figures(100.0)));
        assert_eq!(head.chars().count(), row.chars().count(), "{head}\n{row}");
    }

    #[test]
    fn the_median_row_takes_each_column_by_itself() {
        let runs = [figures(1.0), figures(3.0), figures(2.0)];
        let middle = median(&runs.iter().collect::<Vec<_>>()).unwrap();
        assert!((middle.per_second - 2.0).abs() < 1e-9 && middle.server.is_none());
        assert!(median(&[]).is_none());
    }
}
