//! Many watchers on a stream: ids, cancel, progress; and the end of a stream.

use std::collections::BTreeMap;
use std::time::Duration;

use registry_proto::etcdserverpb::WatchCreateRequest;
use registry_tests::requests::{Operation, put, txn, watch, watch_prefix};
use registry_tests::{EmbeddedNode, Happened, Watching};
use tokio::task::JoinSet;
use tonic::Code;

#[tokio::test]
async fn watchers_of_a_stream_are_told_apart_by_their_ids() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    let mut watching = Watching::open(&client).await;
    let mut ids = Vec::new();
    for n in 0..100 {
        let created = watching.create(watch(&format!("k/{n}"))).await;
        assert!(created.created);
        ids.push(created.watch_id);
    }
    assert_eq!(ids, (0..100).collect::<Vec<_>>());
    for n in (0..100).rev() {
        client.put(&format!("k/{n}"), &format!("{n}")).await;
    }
    let mut told = BTreeMap::new();
    while told.len() < 100 {
        let answer = watching.answer().await;
        let [event] = &answer.events.into_messages().unwrap()[..] else { panic!("one event for one put") };
        told.insert(answer.watch_id, event.kv.as_ref().unwrap().value.clone());
    }
    assert!(told.iter().all(|(id, value)| *value == format!("{id}")), "{told:?}");
}

#[tokio::test]
async fn a_client_may_choose_ids_and_the_server_goes_around_them() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    let mut watching = Watching::open(&client).await;
    let chosen = |watch_id| WatchCreateRequest { watch_id, ..watch("a") };
    assert_eq!(watching.create(chosen(1)).await.watch_id, 1);
    assert_eq!(watching.create(watch("a")).await.watch_id, 0);
    assert_eq!(watching.create(watch("a")).await.watch_id, 2);
    let refused = watching.create(chosen(2)).await;
    assert!(refused.created && refused.canceled);
    assert_eq!(refused.watch_id, -1);
    assert_eq!(refused.cancel_reason, "mvcc: duplicate watch ID provided on the WatchStream");
    // On another stream the id is free.
    assert_eq!(Watching::open(&client).await.create(chosen(2)).await.watch_id, 2);
}

#[tokio::test]
async fn a_cancelled_watcher_is_told_so_and_the_others_go_on() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    let mut watching = Watching::open(&client).await;
    let (first, second) = (watching.create(watch("a")).await.watch_id, watching.create(watch("a")).await.watch_id);
    watching.cancel(first).await;
    let canceled = watching.answer().await;
    assert_eq!((canceled.watch_id, canceled.canceled, canceled.compact_revision), (first, true, 0));
    client.put("a", "1").await;
    let answer = watching.answer().await;
    assert_eq!(answer.watch_id, second);
    // Cancelling what is not there is no error and has no answer.
    watching.cancel(first).await;
    watching.cancel(99).await;
    client.put("a", "2").await;
    assert_eq!(watching.happened(1).await, [Happened::put("a", "2", 3)]);
}

#[tokio::test]
async fn a_progress_request_is_answered_for_the_whole_stream_after_all_events() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    let mut watching = Watching::open(&client).await;
    watching.create(WatchCreateRequest { start_revision: 1, ..watch_prefix("k/") }).await;
    watching.create(watch("other")).await;
    for n in 0..200 {
        client.put("k/1", &format!("{n}")).await;
    }
    let revision = client.revision().await;
    watching.ask_progress().await;
    let mut seen = 1;
    loop {
        let answer = watching.answer().await;
        let told = answer.header.unwrap().revision;
        if answer.watch_id == -1 {
            assert!(answer.events.is_empty() && !answer.canceled);
            assert!(told >= revision, "progress at {told}, asked at {revision}");
            break;
        }
        seen = answer.events.into_messages().unwrap().last().unwrap().kv.as_ref().unwrap().mod_revision;
    }
    assert_eq!(seen, revision, "progress was told before its events");
}

#[tokio::test]
async fn idle_watchers_that_asked_for_it_are_told_their_progress() {
    let node =
        EmbeddedNode::start_with(|config| config.watch_progress_notify_interval = Duration::from_millis(200)).await;
    let client = node.client().await;
    let request = WatchCreateRequest { progress_notify: true, ..watch("idle") };
    let mut watching = Watching::of(&client, request).await;
    let revision = client.put("other", "1").await;
    let mut told = 0;
    while told < revision {
        let answer = watching.answer().await;
        assert!(answer.events.is_empty() && answer.watch_id == 0);
        told = answer.header.unwrap().revision;
    }
}

#[tokio::test]
async fn many_streams_of_many_watchers_are_all_told() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    let mut streams = Vec::new();
    for _ in 0..10 {
        let mut watching = Watching::open(&client).await;
        for _ in 0..50 {
            watching.create(watch_prefix("k/")).await;
        }
        streams.push(watching);
    }
    for n in 0..20 {
        client.put(&format!("k/{n}"), "v").await;
    }
    for mut watching in streams {
        let mut counts = [0; 50];
        while counts.iter().sum::<usize>() < 50 * 20 {
            let answer = watching.answer().await;
            counts[answer.watch_id as usize] += answer.events.into_messages().unwrap().len();
        }
        assert_eq!(counts, [20; 50]);
    }
}

fn key_of(stream: usize, number: usize) -> String {
    format!("k/{stream}/{number:04}")
}

#[tokio::test]
async fn ten_thousand_watchers_on_one_connection_hear_of_their_own_key_and_of_nothing_else() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    let mut opening = JoinSet::new();
    for stream in 0..10 {
        let client = client.clone();
        opening.spawn(async move {
            let mut watching = Watching::open(&client).await;
            for number in 0..1_000 {
                assert_eq!(watching.create(watch(&key_of(stream, number))).await.watch_id, number as i64);
            }
            (stream, watching)
        });
    }
    let streams = opening.join_all().await;
    let keys: Vec<_> = (0..10).flat_map(|stream| (0..1_000).map(move |number| key_of(stream, number))).collect();
    for keys in keys.chunks(100) {
        client.txn(txn(keys.iter().map(|key| put(key, "v").op()).collect())).await.unwrap();
    }
    for (stream, mut watching) in streams {
        let mut told = BTreeMap::new();
        while told.len() < 1_000 {
            let answer = watching.answer().await;
            let [event] = &answer.events.into_messages().unwrap()[..] else { panic!("one event for one key") };
            let before = told.insert(answer.watch_id, event.kv.as_ref().unwrap().key.clone());
            assert_eq!(before, None);
        }
        assert!(told.iter().all(|(id, name)| *name == key_of(stream, *id as usize)), "{told:?}");
        // Whoever had been told more would be so before this.
        watching.ask_progress().await;
        assert_eq!(watching.answer().await.watch_id, -1);
    }
}

#[tokio::test]
async fn a_stop_of_the_server_ends_the_stream_with_a_status() {
    let mut node = EmbeddedNode::start().await;
    let client = node.client().await;
    let mut watching = Watching::of(&client, watch("a")).await;
    let stopping = tokio::spawn(async move { node.stop().await });
    let status = watching.try_answer().await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Unavailable, "etcdserver: server stopped"));
    stopping.await.unwrap();
}
