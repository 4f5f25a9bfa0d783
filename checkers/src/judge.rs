//! All checkers, one after the other.

use crate::bounds::Bounds;
use crate::chronicle::{Chronicle, events_of};
use crate::history::History;
use crate::kv::refusals::Compactions;
use crate::kv::{self, Replay, Replayed};
use crate::lease::{self, Life};
use crate::report::{Counts, Limits, Report};
use crate::{members, registrations, serializable, watch};

/// Judges a history.
///
/// # Examples
/// ```
/// use registry_checkers::{History, Limits, check};
///
/// let report = check(&History::default(), &Limits::default());
/// assert!(report.is_good(), "{report}");
/// ```
#[must_use]
pub fn check(history: &History, limits: &Limits) -> Report {
    let mut violations = Vec::new();
    let chronicle = Chronicle::of(history, &mut violations);
    let bounds = Bounds::of(history);
    let compactions = Compactions::of(history);
    let mut replayed = Replay::of(history, &chronicle, &bounds, limits.dialect);
    let lives = Life::all(history);
    violations.append(&mut replayed.violations);
    violations.extend(kv::order::check(history, &bounds));
    violations.extend(kv::order::check_end(history));
    violations.extend(kv::refusals::check(history, &bounds, &compactions));
    violations.extend(serializable::check(history));
    violations.extend(watch::Judge { history, replayed: &replayed, compactions: &compactions }.check());
    let leases = lease::Judge { history, limits, bounds: &bounds, replayed: &replayed, lives: &lives };
    violations.extend(leases.check());
    violations.extend(members::check(history, &replayed));
    violations.extend(registrations::check(history, limits));
    Report::new(violations, Counts { leases: lives.len(), ..counts(history, &replayed) })
}

fn counts(history: &History, replayed: &Replayed) -> Counts {
    let mut counts = Counts {
        revisions: replayed.revisions.len(),
        gaps: replayed.gaps.clone(),
        events: replayed.revisions.values().map(|known| known.events.len()).sum(),
        compared: replayed.compared,
        found: replayed.found,
        watches: history.watches.len(),
        expired: replayed.expiries.len(),
        members: history.members.len(),
        registrations: history.registrations.len(),
        ..Counts::default()
    };
    for call in &history.calls {
        *counts.calls.entry((call.operation.kind(), call.outcome.kind())).or_default() += 1;
    }
    let answers = history.watches.iter().flat_map(|watch| &watch.answers);
    counts.told = answers.map(|(_, answer)| events_of(answer).len()).sum();
    counts
}
