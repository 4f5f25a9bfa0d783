//! What answers hold: ranges, filters, previous values, merging, sharing, fragments.

use prost::Message;
use registry_proto::etcdserverpb::watch_create_request::FilterType;
use registry_proto::etcdserverpb::{WatchCreateRequest, WatchResponse};
use registry_proto::mvccpb::event::EventType;
use registry_proto::stored::Events;

use super::kit::{Bench, decoded, key, range, revision, seen};
use crate::watch::Limits;

fn stored(answer: &WatchResponse) -> &[u8] {
    match &answer.events {
        Events::Stored(bytes) => bytes,
        Events::Decoded(_) => panic!("events were decoded"),
    }
}

#[test]
fn each_range_gets_the_events_in_it_in_order() {
    let bench = Bench::new();
    let mut client = bench.client();
    for create in [key("b"), range("b", "d"), range("c", "\0"), range("", "\0"), range("x", "y")] {
        client.created(create);
    }
    bench.write(&[("a", Some("1")), ("b", Some("2")), ("c", None), ("d", Some("3"))]);
    let answers = client.answers();
    let of = |id| answers.iter().filter(|answer| answer.watch_id == id).flat_map(seen).collect::<Vec<_>>();
    assert_eq!(of(0), ["b@2"]);
    assert_eq!(of(1), ["b@2", "c@2"]);
    assert_eq!(of(2), ["c@2", "d@2"]);
    assert_eq!(of(3), ["a@2", "b@2", "c@2", "d@2"]);
    assert!(of(4).is_empty());
    assert!(answers.iter().all(|answer| revision(answer) == 2));
}

#[test]
fn filters_leave_events_out_and_an_answer_of_nothing_is_not_sent() {
    let bench = Bench::new();
    let mut client = bench.client();
    let with = |filter: FilterType| WatchCreateRequest { filters: vec![filter as i32, 99], ..range("a", "z") };
    client.created(with(FilterType::Noput));
    client.created(with(FilterType::Nodelete));
    bench.write(&[("a", Some("1")), ("b", None), ("c", Some("2"))]);
    bench.put("a");
    let answers = client.answers();
    let of = |id| answers.iter().filter(|answer| answer.watch_id == id).flat_map(seen).collect::<Vec<_>>();
    assert_eq!(of(0), ["b@2"]);
    assert_eq!(of(1), ["a@2", "c@2", "a@3"]);
}

#[test]
fn previous_values_come_to_those_who_asked() {
    let bench = Bench::new();
    let mut client = bench.client();
    client.created(WatchCreateRequest { prev_kv: true, ..key("a") });
    client.created(key("a"));
    bench.write(&[("a", Some("new"))]);
    bench.write(&[("a", None)]);
    let answers = client.answers();
    for answer in &answers {
        let events = decoded(answer);
        assert_eq!([events[0].r#type(), events[1].r#type()], [EventType::Put, EventType::Delete]);
        assert_eq!(&events[0].kv.as_ref().unwrap().value[..], b"new");
        let previous: Vec<_> = events.iter().map(|event| event.prev_kv.is_some()).collect();
        assert_eq!(previous, [answer.watch_id == 0; 2]);
    }
    assert_eq!(answers.len(), 2);
}

#[test]
fn what_waits_for_the_same_watchers_becomes_one_answer() {
    let bench = Bench::new();
    let mut client = bench.client();
    client.created(key("a"));
    client.created(key("a"));
    client.answers();
    let wakes = client.wakes();
    for _ in 0..10 {
        bench.put("a");
    }
    assert_eq!(client.wakes() - wakes, 1, "one wake for all that comes before the next poll");
    let answers = client.answers();
    assert_eq!(answers.len(), 2);
    for answer in &answers {
        assert_eq!(decoded(answer).len(), 10);
        assert_eq!(revision(answer), 11);
    }
    assert_eq!(stored(&answers[0]).as_ptr(), stored(&answers[1]).as_ptr());
}

#[test]
fn merging_stops_at_its_bound_and_keeps_revisions_whole() {
    let bench = Bench::new();
    let mut client = bench.client_with(Limits { answer_bytes: 100, ..Limits::default() });
    client.created(range("a", "z"));
    for _ in 0..20 {
        bench.write(&[("a", Some("1")), ("b", Some("2"))]);
    }
    let answers = client.answers();
    assert!(answers.len() > 2 && answers.len() < 20, "{}", answers.len());
    assert!(answers.iter().all(|answer| decoded(answer).len().is_multiple_of(2) && stored(answer).len() <= 100));
    assert_eq!(answers.iter().map(|answer| decoded(answer).len()).sum::<usize>(), 40);
}

#[test]
fn equal_watchers_of_many_streams_share_one_encoding() {
    let bench = Bench::new();
    let mut clients: Vec<_> = (0..3).map(|_| bench.client()).collect();
    for client in &mut clients {
        client.created(range("a", "z"));
    }
    // Not a run of events, so that nothing but the group is shared.
    bench.write(&[("a", Some("1")), ("zz", Some("2")), ("b", Some("3"))]);
    let answers: Vec<_> = clients.iter_mut().map(|client| client.answers().pop().unwrap()).collect();
    assert_eq!(seen(&answers[0]), ["a@2", "b@2"]);
    assert!(answers.iter().all(|answer| stored(answer).as_ptr() == stored(&answers[0]).as_ptr()));
}

#[test]
fn different_ranges_share_the_encoding_of_the_same_events() {
    let bench = Bench::new();
    let mut client = bench.client();
    client.created(key("b"));
    client.created(range("a", "z"));
    bench.put("b");
    let answers = client.answers();
    assert_eq!(stored(&answers[0]).as_ptr(), stored(&answers[1]).as_ptr());
}

#[test]
fn a_long_revision_is_fragmented_for_those_who_asked_and_whole_for_others() {
    let bench = Bench::new();
    let mut client = bench.client_with(Limits { fragment_bytes: 300, ..Limits::default() });
    client.created(WatchCreateRequest { fragment: true, ..range("a", "z") });
    client.created(range("a", "z"));
    let keys: Vec<_> = (0..50).map(|number| format!("key{number:02}")).collect();
    let changes: Vec<_> = keys.iter().map(|key| (key.as_str(), Some("value"))).collect();
    bench.write(&changes);
    let answers = client.answers();
    let (parts, whole): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.watch_id == 0);
    assert!(parts.len() > 3);
    assert!(parts.iter().all(|part| part.encoded_len() < 300 && revision(part) == 2));
    let flags: Vec<_> = parts.iter().map(|part| part.fragment).collect();
    let (last, others) = flags.split_last().unwrap();
    assert!(!last && others.iter().all(|flag| *flag));
    assert_eq!(parts.iter().flat_map(|part| seen(part)).collect::<Vec<_>>(), seen(whole[0]));
    assert!(whole.len() == 1 && !whole[0].fragment);
    bench.put("a");
    assert!(client.answers().iter().all(|answer| !answer.fragment));
}

#[test]
fn a_watcher_cancelled_amid_fragments_does_not_upset_the_next() {
    let bench = Bench::new();
    let mut client = bench.client_with(Limits { fragment_bytes: 110, ..Limits::default() });
    for _ in 0..2 {
        client.created(WatchCreateRequest { fragment: true, ..range("a", "z") });
    }
    bench.write(&[("a", Some("1")), ("b", Some("2")), ("c", Some("3")), ("d", Some("4")), ("e", Some("5"))]);
    assert!(client.poll().unwrap().fragment);
    client.cancel(0);
    let answers = client.answers();
    assert!(answers[0].canceled);
    assert!(answers[1..].iter().all(|answer| answer.watch_id == 1));
    assert_eq!(answers[1..].iter().flat_map(seen).collect::<Vec<_>>(), ["a@2", "b@2", "c@2", "d@2", "e@2"]);
}
