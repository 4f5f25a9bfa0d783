//! What came of a run: what was broken, and whether enough was judged for that to mean something.

use std::fmt;
use std::time::Duration;

use registry_checkers::{Counts, History, HowEnded, Report, Watch};

use crate::faults;
use crate::settings::Run;

/// Calls a second that members answered or refused, at least. An idle machine has ten times as many and more, and one on
/// which others work must not fail for that.
const CALLS_A_SECOND: u64 = 20;
/// Seconds for each fault, at most.
const SECONDS_A_FAULT: u64 = 8;
/// Of a call or a watch that broke a promise, so much is printed.
const TOLD_BYTES: usize = 1_000;

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) run: Run,
    pub(crate) report: Report,
    pub(crate) history: History,
    pub(crate) complaints: Vec<String>,
    pub(crate) faults: faults::Counts,
    /// The latest term.
    pub(crate) terms: u64,
    /// How long judging took.
    pub(crate) judging: Duration,
    /// The most memory that the suite had, in KiB: all that was seen is in it.
    pub(crate) peak_kib: usize,
}

impl Verdict {
    /// # Panics
    /// When a promise was broken, something was complained of, or too little was judged.
    pub(crate) fn assert_good(&self) {
        let command = self.run.command();
        assert!(
            self.report.is_good(),
            "promises are broken; to repeat it:\n{command}\n{}{}",
            self.broken(),
            self.report
        );
        assert!(self.complaints.is_empty(), "{:?}; to repeat it:\n{command}", self.complaints);
        let lacking = self.lacking();
        assert!(lacking.is_empty(), "too little was judged: {lacking:?}; to repeat it:\n{command}");
    }

    /// The calls and the watches that the violations name.
    fn broken(&self) -> String {
        let mut text = String::new();
        for violation in &self.report.violations {
            let calls = violation.calls.iter().map(|call| format!("call {call}: {:?}", self.history.calls[*call]));
            let watches = violation.watches.iter().map(|watch| self.watch(*watch));
            text += &format!("{:?}\n", violation.promise);
            calls.chain(watches).for_each(|line| text += &format!("  {line:.TOLD_BYTES$}\n"));
        }
        text
    }

    /// A watch without its events, of which there may be very many.
    fn watch(&self, index: usize) -> String {
        let watch = &self.history.watches[index];
        let last = watch.answers.last().map(|(at, answer)| (at, &answer.header, &answer.cancel_reason));
        let Watch { client, member, opened, request, end, resumes, .. } = watch;
        format!(
            "watch {index}: client {client} at {member:x} from {opened:?} to {end:?} after {resumes:?}: {request:?}, \
             {} answers, the last {last:?}",
            watch.answers.len()
        )
    }

    /// What there should have been more of.
    fn lacking(&self) -> Vec<String> {
        let seconds = self.run.length.as_secs();
        let counts = &self.report.counts;
        let calls = settled(counts) as u64;
        let judged = [
            ("answered and refused calls", calls, CALLS_A_SECOND * seconds),
            ("calls compared", counts.compared as u64, calls / 4),
            ("revisions", counts.revisions as u64, calls / 10),
            ("events told", counts.told as u64, calls),
            ("watches", counts.watches as u64, 40),
            ("fragments", self.fragments() as u64, seconds / 60),
            ("leases", counts.leases as u64, seconds),
            ("leases expired", counts.expired as u64, seconds / 20),
            ("registrations", counts.registrations as u64, seconds / 10),
            ("registrations of killed processes", self.ended(HowEnded::Killed) as u64, seconds / 20),
            ("faults", self.faults.values().sum::<usize>() as u64, seconds / SECONDS_A_FAULT),
            ("members' states", counts.members as u64, 3),
        ];
        let mut lacking: Vec<_> = judged
            .iter()
            .filter(|(_, count, least)| count < least)
            .map(|(what, count, least)| format!("{count} {what} instead of {least}"))
            .collect();
        if !counts.gaps.is_empty() {
            lacking.push(format!("nothing is known of the revisions {:?}", counts.gaps));
        }
        lacking
    }

    /// Answers that were parts.
    fn fragments(&self) -> usize {
        let answers = self.history.watches.iter().flat_map(|watch| &watch.answers);
        answers.filter(|(_, answer)| answer.fragment).count()
    }

    fn ended(&self, how: HowEnded) -> usize {
        let ends = self.history.registrations.iter().filter_map(|registration| registration.ended);
        ends.filter(|(_, ended)| *ended == how).count()
    }
}

/// Calls whose outcome is known.
fn settled(counts: &Counts) -> usize {
    counts.calls.iter().filter(|((_, outcome), _)| *outcome != "unknown").map(|(_, count)| count).sum()
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = &self.report.counts;
        let seconds = self.run.length.as_secs();
        let calls: usize = counts.calls.values().sum();
        let settled = settled(counts);
        writeln!(f, "{calls} calls in {seconds} s, {} answered or refused a second:", settled as u64 / seconds.max(1))?;
        for ((kind, outcome), count) in &counts.calls {
            writeln!(f, "  {kind} {outcome}: {count}")?;
        }
        writeln!(f, "faults: {:?}, latest term {}", self.faults, self.terms)?;
        let Counts {
            revisions, events, compared, found, watches, told, leases, expired, members, registrations, ..
        } = counts;
        writeln!(
            f,
            "{revisions} revisions with {events} events, {compared} answers compared, {found} writes of unknown outcome found"
        )?;
        writeln!(f, "{watches} watches were told {told} events, {} answers in parts", self.fragments())?;
        writeln!(f, "{leases} leases, {expired} of which expired with keys")?;
        let [killed, dropped, shut] =
            [HowEnded::Killed, HowEnded::Dropped, HowEnded::Shutdown].map(|how| self.ended(how));
        writeln!(f, "{registrations} registrations: {killed} killed, {dropped} dropped, {shut} shut down")?;
        writeln!(f, "{} MiB of memory at most", self.peak_kib >> 10)?;
        write!(f, "{members} members' states compared; judged in {:?}, gaps {:?}", self.judging, counts.gaps)
    }
}
