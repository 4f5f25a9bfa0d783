//! Watchers that begin in the past or in the future, and compaction under them.

use registry_proto::etcdserverpb::WatchCreateRequest;
use registry_tests::requests::{delete, watch, watch_prefix};
use registry_tests::{EmbeddedNode, Happened, Watching};

fn from(start_revision: i64) -> WatchCreateRequest {
    WatchCreateRequest { start_revision, ..watch_prefix("k/") }
}

#[tokio::test]
async fn history_comes_first_and_what_happens_meanwhile_follows_without_gap() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    for n in 0..500 {
        client.put(&format!("k/{}", n % 7), &format!("{n}")).await;
    }
    let writer = client.clone();
    let writing = tokio::spawn(async move {
        for n in 500..1_000 {
            writer.put(&format!("k/{}", n % 7), &format!("{n}")).await;
        }
    });
    let mut watching = Watching::of(&client, from(102)).await;
    let expected = (100..1_000_i64).map(|n| Happened::put(&format!("k/{}", n % 7), &format!("{n}"), n + 2));
    assert_eq!(watching.happened(900).await, expected.collect::<Vec<_>>());
    writing.await.unwrap();
}

#[tokio::test]
async fn deletes_and_previous_values_are_in_the_history_too() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    client.put("k/1", "1").await;
    client.delete(delete("k/1")).await.unwrap();
    let mut watching = Watching::of(&client, WatchCreateRequest { prev_kv: true, ..from(1) }).await;
    let events = watching.events(2).await;
    assert_eq!(
        events.iter().map(Happened::from).collect::<Vec<_>>(),
        [Happened::put("k/1", "1", 2), Happened::delete("k/1", 3)]
    );
    assert_eq!(events[1].prev_kv.as_ref().unwrap().value, "1");
}

#[tokio::test]
async fn a_future_revision_waits_for_its_time() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    client.put("k/1", "now").await;
    let mut watching = Watching::of(&client, from(5)).await;
    for value in ["3", "4", "5", "6"] {
        client.put("k/1", value).await;
    }
    assert_eq!(watching.happened(2).await, [Happened::put("k/1", "5", 5), Happened::put("k/1", "6", 6)]);
}

#[tokio::test]
async fn a_compacted_start_cancels_the_watcher_and_tells_where_history_begins() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    for n in 0..10 {
        client.put("k/1", &format!("{n}")).await;
    }
    client.compact(6).await.unwrap();
    let mut watching = Watching::open(&client).await;
    let created = watching.create(from(3)).await;
    assert!(created.created && !created.canceled);
    let canceled = watching.answer().await;
    assert_eq!((canceled.watch_id, canceled.canceled, canceled.compact_revision), (created.watch_id, true, 6));
    assert!(canceled.events.is_empty());
    // The stream goes on, and the revision that was told can be watched.
    let created = watching.create(from(6)).await;
    assert!(created.created && !created.canceled);
    assert_eq!(watching.happened(6).await.first().unwrap().revision, 6);
}

#[tokio::test]
async fn a_compaction_does_not_disturb_watchers_that_are_current() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    let mut watching = Watching::of(&client, watch("k/1")).await;
    for n in 0..20 {
        let revision = client.put("k/1", &format!("{n}")).await;
        client.compact(revision).await.unwrap();
    }
    let revisions: Vec<_> = watching.happened(20).await.iter().map(|event| event.revision).collect();
    assert_eq!(revisions, (2..22).collect::<Vec<_>>());
}
