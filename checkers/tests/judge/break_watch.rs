//! Watches that break etcd's guarantees.

use registry_checkers::{Promise, WatchEnd};
use registry_proto::etcdserverpb::WatchResponse;
use registry_proto::mvccpb::{Event, KeyValue};
use registry_proto::stored::Records;

use crate::requests::{bytes, watch};
use crate::server::{header, ms};
use crate::story::{ALL, ALL_BARE, PARTS, PUTS_OF_A, RESUMED, Story, TOO_OLD, events};
use crate::{Row, are_caught};

fn with_events(answer: &mut WatchResponse, change: impl Fn(&mut Vec<Event>)) {
    let mut all = events(answer);
    change(&mut all);
    answer.events = Records::Decoded(all);
}

/// The second answer becomes one of its own, after the first; of one revision, without a flag.
fn split(story: &mut Story, watch: usize, revision: i64) {
    let at = story.place(watch, revision);
    let answers = &mut story.watch(watch).answers;
    let mut rest = answers[at].clone();
    with_events(&mut answers[at].1, |events| events.truncate(1));
    with_events(&mut rest.1, |events| drop(events.remove(0)));
    answers.insert(at + 1, rest);
}

#[test]
fn events_that_are_lost_doubled_or_moved_are_caught() {
    let rows: &[Row] = &[
        ("a missing event", Promise::WatchReliable, |story| {
            let at = story.place(PUTS_OF_A, 3);
            drop(story.watch(PUTS_OF_A).answers.remove(at));
        }),
        ("a missing event of a revision", Promise::WatchReliable, |story| {
            with_events(story.told(PUTS_OF_A, 3), |events| drop(events.pop()));
        }),
        ("the last event never comes", Promise::WatchReliable, |story| drop(story.watch(ALL_BARE).answers.pop())),
        ("a doubled answer", Promise::WatchUnique, |story| {
            let at = story.place(PUTS_OF_A, 3);
            let again = story.watch(PUTS_OF_A).answers[at].clone();
            story.watch(PUTS_OF_A).answers.push(again);
        }),
        ("a doubled event", Promise::WatchUnique, |story| {
            with_events(story.told(PUTS_OF_A, 3), |events| events.push(events[0].clone()));
        }),
        ("revisions out of order", Promise::WatchOrdered, |story| {
            let at = story.place(ALL, 7);
            story.watch(ALL).answers.swap(at, at + 1);
        }),
        ("a revision out of order", Promise::WatchOrdered, |story| {
            with_events(story.told(PUTS_OF_A, 3), |events| events.reverse());
        }),
        ("split without a flag", Promise::WatchAtomic, |story| split(story, ALL, 3)),
        ("a watch of a prefix split without a flag", Promise::WatchAtomic, |story| split(story, PUTS_OF_A, 3)),
        ("parts without their flag", Promise::WatchAtomic, |story| story.told(PARTS, 3).fragment = false),
        ("parts that were not asked for", Promise::WatchAtomic, |story| story.watch(PARTS).request.fragment = false),
        ("the last part never comes", Promise::WatchAtomic, |story| {
            let at = story.place(PARTS, 13);
            story.watch(PARTS).answers.truncate(at + 1);
        }),
    ];
    are_caught(rows);
}

#[test]
fn events_that_are_wrong_are_caught() {
    let rows: &[Row] = &[
        ("what was filtered", Promise::WatchFilter, |story| {
            let delete = story.told(ALL, 5).clone();
            let at = story.place(PUTS_OF_A, 6);
            story.watch(PUTS_OF_A).answers.insert(at, (ms(1), delete));
        }),
        ("another key", Promise::WatchFilter, |story| {
            let other = story.told(ALL, 4).clone();
            let at = story.place(PUTS_OF_A, 6);
            story.watch(PUTS_OF_A).answers.insert(at, (ms(1), other));
        }),
        ("before its start", Promise::WatchFilter, |story| story.watch(PUTS_OF_A).request.start_revision = 3),
        ("another value", Promise::WatchTrue, |story| {
            with_events(story.told(PUTS_OF_A, 2), |events| events[0].kv.as_mut().expect("it is there").version = 9);
        }),
        ("a header before its events", Promise::WatchTrue, |story| story.told(PUTS_OF_A, 3).header = header(2)),
        ("a revision that nobody has", Promise::WatchTrue, |story| {
            with_events(story.told(PUTS_OF_A, 6), |events| {
                events[0].kv.as_mut().expect("it is there").mod_revision = 99;
            });
        }),
        ("wrong prev_kv", Promise::WatchPrevKv, |story| {
            with_events(story.told(PUTS_OF_A, 3), |events| events[0].prev_kv = Some(KeyValue::default()));
        }),
        ("missing prev_kv", Promise::WatchPrevKv, |story| {
            let late = story.told(ALL, 13).clone();
            *story.told(ALL, 13) = late;
            with_events(story.told(ALL, 13), |events| events[0].prev_kv = None);
        }),
        ("prev_kv of a new key", Promise::WatchPrevKv, |story| {
            let kv = KeyValue { key: bytes("a"), ..KeyValue::default() };
            with_events(story.told(PUTS_OF_A, 2), |events| events[0].prev_kv = Some(kv.clone()));
        }),
        ("prev_kv that was not asked for", Promise::WatchPrevKv, |story| {
            let with = story.told(ALL, 3).clone();
            *story.told(ALL_BARE, 3) = with;
        }),
    ];
    are_caught(rows);
}

#[test]
fn wrong_progress_is_caught() {
    let rows: &[Row] = &[
        ("before its event", Promise::WatchBookmarkable, |story| {
            let at = story.place(ALL, 4);
            story.watch(ALL).answers.swap(at, at + 1);
        }),
        ("beyond what was told", Promise::WatchBookmarkable, |story| {
            let early = WatchResponse { header: header(9), ..WatchResponse::default() };
            let at = story.place(ALL_BARE, 7);
            story.watch(ALL_BARE).answers.insert(at, (ms(30), early));
        }),
        ("backwards", Promise::WatchBookmarkable, |story| {
            let back = WatchResponse { header: header(3), ..WatchResponse::default() };
            story.watch(ALL).answers.push((ms(9_000), back));
        }),
        ("between parts", Promise::WatchBookmarkable, |story| {
            let between = WatchResponse { header: header(3), ..WatchResponse::default() };
            let at = story.place(PARTS, 3);
            story.watch(PARTS).answers.insert(at + 1, (ms(30), between));
        }),
    ];
    are_caught(rows);
}

#[test]
fn wrong_beginnings_and_ends_are_caught() {
    let rows: &[Row] = &[
        ("a resumed watch skips one", Promise::WatchResumable, |story| {
            story.watch(RESUMED).request.start_revision += 1;
        }),
        ("a resumed watch repeats one", Promise::WatchResumable, |story| {
            story.watch(RESUMED).request.start_revision = 6;
        }),
        ("no creation", Promise::WatchProtocol, |story| drop(story.watch(PUTS_OF_A).answers.remove(0))),
        ("created twice", Promise::WatchProtocol, |story| {
            let created = story.watch(PUTS_OF_A).answers[0].clone();
            story.watch(PUTS_OF_A).answers.push(created);
        }),
        ("never created", Promise::WatchProtocol, |story| story.watch(PUTS_OF_A).answers.clear()),
        ("an answer after the cancellation", Promise::WatchProtocol, |story| {
            let late = story.told(ALL, 7).clone();
            story.watch(TOO_OLD).answers.push((ms(9_000), late));
        }),
        ("cancelled for a compaction that nobody asked for", Promise::WatchProtocol, |story| {
            story.watch(TOO_OLD).answers[1].1.compact_revision = 5;
        }),
        ("cancelled for a compaction that took nothing", Promise::WatchProtocol, |story| {
            story.watch(TOO_OLD).request = watch("a", "c", 6);
        }),
        ("cancelled without a reason", Promise::WatchProtocol, |story| {
            story.watch(TOO_OLD).answers[1].1.compact_revision = 0;
        }),
        ("cancelled without a word", Promise::WatchProtocol, |story| {
            story.watch(ALL_BARE).end = Some((ms(9_000), WatchEnd::Cancelled));
        }),
    ];
    are_caught(rows);
}
