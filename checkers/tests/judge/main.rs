//! What the checkers accept and what they catch.
//!
//! `server` is a perfect server that writes down a right history; `story` one history in which everything
//! happens. The other files break it, one promise at a time, and `random` makes right ones by the thousand.

mod break_kv;
mod break_lease;
mod break_watch;

mod mutants;
mod random;
mod requests;
mod server;
mod story;
mod unknown;

use registry_checkers::{History, Limits, Promise, check};

use story::Story;

/// How a right history is broken.
type Break = fn(&mut Story);

/// A way to break a history, what it is, and the promise that is broken by it.
type Row = (&'static str, Promise, Break);

/// Breaks the story in each way and looks for the promise among those that are found broken.
fn are_caught(rows: &[Row]) {
    let mut missed = Vec::new();
    for (name, promise, break_it) in rows {
        let mut story = story::tell();
        break_it(&mut story);
        let report = check(&story.history, &Limits::default());
        if !report.breaks(*promise) {
            missed.push(format!("{name}: {promise:?} was not found broken\n{report}"));
        }
    }
    assert!(missed.is_empty(), "{} of {} are missed\n{}", missed.len(), rows.len(), missed.join("\n\n"));
}

fn is_right(history: &History) {
    let report = check(history, &Limits::default());
    assert!(report.violations.is_empty(), "{report}");
}

#[test]
fn a_right_history_is_accepted() {
    let story = story::tell();
    is_right(&story.history);
    let report = check(&story.history, &Limits::default());
    assert!(report.counts.gaps.is_empty() && report.counts.compared > 15 && report.counts.expired == 1, "{report}");
}

#[test]
fn an_empty_history_is_accepted() {
    is_right(&History::default());
}
