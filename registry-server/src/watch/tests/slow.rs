//! Streams that do not keep up, snapshots, and many watchers.

use registry_proto::etcdserverpb::WatchCreateRequest;

use super::kit::{Bench, decoded, key, range, revision, seen};
use crate::watch::Limits;

fn tiny() -> Limits {
    Limits { queue_items: 2, slice_bytes: 40, ..Limits::default() }
}

#[test]
fn a_full_queue_loses_nothing() {
    let bench = Bench::new();
    let mut client = bench.client_with(tiny());
    client.created(key("a"));
    for _ in 0..20 {
        bench.put("a");
    }
    let mut events: Vec<_> = client.answers().iter().flat_map(seen).collect();
    bench.put("a");
    events.extend(client.answers().iter().flat_map(seen));
    let expected: Vec<_> = (2..23).map(|revision| format!("a@{revision}")).collect();
    assert_eq!(events, expected);
}

#[test]
fn a_queue_that_nobody_reads_takes_so_many_entries_or_bytes_and_then_its_watchers_are_slow() {
    // An entry is some bytes of event and 96 beside it.
    let few_bytes = Limits { queue_bytes: 450, ..Limits::default() };
    for limits in [Limits { queue_items: 3, ..Limits::default() }, few_bytes] {
        let bench = Bench::new();
        let slow_watchers = || bench.hub.counts().slow_watchers.get();
        let mut client = bench.client_with(limits);
        client.created(key("a"));
        client.created(key("a"));
        for _ in 0..3 {
            bench.put("a");
            assert_eq!(slow_watchers(), 0);
        }
        bench.put("a");
        assert_eq!(slow_watchers(), 2, "before the stream looks at its queue");
        assert!(bench.hub.is_idle(), "the hub keeps nothing for those who are behind");
        assert_eq!(client.answers().iter().flat_map(seen).count(), 8);
        assert_eq!(slow_watchers(), 0);
        (0..4).for_each(|_| bench.put("a"));
        drop(client);
        assert_eq!((slow_watchers(), bench.hub.counts().watchers.get()), (0, 0));
    }
}

#[test]
fn a_stream_that_is_behind_rests_between_steps_only_while_something_is_written() {
    let bench = Bench::new();
    for _ in 0..40 {
        bench.put("a");
    }
    let mut client = bench.client_with(Limits { slice_items: 4, ..Limits::default() });
    client.created(WatchCreateRequest { start_revision: 2, ..key("a") });
    let mut told = 0;
    for _ in 0..5 {
        bench.put("b");
        let answer = client.poll_once().unwrap();
        told += decoded(&answer).len();
        let before = client.wakes();
        assert!(client.poll_once().is_none() && client.stream.is_resting());
        assert_eq!(client.wakes(), before, "a stream that rests wakes nobody");
        client.stream.rested();
    }
    assert_eq!(told, 20);
    // Nothing was written since: it goes on by itself.
    while told < 40 {
        let before = client.wakes();
        match client.poll_once() {
            Some(answer) => told += decoded(&answer).len(),
            None => assert!(!client.stream.is_resting() && client.wakes() > before),
        }
    }
}

#[test]
fn a_slow_stream_does_not_hold_up_a_fast_one() {
    let bench = Bench::new();
    let mut slow = bench.client_with(tiny());
    let mut fast = bench.client_with(tiny());
    slow.created(key("a"));
    fast.created(key("a"));
    for revision in 2..50 {
        bench.put("a");
        let answers = fast.answers();
        assert_eq!((answers.len(), seen(&answers[0])), (1, vec![format!("a@{revision}")]));
    }
    assert_eq!(slow.answers().iter().map(|answer| decoded(answer).len()).sum::<usize>(), 48);
}

#[test]
fn a_watcher_whose_events_are_compacted_while_it_is_behind_is_told() {
    let bench = Bench::new();
    let mut client = bench.client_with(tiny());
    client.created(key("a"));
    for _ in 0..10 {
        bench.put("a");
    }
    bench.store.compact(8);
    let answers = client.answers();
    assert_eq!(answers.iter().flat_map(seen).collect::<Vec<_>>(), ["a@2", "a@3"]);
    let last = answers.last().unwrap();
    assert!(last.canceled && last.compact_revision == 8 && last.watch_id == 0);
    bench.put("a");
    assert!(client.answers().is_empty());
}

#[test]
fn a_compaction_in_the_middle_of_a_catch_up_ends_it_where_history_ends() {
    let bench = Bench::new();
    let mut client = bench.client_with(tiny());
    client.created(key("a"));
    (0..30).for_each(|_| bench.put("a"));
    // Two from the queue, and then out of history.
    let before: Vec<_> = (0..5).filter_map(|_| client.poll()).flat_map(|answer| seen(&answer)).collect();
    assert!(before.len() > 2 && before.len() < 15, "{before:?}");
    bench.store.compact(20);
    let answers = client.answers();
    let (last, events) = answers.split_last().unwrap();
    let seen: Vec<_> = before.into_iter().chain(events.iter().flat_map(seen)).collect();
    let expected: Vec<_> = (2..).take(seen.len()).map(|revision| format!("a@{revision}")).collect();
    assert_eq!(seen, expected);
    assert!(seen.len() < 18 && last.canceled && last.compact_revision == 20, "{last:?}");
    assert_eq!(bench.hub.counts().slow_watchers.get(), 0);
}

#[test]
fn a_header_never_goes_beyond_what_the_watcher_has_got() {
    let bench = Bench::new();
    for number in 0..10 {
        bench.put(if number % 3 == 0 { "a" } else { "b" });
    }
    let mut client = bench.client_with(tiny());
    client.created(WatchCreateRequest { start_revision: 2, ..key("a") });
    let mut before = 1;
    let answers = client.answers();
    for answer in &answers {
        let expected: Vec<_> =
            (before + 1..=revision(answer)).filter(|rev| rev % 3 == 2).map(|rev| format!("a@{rev}")).collect();
        assert_eq!(seen(answer), expected);
        before = revision(answer);
    }
    assert_eq!(before, 11);
}

#[test]
fn after_a_snapshot_watchers_go_on_from_history_or_are_cancelled() {
    let bench = Bench::new();
    let mut client = bench.client();
    client.created(key("a"));
    client.created(WatchCreateRequest { start_revision: 5, ..key("a") });
    client.created(WatchCreateRequest { start_revision: 50, ..key("a") });
    for _ in 0..5 {
        bench.store.write(&[("a", Some("1"))]);
    }
    bench.store.compact(3);
    bench.hub.restored();
    bench.put("a");
    let answers = client.answers();
    let of = |id| answers.iter().filter(|answer| answer.watch_id == id).collect::<Vec<_>>();
    assert!(of(0).len() == 1 && of(0)[0].canceled && of(0)[0].compact_revision == 3);
    let events: Vec<_> = of(1).into_iter().flat_map(seen).collect();
    assert_eq!(events, ["a@5", "a@6", "a@7"]);
    assert!(of(2).is_empty());
}

/// What broke: a watcher that had had no event yet counted as one that wants everything since it came, and was cancelled
/// when part of that was compacted.
#[test]
fn after_a_snapshot_a_watcher_without_events_wants_only_what_was_not_published() {
    let bench = Bench::new();
    let mut client = bench.client();
    client.created(key("a"));
    for _ in 0..5 {
        bench.put("b");
    }
    bench.store.compact(5);
    bench.store.write(&[("a", Some("1"))]);
    bench.hub.restored();
    let answers = client.answers();
    assert_eq!(answers.iter().flat_map(seen).collect::<Vec<_>>(), ["a@7"]);
    assert!(answers.iter().all(|answer| !answer.canceled));
}

#[test]
fn ten_thousand_watchers_on_one_stream_all_get_their_events() {
    let bench = Bench::new();
    let mut client = bench.client();
    for number in 0..10_000 {
        let name = format!("key{number:05}");
        client.created(if number % 2 == 0 { key(&name) } else { range(&name, "kez") });
    }
    bench.put("key09999");
    bench.put("key00000");
    let answers = client.answers();
    assert_eq!(answers.len(), 5_000 + 1);
    bench.store.compact(2);
    drop(client);
    assert!(bench.hub.is_idle());
}

#[test]
fn ten_thousand_equal_watchers_catch_up_together() {
    let bench = Bench::new();
    for _ in 0..100 {
        bench.put("a");
    }
    let mut client = bench.client();
    for _ in 0..10_000 {
        client.created(WatchCreateRequest { start_revision: 2, ..key("a") });
    }
    let answers = client.answers();
    assert!(answers.len() >= 10_000 && answers.len() < 30_000, "{} answers", answers.len());
    assert_eq!(answers.iter().map(|answer| answer.watch_id).max(), Some(9_999));
    let last: Vec<_> = answers.iter().filter(|answer| answer.watch_id == 9_999).flat_map(seen).collect();
    assert_eq!(last.len(), 100);
    for id in 0..10_000 {
        client.cancel(id);
        client.poll().unwrap();
    }
    assert!(bench.hub.is_idle());
}
