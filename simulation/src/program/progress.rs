//! How far a run of many seeds has come, on the terminal and in a file.

use std::collections::BTreeMap;
use std::fs::read_to_string;
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::run::Outcome;

/// What was simulated so far.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) seeds: u64,
    pub(super) failed: u64,
    pub(super) calls: u64,
    pub(super) events: u64,
    pub(super) watches: u64,
    pub(super) leases: u64,
    pub(super) faults: u64,
    pub(super) messages: u64,
    pub(super) virtual_ms: u64,
    /// The fewest that one seed had.
    pub(super) least_calls: u64,
    pub(super) least_watches: u64,
    pub(super) least_leases: u64,
    pub(super) least_faults: u64,
    pub(super) least_virtual_ms: u64,
}

impl Totals {
    /// What one seed came to.
    pub(super) fn of(outcome: &Outcome, faults: usize) -> Self {
        let counts = &outcome.report.counts;
        let (calls, watches) = (outcome.history.calls.len() as u64, counts.watches as u64);
        let (leases, faults, virtual_ms) = (counts.leases as u64, faults as u64, outcome.lasted.as_millis() as u64);
        Self {
            seeds: 1,
            failed: u64::from(!outcome.problems.is_empty()),
            calls,
            events: counts.told as u64,
            watches,
            leases,
            faults,
            messages: outcome.messages,
            virtual_ms,
            least_calls: calls,
            least_watches: watches,
            least_leases: leases,
            least_faults: faults,
            least_virtual_ms: virtual_ms,
        }
    }

    /// Adds what other seeds came to.
    pub(super) fn add(&mut self, mut more: Self) {
        let is_first = self.seeds == 0;
        for ((name, sum), (_, value)) in self.fields().into_iter().zip(more.fields()) {
            match name.starts_with("least_") {
                true if is_first => *sum = *value,
                true => *sum = (*sum).min(*value),
                false => *sum += *value,
            }
        }
    }

    fn fields(&mut self) -> [(&'static str, &mut u64); 14] {
        [
            ("seeds", &mut self.seeds),
            ("failed", &mut self.failed),
            ("calls", &mut self.calls),
            ("events", &mut self.events),
            ("watches", &mut self.watches),
            ("leases", &mut self.leases),
            ("faults", &mut self.faults),
            ("messages", &mut self.messages),
            ("virtual_ms", &mut self.virtual_ms),
            ("least_calls", &mut self.least_calls),
            ("least_watches", &mut self.least_watches),
            ("least_leases", &mut self.least_leases),
            ("least_faults", &mut self.least_faults),
            ("least_virtual_ms", &mut self.least_virtual_ms),
        ]
    }
}

/// What a run keeps in a file: up to which seed all are done, and what they came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) seeds: Range<u64>,
    pub(super) next: u64,
    pub(super) totals: Totals,
}

impl Kept {
    /// What a file says of a run of these seeds; a beginning if there is no such file.
    pub(super) fn load(path: &Path, seeds: &Range<u64>) -> io::Result<Self> {
        let text = match read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            text => text?,
        };
        let fields: BTreeMap<&str, u64> = text
            .lines()
            .filter_map(|line| line.split_once(' '))
            .filter_map(|(name, value)| Some((name, value.parse().ok()?)))
            .collect();
        let mut kept = Self { seeds: seeds.clone(), next: seeds.start, totals: Totals::default() };
        if fields.is_empty() {
            return Ok(kept);
        }
        if (fields.get("from"), fields.get("to")) != (Some(&seeds.start), Some(&seeds.end)) {
            let text = format!("{} is of another run: remove it, or give the same seeds", path.display());
            return Err(io::Error::other(text));
        }
        kept.next = fields.get("next").copied().unwrap_or(seeds.start);
        for (name, value) in kept.totals.fields() {
            *value = fields.get(name).copied().unwrap_or_default();
        }
        Ok(kept)
    }

    /// Replaces the file as a whole.
    pub(super) fn save(&self, path: &Path) -> io::Result<()> {
        let mut totals = self.totals.clone();
        let mut text = format!("from {}\nto {}\nnext {}\n", self.seeds.start, self.seeds.end, self.next);
        for (name, value) in totals.fields() {
            text.push_str(&format!("{name} {value}\n"));
        }
        let mut temporary = PathBuf::from(path);
        temporary.as_mut_os_string().push(".new");
        create(&temporary)?.write_all(text.as_bytes())?;
        replace(&temporary, path)
    }
}

#[expect(clippy::disallowed_methods, reason = "a file of the tool, not of a member")]
fn create(path: &Path) -> io::Result<impl Write> {
    std::fs::File::create(path)
}

#[expect(clippy::disallowed_methods, reason = "a file of the tool, not of a member")]
fn replace(temporary: &Path, path: &Path) -> io::Result<()> {
    std::fs::rename(temporary, path)
}

/// A bar for so many seeds; nothing where nobody looks.
pub(super) fn bar(seeds: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} seeds, {elapsed}, {eta} left, {msg}");
    let bar = ProgressBar::new(seeds);
    bar.enable_steady_tick(Duration::from_secs(1));
    style.map_or(bar.clone(), |style| bar.with_style(style))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_back_and_another_run_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        let mut kept = Kept::load(&path, &(3..9)).unwrap();
        assert_eq!((kept.next, &kept.totals), (3, &Totals::default()));
        kept.next = 5;
        kept.totals.calls = 17;
        kept.save(&path).unwrap();
        assert_eq!(Kept::load(&path, &(3..9)).unwrap(), kept);
        assert!(Kept::load(&path, &(3..10)).unwrap_err().to_string().contains("another run"));
    }
}
