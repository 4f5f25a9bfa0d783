//! Many seeds, one a thread at a time.

use std::collections::BTreeMap;
use std::io;
use std::num::NonZero;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;

use indicatif::ProgressBar;

use super::args::Run;
use super::progress::{Kept, Totals, bar};
use super::{replay_command, tell};
use crate::plan::Plan;
use crate::run::simulate;

/// How often it is kept how far the run has come, in seeds.
const KEEP_EVERY: u64 = 50;

/// What came of a seed. Without its history, as many may wait for an earlier seed that takes longer.
struct Done {
    seed: u64,
    problems: Vec<String>,
    totals: Totals,
}

/// Simulates all seeds; false if something was found.
pub(super) fn run(asked: &Run) -> io::Result<bool> {
    let mut kept = match &asked.state {
        Some(path) => Kept::load(path, &asked.seeds)?,
        None => Kept { seeds: asked.seeds.clone(), next: asked.seeds.start, totals: Totals::default() },
    };
    let jobs = asked.jobs.or_else(|| thread::available_parallelism().ok()).map_or(1, NonZero::get);
    let left = kept.next..asked.seeds.end;
    let bar = bar(left.end - left.start);
    let next = AtomicU64::new(left.start);
    let enough = AtomicBool::new(false);
    let (sender, done) = channel();
    thread::scope(|scope| {
        for _ in 0..jobs {
            let (sender, left) = (sender.clone(), left.clone());
            let (next, enough) = (&next, &enough);
            scope.spawn(move || work(left, next, enough, asked.twice, &sender));
        }
        drop(sender);
        // Those that were done before an earlier one.
        let (mut ahead, mut found, mut saved) = (BTreeMap::new(), kept.totals.failed, kept.next);
        for done in done {
            found += u64::from(!done.problems.is_empty());
            tell_of(&done, found, &bar);
            if found >= asked.most as u64 {
                enough.store(true, Ordering::Relaxed);
            }
            ahead.insert(done.seed, done);
            while let Some(done) = ahead.remove(&kept.next) {
                kept.totals.add(done.totals);
                kept.next += 1;
            }
            if let Some(path) = &asked.state
                && kept.next >= saved + KEEP_EVERY
            {
                kept.save(path)?;
                saved = kept.next;
            }
        }
        io::Result::Ok(())
    })?;
    if let Some(path) = &asked.state {
        kept.save(path)?;
    }
    let took = bar.elapsed();
    bar.finish_and_clear();
    tell_totals(&kept.totals);
    let seeds = kept.next - left.start;
    tell(&format!(
        "{seeds} seeds in {:.1} s: {:.0} a minute",
        took.as_secs_f64(),
        60.0 * seeds as f64 / took.as_secs_f64()
    ));
    Ok(kept.totals.failed == 0)
}

/// One thread.
fn work(seeds: Range<u64>, next: &AtomicU64, enough: &AtomicBool, twice: bool, sender: &Sender<Done>) {
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= seeds.end || enough.load(Ordering::Relaxed) {
            return;
        }
        let plan = Plan::new(seed);
        let mut outcome = simulate(&plan, false);
        if twice {
            let again = simulate(&plan, false);
            if (again.hash, again.lines, again.messages) != (outcome.hash, outcome.lines, outcome.messages) {
                outcome.problems.push("two runs of this seed differ".to_owned());
            }
        }
        let totals = Totals::of(&outcome, plan.faults.len());
        if sender.send(Done { seed, problems: outcome.problems, totals }).is_err() {
            return;
        }
    }
}

fn tell_of(done: &Done, found: u64, bar: &ProgressBar) {
    bar.inc(1);
    bar.set_message(format!("{found} found something"));
    if done.problems.is_empty() {
        return;
    }
    bar.suspend(|| {
        tell(&format!("seed {} found:", done.seed));
        for problem in done.problems.iter().take(5) {
            tell(&format!("  {}", problem.chars().take(400).collect::<String>()));
        }
        tell(&format!("  {}", replay_command(done.seed, None)));
    });
}

fn tell_totals(totals: &Totals) {
    let Totals { seeds, failed, calls, events, watches, leases, faults, messages, virtual_ms, .. } = totals;
    tell(&format!(
        "{seeds} seeds, {failed} found something: {calls} calls, {watches} watches told {events} events, {leases} leases, \
         {faults} faults, {messages} messages, {} h on their clocks",
        virtual_ms / 3_600_000
    ));
    let Totals { least_calls, least_watches, least_leases, least_faults, least_virtual_ms, .. } = totals;
    tell(&format!(
        "every seed had at least {least_calls} calls, {least_watches} watches, {least_leases} leases, {least_faults} faults \
         and {:.1} s on its clock",
        *least_virtual_ms as f64 / 1e3
    ));
}
