//! Range and its options.

use registry_proto::etcdserverpb::RangeRequest;
use registry_proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use registry_tests::requests::{delete, everything, key, prefix};
use registry_tests::{Client, EmbeddedNode};

use super::keys;

/// `a`..`e` at revisions 2 to 6, then `b` again at 7: `b` has version 2 and the largest value.
async fn five_keys() -> (EmbeddedNode, Client) {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    for (key, value) in [("a", "5"), ("b", "4"), ("c", "3"), ("d", "2"), ("e", "1"), ("b", "9")] {
        client.put(key, value).await;
    }
    (node, client)
}

#[tokio::test]
async fn a_new_store_is_at_revision_1_and_its_first_write_makes_revision_2() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    assert_eq!(client.revision().await, 1);
    assert_eq!(client.put("a", "1").await, 2);
    assert_eq!(client.revision().await, 2);
    let header = client.try_range(key("a")).await.unwrap().header.unwrap();
    assert!(header.cluster_id != 0 && header.member_id != 0 && header.raft_term > 0, "{header:?}");
    assert_eq!(client.header().await.cluster_id, header.cluster_id);
}

#[tokio::test]
async fn a_key_tells_when_it_was_made_and_changed_and_how_often() {
    let (_node, client) = five_keys().await;
    let b = client.get("b").await.unwrap();
    assert_eq!((b.create_revision, b.mod_revision, b.version, b.lease), (3, 7, 2, 0));
    assert_eq!(b.value, "9");
    client.delete(delete("b")).await.unwrap();
    assert!(client.get("b").await.is_none());
    client.put("b", "new").await;
    let b = client.get("b").await.unwrap();
    assert_eq!((b.create_revision, b.mod_revision, b.version), (9, 9, 1));
}

#[tokio::test]
async fn ranges_are_half_open_and_nul_stands_for_everything_from_the_key_on() {
    let (_node, client) = five_keys().await;
    let range = |from: &str, to: &[u8]| RangeRequest { range_end: to.to_vec().into(), ..key(from) };
    assert_eq!(keys(&client.range(range("b", b"d")).await), ["b", "c"]);
    assert_eq!(keys(&client.range(range("c", b"\0")).await), ["c", "d", "e"]);
    assert_eq!(keys(&client.range(everything()).await), ["a", "b", "c", "d", "e"]);
    assert!(client.range(range("d", b"b")).await.is_empty());
    client.put("c/1", "").await;
    assert_eq!(keys(&client.range(prefix("c")).await), ["c", "c/1"]);
    assert_eq!(keys(&client.range(prefix("c/")).await), ["c/1"]);
}

#[tokio::test]
async fn count_ignores_the_limit_and_more_tells_that_it_cut() {
    let (_node, client) = five_keys().await;
    for (limit, returned, more) in [(0, 5, false), (2, 2, true), (5, 5, false), (9, 5, false), (-1, 5, false)] {
        let answer = client.try_range(RangeRequest { limit, ..everything() }).await.unwrap();
        assert_eq!((answer.count, answer.more), (5, more), "limit {limit}");
        assert_eq!(answer.kvs.into_messages().unwrap().len(), returned, "limit {limit}");
    }
}

#[tokio::test]
async fn count_only_counts_and_keys_only_leaves_values_out() {
    let (_node, client) = five_keys().await;
    let counted = client.try_range(RangeRequest { count_only: true, limit: 2, ..everything() }).await.unwrap();
    assert_eq!((counted.count, counted.more), (5, false));
    assert!(counted.kvs.into_messages().unwrap().is_empty());
    let named = client.range(RangeRequest { keys_only: true, ..everything() }).await;
    assert_eq!(keys(&named), ["a", "b", "c", "d", "e"]);
    assert!(named.iter().all(|kv| kv.value.is_empty()));
    assert_eq!(named[1].version, 2);
}

#[tokio::test]
async fn every_order_and_target_sorts() {
    let (_node, client) = five_keys().await;
    let sorted = async |target: SortTarget, order: SortOrder| {
        let request = RangeRequest { sort_target: target.into(), sort_order: order.into(), limit: 3, ..everything() };
        keys(&client.range(request).await).concat()
    };
    use SortOrder::{Ascend, Descend, None};
    assert_eq!(sorted(SortTarget::Key, None).await, "abc");
    assert_eq!(sorted(SortTarget::Key, Ascend).await, "abc");
    assert_eq!(sorted(SortTarget::Key, Descend).await, "edc");
    assert_eq!(sorted(SortTarget::Version, Descend).await[..1], *"b");
    assert_eq!(sorted(SortTarget::Version, Ascend).await, "acd");
    assert_eq!(sorted(SortTarget::Create, Descend).await, "edc");
    assert_eq!(sorted(SortTarget::Mod, Descend).await, "bed");
    assert_eq!(sorted(SortTarget::Mod, Ascend).await, "acd");
    assert_eq!(sorted(SortTarget::Value, Ascend).await, "edc");
    assert_eq!(sorted(SortTarget::Value, Descend).await, "bac");
    // As in etcd, without an order the limit chooses by key, and only what it let through is sorted.
    assert_eq!(sorted(SortTarget::Value, None).await, "dca");
}

#[tokio::test]
async fn revision_filters_choose_keys_and_count_ignores_them() {
    let (_node, client) = five_keys().await;
    let filtered = async |change: fn(&mut RangeRequest)| {
        let mut request = everything();
        change(&mut request);
        let answer = client.try_range(request).await.unwrap();
        assert_eq!(answer.count, 5);
        keys(&answer.kvs.into_messages().unwrap()).concat()
    };
    assert_eq!(filtered(|range| range.min_mod_revision = 6).await, "be");
    assert_eq!(filtered(|range| range.max_mod_revision = 4).await, "ac");
    assert_eq!(filtered(|range| range.min_create_revision = 5).await, "de");
    assert_eq!(filtered(|range| range.max_create_revision = 3).await, "ab");
}

#[tokio::test]
async fn a_past_revision_shows_the_past() {
    let (_node, client) = five_keys().await;
    client.delete(delete("a")).await.unwrap();
    let at = async |revision| client.range(RangeRequest { revision, ..everything() }).await;
    assert_eq!(keys(&at(3).await), ["a", "b"]);
    assert_eq!(at(6).await[1].value, "4");
    assert_eq!(at(7).await[1].value, "9");
    assert_eq!(keys(&at(8).await), ["b", "c", "d", "e"]);
    assert_eq!(keys(&at(0).await), ["b", "c", "d", "e"]);
    // The header tells the store's revision, not the one that was read.
    let answer = client.try_range(RangeRequest { revision: 3, ..everything() }).await.unwrap();
    assert_eq!(answer.header.unwrap().revision, 8);
}

#[tokio::test]
async fn a_serializable_read_answers_the_same_on_a_single_node() {
    let (_node, client) = five_keys().await;
    let serializable = RangeRequest { serializable: true, ..everything() };
    assert_eq!(client.range(serializable).await, client.range(everything()).await);
}

#[tokio::test]
async fn a_range_of_many_slices_is_one_consistent_answer_in_order() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    for part in 0..90 {
        let ops = (0..128).map(|n| registry_tests::requests::put(&format!("k/{part:03}/{n:03}"), "0"));
        let ops = ops.map(registry_tests::requests::Operation::op).collect();
        client.txn(registry_tests::requests::txn(ops)).await.unwrap();
    }
    let (reader, writer) = (client.clone(), client.clone());
    // Both keys are at the two ends of the range and always written together.
    let pair = |n: i64| {
        let ends = ["k/", "k/999"].map(|key| registry_tests::requests::put(key, n.to_string()));
        registry_tests::requests::txn(ends.map(registry_tests::requests::Operation::op).to_vec())
    };
    client.txn(pair(0)).await.unwrap();
    let writing = tokio::spawn(async move {
        for n in 1..100 {
            writer.txn(pair(n)).await.unwrap();
        }
    });
    while !writing.is_finished() {
        let kvs = reader.range(prefix("k/")).await;
        assert_eq!(kvs.len(), 90 * 128 + 2);
        assert!(kvs.is_sorted_by(|a, b| a.key < b.key));
        let (first, last) = (kvs.first().unwrap(), kvs.last().unwrap());
        assert_eq!((&first.value, first.mod_revision), (&last.value, last.mod_revision));
    }
    writing.await.unwrap();
}
