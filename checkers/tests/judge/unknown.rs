//! Calls of unknown outcome: each happened once or not at all, and whoever did it is found.

use registry_checkers::{Outcome, Promise, check};

use crate::random::history;
use crate::requests::{delete, put, revoke};
use crate::story::{self, EXPIRED, Story};
use crate::{Limits, Row, are_caught, is_right};

fn forget(story: &mut Story, names: &[&str]) {
    for name in names {
        story.call(name).outcome = Outcome::Unknown("timed out".to_owned());
        story.call(name).answered = None;
    }
}

#[test]
fn writes_of_unknown_outcome_are_found_by_what_they_did() {
    let mut story = story::tell();
    let names = ["put a", "swap a", "put b", "delete a", "put a again", "delete range", "revoke", "put c"];
    forget(&mut story, &names);
    is_right(&story.history);
    assert!(check(&story.history, &Limits::default()).counts.found >= 7);
}

#[test]
fn writes_that_never_happened_are_no_violation() {
    let mut story = story::tell();
    for operation in [put("never", "never"), delete("c", ""), revoke(EXPIRED)] {
        let mut call = story.call("put c").clone();
        (call.operation, call.outcome) = (operation, Outcome::Unknown("timed out".to_owned()));
        story.history.calls.push(call);
    }
    is_right(&story.history);
}

#[test]
fn without_watches_of_everything_acknowledged_writes_are_the_history() {
    let mut story = story::tell();
    story.history.watches.clear();
    let report = check(&story.history, &Limits::default());
    assert!(report.violations.is_empty(), "{report}");
    assert_eq!(report.counts.gaps, [(11, 14)], "a lease that ends tells no client of it");
}

#[test]
fn after_a_gap_a_read_of_everything_tells_the_state_again() {
    let whole = |seed| history(seed, 200);
    for seed in 0..100 {
        let mut history = whole(seed);
        history.watches.clear();
        let report = check(&history, &Limits::default());
        assert!(report.violations.is_empty(), "seed {seed}: {report}");
        let all = check(&whole(seed), &Limits::default()).counts;
        assert!(report.counts.compared * 4 > all.compared, "seed {seed}: {report}");
    }
}

#[test]
fn unknown_writes_that_cannot_explain_a_revision_are_caught() {
    let rows: &[Row] = &[
        ("asked after it was told", Promise::RealTime, |story| {
            forget(story, &["put b"]);
            story.call("put b").asked = story.call("put c").asked;
        }),
        ("another value of the same transaction", Promise::AllOrNothing, |story| {
            forget(story, &["swap a"]);
            story.retell(3, |events| events.truncate(1));
        }),
        ("a delete that happens twice", Promise::OnceAtMost, |story| {
            forget(story, &["delete a", "delete range"]);
            story.call("delete range").operation = put("other", "other");
            story.retell(13, |events| events.truncate(1));
        }),
    ];
    are_caught(rows);
}
