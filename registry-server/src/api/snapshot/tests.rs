//! What is in an image, and how it goes to clients of all kinds; what etcd's tools make of one, the integration tests
//! ask them.

use futures_util::StreamExt;
use openraft::impls::TokioRuntime;
use prost::Message;
use registry_etcd_files::bbolt::testing::{Image, read};
use registry_proto::etcdserverpb::{AlarmMember, AlarmType, Member, SnapshotResponse};
use registry_proto::mvccpb::KeyValue;
use tonic::Code;

use super::*;
use crate::apply::State;
use crate::cluster::Cluster;
use crate::types::{LeaseId, Revision};

const APPLIED: Applied = Applied { index: 77, term: 3 };

fn put(state: &State, key: &str, value: &[u8], lease: i64) {
    let mut store = state.store.write();
    let mut txn = store.write();
    txn.put(key.as_bytes(), value, LeaseId(lease));
    txn.end();
}

fn delete(state: &State, key: &str, end: &str) {
    let mut store = state.store.write();
    let mut txn = store.write();
    txn.delete_range(key.as_bytes(), end.as_bytes());
    txn.end();
}

fn rendering(state: &Arc<State>) -> Box<Rendering> {
    let place = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
    let mut measuring = Measuring::begin(Contents::cut(state, APPLIED), place);
    loop {
        match measuring.step().ok().unwrap() {
            Measure::More(more) => measuring = more,
            Measure::Done(rendering) => return rendering,
        }
    }
}

fn sending(state: &Arc<State>) -> SnapshotStream {
    Sending::<TokioRuntime>::begin(rendering(state), CancellationToken::new())
}

/// The image of a state.
async fn image(state: &Arc<State>) -> Image {
    let messages: Vec<_> = sending(state).map(Result::unwrap).collect().await;
    let (_, pages) = messages.split_last().unwrap();
    read(&pages.iter().flat_map(|message| &message.blob[..]).copied().collect::<Vec<_>>())
}

/// A revision's key in the bucket `key`.
fn revision_key(main: i64, sub: i64, mark: &str) -> Vec<u8> {
    [&main.to_be_bytes()[..], b"_", &sub.to_be_bytes(), mark.as_bytes()].concat()
}

fn text(entries: &[(Vec<u8>, Vec<u8>)]) -> Vec<(&str, String)> {
    entries.iter().map(|(key, value)| (str_of(key), String::from_utf8_lossy(value).into_owned())).collect()
}

fn str_of(key: &[u8]) -> &str {
    std::str::from_utf8(key).unwrap()
}

/// A store of so many bytes.
fn filled(bytes: usize) -> Arc<State> {
    let state = Arc::new(State::default());
    (0..bytes / 10_000).for_each(|n| put(&state, &format!("key-{n:06}"), &[n as u8; 10_000], 0));
    state
}

#[tokio::test]
async fn an_empty_store_has_all_buckets_and_no_keys() {
    let Image { buckets, .. } = image(&Arc::new(State::default())).await;
    let names: Vec<_> = buckets.keys().map(String::as_str).collect();
    let expected = ["alarm", "auth", "authRoles", "authUsers", "cluster", "key", "lease", "members"];
    assert_eq!(names[..8], expected);
    assert_eq!(names[8..], ["members_removed", "meta"]);
    let with_entries: Vec<_> =
        buckets.iter().filter(|(_, entries)| !entries.is_empty()).map(|(name, _)| name).collect();
    assert_eq!(with_entries, ["auth", "cluster", "meta"]);
    assert_eq!(
        buckets["auth"],
        [(b"authEnabled".to_vec(), vec![0]), (b"authRevision".to_vec(), 1_u64.to_be_bytes().to_vec())]
    );
    assert_eq!(text(&buckets["cluster"]), [("clusterVersion", "3.7.0".to_owned())]);
    let names: Vec<_> = buckets["meta"].iter().map(|(key, _)| str_of(key)).collect();
    assert_eq!(names, ["confState", "consistent_index", "storageVersion", "term"]);
    assert_eq!(buckets["meta"][1].1, 77_u64.to_be_bytes());
    assert_eq!(buckets["meta"][3].1, 3_u64.to_be_bytes());
}

#[tokio::test]
async fn every_change_since_the_compaction_is_there_and_before_it_what_was_newest() {
    let state = Arc::new(State::default());
    for (key, value) in [("a", "1"), ("a", "2"), ("b", "1"), ("c", "1")] {
        put(&state, key, value.as_bytes(), 0);
    }
    delete(&state, "c", "");
    state.store.write().compact(Revision(6)).unwrap();
    put(&state, "a", b"3", 0);
    delete(&state, "a", "c");
    let Image { buckets, .. } = image(&state).await;
    let keys: Vec<_> = buckets["key"].iter().map(|(key, _)| key.clone()).collect();
    let expected = [
        revision_key(3, 0, ""),
        revision_key(4, 0, ""),
        revision_key(6, 0, "t"),
        revision_key(7, 0, ""),
        revision_key(8, 0, "t"),
        revision_key(8, 1, "t"),
    ];
    assert_eq!(keys, expected);
    let kv = KeyValue::decode(&buckets["key"][3].1[..]).unwrap();
    let expected =
        KeyValue { key: "a".into(), value: "3".into(), create_revision: 2, mod_revision: 7, version: 3, lease: 0 };
    assert_eq!(kv, expected);
    let gone = KeyValue::decode(&buckets["key"][5].1[..]).unwrap();
    assert_eq!(gone, KeyValue { key: "b".into(), ..KeyValue::default() });
    for number in [2, 3] {
        let (name, value) = &buckets["meta"][number];
        assert_eq!(str_of(name), ["finishedCompactRev", "scheduledCompactRev"][number - 2]);
        assert_eq!(*value, revision_key(6, 0, ""));
    }
}

#[tokio::test]
async fn leases_are_in_the_order_of_their_ids_as_etcd_writes_them() {
    let state = Arc::new(State::default());
    for (id, ttl) in [(-5, 10), (7, 20), (i64::MAX, 30)] {
        state.leases.write().grant(LeaseId(id), ttl).unwrap();
    }
    let grant = state.leases.write().grant(LeaseId(9), 500).unwrap();
    state.leases.write().checkpoint(grant, 123);
    let Image { buckets, .. } = image(&state).await;
    let keys: Vec<_> =
        buckets["lease"].iter().map(|(key, _)| i64::from_be_bytes(key[..].try_into().unwrap())).collect();
    assert_eq!(keys, [7, 9, i64::MAX, -5]);
    // Fields 1 to 3: id, TTL, what remains.
    assert_eq!(buckets["lease"][0].1, [8, 7, 16, 20]);
    assert_eq!(buckets["lease"][1].1, [8, 9, 16, 0xf4, 3, 24, 123]);
}

#[tokio::test]
async fn members_are_there_with_those_that_were_removed() {
    let state = Arc::new(State::default());
    let named = |id, name: &str, is_learner| Member {
        id,
        name: name.to_owned(),
        peer_ur_ls: vec![format!("http://peer-{id}:2380")],
        client_ur_ls: if name.is_empty() { vec![] } else { vec![format!("http://{name}:2379")] },
        is_learner,
    };
    *state.cluster.write() = Cluster::restored([named(0xab, "one", false), named(0xcd, "", true)], [0xef]);
    let Image { buckets, .. } = image(&state).await;
    let members: Vec<(&str, serde_json::Value)> =
        buckets["members"].iter().map(|(key, value)| (str_of(key), serde_json::from_slice(value).unwrap())).collect();
    let one = serde_json::json!({
        "id": 0xab, "peerURLs": ["http://peer-171:2380"], "name": "one", "clientURLs": ["http://one:2379"],
    });
    let learner = serde_json::json!({ "id": 0xcd, "peerURLs": ["http://peer-205:2380"], "isLearner": true });
    assert_eq!(members, [("ab", one), ("cd", learner)]);
    assert_eq!(text(&buckets["members_removed"]), [("ef", "removed".to_owned())]);
    let raft: serde_json::Value = serde_json::from_slice(&buckets["meta"][0].1).unwrap();
    assert_eq!(raft, serde_json::json!({ "voters": [0xab], "learners": [0xcd], "auto_leave": false }));
}

#[test]
fn an_alarm_is_a_key_without_a_value() {
    let alarm = |member_id, kind: AlarmType| AlarmMember { member_id, alarm: kind.into() };
    let entries = schema::alarms(&[alarm(2, AlarmType::Corrupt), alarm(1, AlarmType::Nospace)]);
    assert_eq!(entries, [(vec![8, 1, 16, 1], vec![]), (vec![8, 2, 16, 2], vec![])]);
}

#[tokio::test]
async fn what_happens_after_the_cut_is_not_in_it() {
    let state = filled(3_000_000);
    let before = image(&state).await.buckets;
    let mut stream = sending(&state);
    let mut bytes = Vec::new();
    let mut messages = 0;
    while let Some(message) = stream.next().await {
        bytes.extend_from_slice(&message.unwrap().blob);
        messages += 1;
        put(&state, &format!("key-{messages:06}"), b"newer", 0);
        state.leases.write().grant(LeaseId(messages), 60).unwrap();
        let newest = state.store.read().revision();
        state.store.write().compact(newest).unwrap();
        while !state.store.write().compact_step(100) {}
    }
    assert!(messages > 90);
    bytes.truncate(bytes.len() - 32);
    assert!(read(&bytes).buckets == before);
}

#[tokio::test]
async fn messages_have_32_kib_each_and_the_digest_of_all_comes_last() {
    let state = filled(2_500_000);
    let total = rendering(&state).bytes();
    let messages: Vec<SnapshotResponse> = sending(&state).map(Result::unwrap).collect().await;
    let (digest, pages) = messages.split_last().unwrap();
    let (last, others) = pages.split_last().unwrap();
    assert!(others.iter().all(|message| message.blob.len() == 32 << 10) && last.blob.len() <= 32 << 10);
    assert!(messages.iter().all(|message| message.version == "3.7.0" && message.header.is_none()));
    let mut sent = 0;
    let mut sha256 = ring::digest::Context::new(&ring::digest::SHA256);
    for message in pages {
        sent += message.blob.len() as u64;
        assert_eq!(message.remaining_bytes, total - sent, "exact from the first message on");
        sha256.update(&message.blob);
    }
    assert_eq!((last.remaining_bytes, digest.remaining_bytes), (0, 0));
    assert_eq!(digest.blob, sha256.finish().as_ref());
}

/// Whether nothing holds history back.
fn is_swept(state: &State) -> bool {
    let mut store = state.store.write();
    while !store.compact_step(1_000) {}
    store.swept() == store.compacted()
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_for_two_minutes_holds_nothing_any_more() {
    let state = filled(5_000_000);
    let mut stream = sending(&state);
    drop(stream.next().await.unwrap().unwrap());
    state.store.write().compact(Revision(100)).unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(59)).await;
    assert!(!is_swept(&state), "it still has the right to all of it");
    tokio::time::sleep(std::time::Duration::from_secs(62)).await;
    assert!(is_swept(&state));
    let status = stream.next().await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::Aborted, "{status}");
    assert!(stream.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_a_megabyte_a_minute_gets_all_of_it() {
    let state = filled(5_000_000);
    let mut stream = sending(&state);
    let mut messages = 0;
    while let Some(message) = stream.next().await {
        message.unwrap();
        messages += 1;
        if messages % 40 == 0 {
            tokio::time::sleep(std::time::Duration::from_secs(59)).await;
        }
    }
    assert!(messages > 150);
    state.store.write().compact(Revision(100)).unwrap();
    assert!(is_swept(&state));
}

#[tokio::test]
async fn a_client_that_goes_lets_go_of_history() {
    let state = filled(5_000_000);
    let mut stream = sending(&state);
    drop(stream.next().await.unwrap().unwrap());
    state.store.write().compact(Revision(100)).unwrap();
    assert!(!is_swept(&state));
    drop(stream);
    assert!(is_swept(&state));
}

#[tokio::test]
async fn a_server_that_stops_says_so_in_the_middle() {
    let state = filled(5_000_000);
    let stop = CancellationToken::new();
    let mut stream = Sending::<TokioRuntime>::begin(rendering(&state), stop.clone());
    drop(stream.next().await.unwrap().unwrap());
    stop.cancel();
    let status = stream.next().await.unwrap().unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Unavailable, "etcdserver: server stopped"));
}

#[tokio::test]
async fn a_store_that_is_replaced_in_the_middle_ends_the_snapshot() {
    let state = filled(5_000_000);
    let mut stream = sending(&state);
    drop(stream.next().await.unwrap().unwrap());
    *state.store.write() = crate::mvcc::Store::new();
    let refused = loop {
        if let Err(status) = stream.next().await.unwrap() {
            break status;
        }
    };
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
}
