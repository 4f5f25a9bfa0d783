//! A watcher of what happens now: filters, ranges, previous values, fragments.

use registry_proto::etcdserverpb::WatchCreateRequest;
use registry_proto::etcdserverpb::watch_create_request::FilterType;
use registry_tests::requests::{Operation, delete, delete_prefix, leased, put, txn, watch, watch_prefix};
use registry_tests::{EmbeddedNode, Happened, Watching};

#[tokio::test]
async fn puts_and_deletes_are_told_in_order_with_their_revisions() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    let mut watching = Watching::of(&client, watch("a")).await;
    client.put("a", "1").await;
    client.put("b", "1").await;
    client.put("a", "2").await;
    client.delete(delete("a")).await.unwrap();
    client.put("a", "3").await;
    let events = watching.events(4).await;
    let happened: Vec<_> = events.iter().map(Happened::from).collect();
    let expected =
        [Happened::put("a", "1", 2), Happened::put("a", "2", 4), Happened::delete("a", 5), Happened::put("a", "3", 6)];
    assert_eq!(happened, expected);
    let versions = events.iter().map(|event| event.kv.as_ref().unwrap());
    let versions: Vec<_> = versions.map(|kv| (kv.version, kv.create_revision)).collect();
    assert_eq!(versions, [(1, 2), (2, 2), (0, 0), (1, 6)]);
    assert!(events.iter().all(|event| event.prev_kv.is_none()));
}

#[tokio::test]
async fn a_range_and_a_prefix_and_everything_can_be_watched() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    let range = WatchCreateRequest { range_end: "k/3".into(), ..watch("k/1") };
    let from_key = WatchCreateRequest { range_end: b"\0".as_slice().into(), ..watch("k/2") };
    // An empty key stands for the first one there can be.
    let everything = WatchCreateRequest { range_end: b"\0".as_slice().into(), ..watch("") };
    let mut watchings = Vec::new();
    for request in [range, from_key, everything, watch_prefix("k/")] {
        watchings.push(Watching::of(&client, request).await);
    }
    for key in ["a", "k/1", "k/2", "k/3", "z"] {
        client.put(key, "v").await;
    }
    let expected =
        [&["k/1", "k/2"][..], &["k/2", "k/3", "z"], &["a", "k/1", "k/2", "k/3", "z"], &["k/1", "k/2", "k/3"]];
    for (mut watching, expected) in watchings.into_iter().zip(expected) {
        let happened = watching.happened(expected.len()).await;
        assert_eq!(happened.iter().map(|event| event.key.clone()).collect::<Vec<_>>(), expected);
    }
}

#[tokio::test]
async fn filters_leave_out_puts_or_deletes() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    let filtered = |filter: FilterType| WatchCreateRequest { filters: vec![filter.into()], ..watch("a") };
    let mut deletes = Watching::of(&client, filtered(FilterType::Noput)).await;
    let mut puts = Watching::of(&client, filtered(FilterType::Nodelete)).await;
    for value in ["1", "2"] {
        client.put("a", value).await;
        client.delete(delete("a")).await.unwrap();
    }
    assert_eq!(puts.happened(2).await, [Happened::put("a", "1", 2), Happened::put("a", "2", 4)]);
    assert_eq!(deletes.happened(2).await, [Happened::delete("a", 3), Happened::delete("a", 5)]);
}

#[tokio::test]
async fn prev_kv_shows_what_was_there_before() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    let mut watching = Watching::of(&client, WatchCreateRequest { prev_kv: true, ..watch("a") }).await;
    client.put("a", "1").await;
    client.put("a", "2").await;
    client.delete(delete("a")).await.unwrap();
    let events = watching.events(3).await;
    let before = events.iter().map(|event| event.prev_kv.as_ref().map(|kv| (kv.value.to_vec(), kv.mod_revision)));
    assert_eq!(before.collect::<Vec<_>>(), [None, Some((b"1".to_vec(), 2)), Some((b"2".to_vec(), 3))]);
}

#[tokio::test]
async fn a_transaction_is_one_answer() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    client.put("k/0", "1").await;
    let mut watching = Watching::of(&client, watch_prefix("k/")).await;
    let ops = vec![put("k/1", "1").op(), delete("k/0").op(), txn(vec![put("k/2", "1").op()]).op(), put("x", "1").op()];
    client.txn(txn(ops)).await.unwrap();
    let answer = watching.answer().await;
    assert_eq!((answer.header.unwrap().revision, answer.fragment), (3, false));
    let events = answer.events.into_messages().unwrap();
    let happened: Vec<_> = events.iter().map(Happened::from).collect();
    let expected = [Happened::put("k/1", "1", 3), Happened::delete("k/0", 3), Happened::put("k/2", "1", 3)];
    assert_eq!(happened, expected);
}

#[tokio::test]
async fn the_deletes_of_a_revoked_lease_are_told_in_the_order_of_keys_and_in_one_revision() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    client.grant(7, 600).await.unwrap();
    for key in ["k/c", "k/a", "k/b"] {
        client.try_put(leased(key, "1", 7)).await.unwrap();
    }
    let mut watching = Watching::of(&client, watch_prefix("k/")).await;
    client.revoke(7).await.unwrap();
    let expected = [Happened::delete("k/a", 5), Happened::delete("k/b", 5), Happened::delete("k/c", 5)];
    assert_eq!(watching.happened(3).await, expected);
}

#[tokio::test]
async fn a_revision_above_the_message_size_comes_in_fragments_to_who_asked_for_them() {
    // Several puts of one revision whose events with previous values are far above 2 MiB.
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    let keys: Vec<_> = (0..5).map(|n| format!("k/{n}")).collect();
    let value = "x".repeat(250_000);
    for _ in 0..2 {
        client.txn(txn(keys.iter().map(|key| put(key, value.clone()).op()).collect())).await.unwrap();
    }
    let request = WatchCreateRequest { prev_kv: true, ..watch_prefix("k/") };
    let mut whole = Watching::of(&client, request.clone()).await;
    let mut parts = Watching::of(&client, WatchCreateRequest { fragment: true, ..request }).await;
    client.delete(delete_prefix("k/")).await.unwrap();
    client.txn(txn(keys.iter().map(|key| put(key, value.clone()).op()).collect())).await.unwrap();
    client.txn(txn(keys.iter().map(|key| put(key, value.clone()).op()).collect())).await.unwrap();
    let whole = whole.events(15).await;

    let mut events = Vec::new();
    let mut fragments = 0;
    while events.len() < 15 {
        let answer = parts.answer().await;
        let is_fragment = answer.fragment;
        events.extend(answer.events.into_messages().unwrap());
        fragments += usize::from(is_fragment);
        let last = events.last().unwrap().kv.as_ref().unwrap().mod_revision;
        let is_split = events.len() % 5 != 0;
        assert!(!is_split || is_fragment, "revision {last} was split without being told");
    }
    assert!(fragments > 0);
    assert!(events == whole);
}
