//! Progress: never before the events it stands for.

use registry_proto::etcdserverpb::WatchCreateRequest;

use super::kit::{Bench, decoded, key, publish, revision, seen};
use crate::watch::Limits;

#[test]
fn a_request_is_answered_for_the_whole_stream_after_its_events() {
    let bench = Bench::new();
    let mut client = bench.client();
    client.created(key("a"));
    bench.put("a");
    bench.put("other");
    client.ask_progress();
    let answers = client.answers();
    assert_eq!(seen(&answers[0]), ["a@2"]);
    assert_eq!((answers[1].watch_id, revision(&answers[1])), (-1, 3));
    assert!(decoded(&answers[1]).is_empty() && !answers[1].created && !answers[1].canceled);
    assert_eq!(answers.len(), 2);
}

#[test]
fn a_stream_without_watchers_has_no_progress() {
    let bench = Bench::new();
    let mut client = bench.client();
    client.ask_progress();
    assert!(client.answers().is_empty());
}

#[test]
fn a_request_waits_until_what_was_written_before_it_is_published() {
    let bench = Bench::new();
    let mut client = bench.client();
    client.created(key("a"));
    let written = bench.store.write(&[("other", Some("1"))]);
    client.ask_progress();
    assert!(client.answers().is_empty());
    let wakes = client.wakes();
    publish(&bench.hub, &written);
    assert_eq!(client.wakes(), wakes + 1, "woken although no event concerns it");
    assert_eq!(revision(&client.answers()[0]), 2);
}

#[test]
fn a_request_waits_for_watchers_that_are_behind() {
    let bench = Bench::new();
    for _ in 0..10 {
        bench.put("a");
    }
    let mut client = bench.client_with(Limits { slice_bytes: 1, ..Limits::default() });
    client.created(WatchCreateRequest { start_revision: 2, ..key("a") });
    client.ask_progress();
    let answers = client.answers();
    let (last, events) = answers.split_last().unwrap();
    assert_eq!(events.iter().map(|answer| decoded(answer).len()).sum::<usize>(), 10);
    assert!(events.iter().all(|answer| answer.watch_id == 0));
    assert_eq!((last.watch_id, revision(last)), (-1, 11));
}

#[test]
fn a_request_waits_for_watchers_that_start_later() {
    let bench = Bench::new();
    let mut client = bench.client();
    client.created(WatchCreateRequest { start_revision: 5, ..key("a") });
    client.ask_progress();
    bench.put("a");
    assert!(client.answers().is_empty());
    bench.put("a");
    bench.put("a");
    let answers = client.answers();
    assert_eq!((answers.len(), answers[0].watch_id, revision(&answers[0])), (1, -1, 4));
}

#[test]
fn idle_watchers_are_told_their_progress_at_a_tick() {
    let bench = Bench::new();
    let mut client = bench.client();
    for name in ["idle", "busy"] {
        client.created(WatchCreateRequest { progress_notify: true, ..key(name) });
    }
    client.created(key("did not ask"));
    client.created(WatchCreateRequest { progress_notify: true, start_revision: 100, ..key("later") });
    bench.put("busy");
    client.stream.tick();
    let answers = client.answers();
    assert_eq!(seen(&answers[0]), ["busy@2"]);
    assert_eq!((answers.len(), answers[1].watch_id, revision(&answers[1])), (2, 0, 2));
    client.stream.tick();
    let ids: Vec<_> = client.answers().iter().map(|answer| answer.watch_id).collect();
    assert_eq!(ids, [0, 1], "a busy watcher is idle one interval later");
}

#[test]
fn a_tick_does_not_speak_for_watchers_that_are_behind() {
    let bench = Bench::new();
    for _ in 0..4 {
        bench.put("a");
    }
    let mut client = bench.client_with(Limits { slice_bytes: 1, ..Limits::default() });
    client.created(WatchCreateRequest { progress_notify: true, start_revision: 2, ..key("a") });
    client.created(WatchCreateRequest { progress_notify: true, ..key("b") });
    client.stream.tick();
    let mut current = 0;
    for answer in client.answers().iter().filter(|answer| answer.watch_id == 0) {
        assert!(!decoded(answer).is_empty() || current == 5, "progress before the events: {answer:?}");
        current = revision(answer);
    }
    assert_eq!(current, 5);
}
