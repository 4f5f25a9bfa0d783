//! All figures of a comparison, one a line: each server's, and the first server's over the second's.

use std::fmt::Write as _;

use serde::Serialize;

use super::filling::Filled;
use super::restarts::{Restart, Restarts};
use super::rows::Row;
use crate::figures::{Figures, Spread};
use crate::load::Work;

/// One figure, of every server.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Line {
    /// What it is, with its unit.
    pub what: String,
    /// By server; over the rounds, where there were several.
    pub values: Vec<Spread>,
    /// The first server over the second, round by round; none without a second.
    pub ratio: Option<Spread>,
}

impl Line {
    /// From the values of each round, by server. None without values.
    fn new(what: impl Into<String>, rounds: &[Vec<f64>]) -> Option<Self> {
        let of = |place: usize| Spread::new(rounds.iter().filter_map(|round| round.get(place).copied()));
        let values: Vec<Spread> = (0..rounds.first()?.len()).map_while(of).collect();
        let ratios = rounds.iter().filter_map(|round| match round[..] {
            [server, peer] if peer != 0.0 => Some(server / peer),
            _ => None,
        });
        (!values.is_empty()).then(|| Self { what: what.into(), values, ratio: Spread::new(ratios) })
    }
}

/// What a figure is called, with its unit, and where it stands.
type Figure<T> = (&'static str, fn(&T) -> f64);

/// All lines, in the order of the measurements.
#[must_use]
pub(super) fn lines(filled: &[Filled], rows: &[Row], restarts: &Restarts) -> Vec<Line> {
    let mut lines = of_filling(filled);
    lines.extend(rows.iter().flat_map(of_row));
    lines.extend(of_restarts("restart", &restarts.ordered));
    lines.extend(of_restarts("restart after SIGKILL", std::slice::from_ref(&restarts.crashed)));
    lines
}

fn of_filling(filled: &[Filled]) -> Vec<Line> {
    let figures: [Figure<Filled>; 12] = [
        ("key revisions", |filled| filled.key_revisions as f64),
        ("store revisions", |filled| filled.store_revisions as f64),
        ("loading, s", |filled| filled.seconds),
        ("loading, CPU µs a key revision", |filled| filled.cpu_us),
        ("loaded: RSS, MiB", |filled| mib(filled.memory.resident_bytes)),
        ("loaded: RssAnon, MiB", |filled| mib(filled.memory.anonymous_bytes)),
        ("loaded: RssFile, MiB", |filled| mib(filled.memory.file_bytes)),
        ("loaded: peak RSS, MiB", |filled| mib(filled.memory.peak_bytes)),
        ("loaded: RSS, bytes a key revision", |filled| {
            filled.memory.resident_bytes as f64 / filled.key_revisions as f64
        }),
        ("loaded: disk allocated, MiB", |filled| mib(filled.disk.allocated_bytes)),
        ("loaded: disk apparent, MiB", |filled| mib(filled.disk.apparent_bytes)),
        ("loaded: files", |filled| filled.disk.files as f64),
    ];
    let line = |(what, figure): Figure<Filled>| Line::new(what, &[filled.iter().map(figure).collect()]);
    figures.into_iter().filter_map(line).collect()
}

fn of_row(row: &Row) -> Vec<Line> {
    let work = if row.load.work == Work::Put { "put" } else { "get" };
    let clients = if row.load.clients == 1 { "client" } else { "clients" };
    let name = format!("{work}, {} {clients}", row.load.clients);
    let figures: [Figure<Figures>; 4] = [
        ("op/s", |run| run.per_second),
        ("p50 ms", |run| run.p50_ms),
        ("p99 ms", |run| run.p99_ms),
        ("CPU µs/op", |run| run.server.as_ref().map_or(f64::NAN, |server| server.cpu_us)),
    ];
    let line = |(what, figure): Figure<Figures>| Line::new(format!("{name}: {what}"), &by_round(&row.rounds, figure));
    figures.into_iter().filter_map(line).collect()
}

fn of_restarts(name: &str, rounds: &[Vec<Restart>]) -> Vec<Line> {
    let figures: [Figure<Restart>; 8] = [
        ("stop before it, s", |restart| restart.stop_seconds.unwrap_or(f64::NAN)),
        ("first read after, s", |restart| restart.seconds),
        ("CPU until then, s", |restart| restart.cpu_seconds),
        ("RSS then, MiB", |restart| mib(restart.at_first_read.resident_bytes)),
        ("RSS rested, MiB", |restart| mib(restart.rested.resident_bytes)),
        ("RssAnon rested, MiB", |restart| mib(restart.rested.anonymous_bytes)),
        ("RssFile rested, MiB", |restart| mib(restart.rested.file_bytes)),
        ("peak RSS, MiB", |restart| mib(restart.rested.peak_bytes)),
    ];
    let line = |(what, figure): Figure<Restart>| {
        // A crash is no stop.
        let rounds = by_round(rounds, figure);
        let known = rounds.iter().flatten().all(|value| !value.is_nan());
        known.then(|| Line::new(format!("{name}: {what}"), &rounds)).flatten()
    };
    figures.into_iter().filter_map(line).collect()
}

fn by_round<T>(rounds: &[Vec<T>], figure: fn(&T) -> f64) -> Vec<Vec<f64>> {
    rounds.iter().map(|round| round.iter().map(figure).collect()).collect()
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// The lines for people: medians, with the least and the greatest where there were several rounds.
#[must_use]
pub(super) fn text(names: &[&str], lines: &[Line]) -> String {
    let mut text = format!("{:42}", "");
    // Writing to a string cannot fail.
    for name in names {
        let _ = write!(text, " {name:>28}");
    }
    if let [server, peer] = names {
        let _ = write!(text, " {:>28}", format!("{server} ÷ {peer}"));
    }
    for line in lines {
        let _ = write!(text, "\n{:42}", line.what);
        for value in line.values.iter().chain(&line.ratio) {
            let _ = write!(text, " {value:>28}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::disk::DiskUsage;
    use super::*;
    use crate::usage::Memory;

    fn memory(mib: u64) -> Memory {
        Memory { resident_bytes: mib << 20, anonymous_bytes: mib << 19, file_bytes: mib << 19, peak_bytes: mib << 21 }
    }

    fn restart(stop_seconds: Option<f64>, seconds: f64) -> Restart {
        Restart { stop_seconds, seconds, cpu_seconds: 0.5, at_first_read: memory(10), rested: memory(20) }
    }

    fn filled(mib: u64) -> Filled {
        let disk = DiskUsage { allocated_bytes: 3 << 20, apparent_bytes: 4 << 20, files: 2 };
        let (key_revisions, store_revisions, seconds, cpu_us) = (1 << 20, 1 << 10, 8.0, 2.0);
        Filled { key_revisions, store_revisions, seconds, cpu_us, memory: memory(mib), disk }
    }

    fn find<'a>(lines: &'a [Line], what: &str) -> &'a Line {
        lines.iter().find(|line| line.what == what).unwrap_or_else(|| panic!("no line {what} in {lines:?}"))
    }

    #[test]
    fn ratios_are_made_round_by_round_before_the_median_is_taken() {
        // The machine slows down by half in the second round; the ratios do not notice.
        let line = Line::new("s", &[vec![1.0, 5.0], vec![2.0, 10.0], vec![1.0, 4.0]]).unwrap();
        assert_eq!(line.values[0], Spread { median: 1.0, min: 1.0, max: 2.0 });
        assert_eq!(line.values[1], Spread { median: 5.0, min: 4.0, max: 10.0 });
        assert_eq!(line.ratio, Some(Spread { median: 0.2, min: 0.2, max: 0.25 }));
    }

    #[test]
    fn a_server_without_a_peer_has_values_and_no_ratio() {
        let line = Line::new("s", &[vec![1.0], vec![3.0]]).unwrap();
        assert_eq!((line.values.len(), line.values[0].median, line.ratio), (1, 2.0, None));
        assert_eq!((Line::new("s", &[]), Line::new("s", &[vec![]])), (None, None));
    }

    #[test]
    fn the_lines_tell_bytes_in_mib_and_leave_out_the_stop_before_a_crash() {
        let ordered = vec![vec![restart(Some(1.0), 2.0), restart(Some(1.0), 20.0)]];
        let crashed = vec![restart(None, 4.0), restart(None, 10.0)];
        let lines = lines(&[filled(100), filled(400)], &[], &Restarts { ordered, crashed });
        assert_eq!(find(&lines, "loaded: RSS, MiB").ratio.unwrap().median, 0.25);
        assert_eq!(find(&lines, "loaded: RSS, bytes a key revision").values[0].median, 100.0);
        assert_eq!(find(&lines, "restart: first read after, s").ratio.unwrap().median, 0.1);
        assert_eq!(find(&lines, "restart after SIGKILL: first read after, s").ratio.unwrap().median, 0.4);
        assert_eq!(find(&lines, "restart: stop before it, s").values[1].median, 1.0);
        assert!(!lines.iter().any(|line| line.what == "restart after SIGKILL: stop before it, s"));
    }

    #[test]
    fn every_line_has_the_columns_of_the_head() {
        let lines = lines(&[filled(100), filled(400)], &[], &Restarts { ordered: Vec::new(), crashed: Vec::new() });
        let text = text(&["ours", "theirs"], &lines);
        let widths: Vec<usize> = text.lines().map(|line| line.chars().count()).collect();
        assert!(widths.len() > lines.len() && widths.iter().all(|width| *width == widths[0]), "{text}");
        assert!(text.contains("ours ÷ theirs") && text.contains("0.250"), "{text}");
    }
}
