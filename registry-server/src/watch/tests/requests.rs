//! Create and cancel: ids, ranges, refusals.

use registry_proto::etcdserverpb::{WatchCreateRequest, WatchRequest, WatchResponse};

use super::kit::{Bench, Client, key, publish, range, revision, seen};
use crate::watch::Limits;

fn refusal(client: &mut Client, create: WatchCreateRequest) -> WatchResponse {
    client.create(create);
    let answers = client.answers();
    assert_eq!(answers.len(), 1, "{answers:?}");
    let answer = answers.into_iter().next().unwrap();
    assert!(answer.created && answer.canceled && answer.watch_id == -1, "{answer:?}");
    assert_eq!(answer.compact_revision, 0);
    answer
}

#[test]
fn ids_count_from_zero_and_skip_those_taken() {
    let bench = Bench::new();
    let mut client = bench.client();
    assert_eq!(client.created(WatchCreateRequest { watch_id: 1, ..key("a") }), 1);
    assert_eq!(client.created(key("a")), 0);
    assert_eq!(client.created(key("a")), 2);
    client.cancel(0);
    client.answers();
    assert_eq!(client.created(key("a")), 3);
}

#[test]
fn a_taken_id_is_refused_and_its_watcher_lives_on() {
    let bench = Bench::new();
    let mut client = bench.client();
    client.created(WatchCreateRequest { watch_id: 7, ..key("a") });
    let answer = refusal(&mut client, WatchCreateRequest { watch_id: 7, ..key("b") });
    assert_eq!(answer.cancel_reason, "mvcc: duplicate watch ID provided on the WatchStream");
    bench.put("a");
    assert_eq!(client.answers()[0].watch_id, 7);
}

#[test]
fn a_negative_start_is_refused() {
    let bench = Bench::new();
    let answer = refusal(&mut bench.client(), WatchCreateRequest { start_revision: -1, ..key("a") });
    assert_eq!(answer.cancel_reason, "etcdserver: mvcc: required revision has been compacted");
}

#[test]
fn an_empty_range_is_refused() {
    let bench = Bench::new();
    let answer = refusal(&mut bench.client(), range("b", "a"));
    assert_eq!(answer.cancel_reason, "mvcc: watcher range is empty");
}

#[test]
fn too_many_watchers_or_key_bytes_are_refused() {
    let bench = Bench::new();
    let mut client = bench.client_with(Limits { watchers: 1, ..Limits::default() });
    let id = client.created(key("a"));
    assert_eq!(refusal(&mut client, key("b")).cancel_reason, "etcdserver: too many requests");
    client.cancel(id);
    client.answers();
    client.created(key("b"));

    let mut client = bench.client_with(Limits { key_bytes: 3, ..Limits::default() });
    assert_eq!(refusal(&mut client, key("long")).cancel_reason, "etcdserver: too many requests");
}

#[test]
fn a_created_answer_comes_before_events_and_tells_the_stores_revision() {
    let bench = Bench::new();
    bench.put("a");
    bench.put("a");
    let mut client = bench.client();
    client.create(WatchCreateRequest { start_revision: 2, ..key("a") });
    bench.put("a");
    let answers = client.answers();
    assert!(answers[0].created && revision(&answers[0]) == 3, "{answers:?}");
    assert_eq!(seen(&answers[1]), ["a@2", "a@3", "a@4"]);
}

#[test]
fn a_cancelled_watcher_gets_nothing_more_even_if_its_id_is_used_again() {
    let bench = Bench::new();
    let mut client = bench.client();
    client.created(key("a"));
    bench.put("a");
    client.cancel(0);
    client.create(WatchCreateRequest { watch_id: 0, ..key("b") });
    client.create(WatchCreateRequest { watch_id: 9, ..key("b") });
    bench.put("a");
    bench.put("b");
    let answers = client.answers();
    assert!(answers[0].canceled && !answers[0].created && answers[0].watch_id == 0);
    assert!(answers[1].created && answers[2].created);
    let events: Vec<_> = answers[3..].iter().flat_map(seen).collect();
    assert_eq!(events, ["b@4", "b@4"]);
}

#[test]
fn unknown_ids_and_empty_requests_are_met_with_silence() {
    let bench = Bench::new();
    let mut client = bench.client();
    client.cancel(5);
    client.stream.request(WatchRequest { request_union: None });
    assert!(client.answers().is_empty());
}

#[test]
fn a_compacted_start_is_created_then_cancelled_with_the_compacted_revision() {
    let bench = Bench::new();
    for _ in 0..5 {
        bench.put("a");
    }
    bench.store.compact(4);
    let mut client = bench.client();
    client.create(WatchCreateRequest { start_revision: 3, ..key("a") });
    client.create(WatchCreateRequest { start_revision: 5, ..key("a") });
    let answers = client.answers();
    assert!(answers[0].created && !answers[0].canceled && answers[0].watch_id == 0);
    assert!(answers[1].created);
    let cancelled = &answers[2];
    assert!(cancelled.canceled && !cancelled.created && cancelled.watch_id == 0, "{cancelled:?}");
    assert_eq!(cancelled.compact_revision, 4);
    assert_eq!(seen(&answers[3]), ["a@5", "a@6"]);
}

#[test]
fn a_future_start_waits_for_its_revision() {
    let bench = Bench::new();
    let mut client = bench.client();
    client.created(WatchCreateRequest { start_revision: 4, ..key("a") });
    for _ in 0..4 {
        bench.put("a");
    }
    let answers = client.answers();
    assert_eq!(answers.iter().flat_map(seen).collect::<Vec<_>>(), ["a@4", "a@5"]);
}

#[test]
fn a_watcher_created_between_write_and_publication_misses_and_repeats_nothing() {
    let bench = Bench::new();
    let mut client = bench.client();
    let second = bench.store.write(&[("a", Some("1"))]);
    let third = bench.store.write(&[("a", Some("2"))]);
    client.created(key("a"));
    client.created(WatchCreateRequest { start_revision: 3, ..key("a") });
    publish(&bench.hub, &second);
    publish(&bench.hub, &third);
    bench.put("a");
    let answers = client.answers();
    let of = |id| answers.iter().filter(|answer| answer.watch_id == id).flat_map(seen).collect::<Vec<_>>();
    assert_eq!(of(0), ["a@4"]);
    assert_eq!(of(1), ["a@3", "a@4"]);
}

#[test]
fn a_dropped_stream_leaves_nothing_behind() {
    let bench = Bench::new();
    let mut client = bench.client();
    client.created(key("a"));
    client.created(range("a", "c"));
    client.created(WatchCreateRequest { start_revision: 100, ..range("a", "\0") });
    client.ask_progress();
    client.answers();
    assert!(!bench.hub.is_idle());
    drop(client);
    assert!(bench.hub.is_idle());
}
