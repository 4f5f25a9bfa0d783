//! Put and DeleteRange and their options.

use registry_proto::etcdserverpb::{DeleteRangeRequest, PutRequest};
use registry_tests::EmbeddedNode;
use registry_tests::requests::{delete, delete_prefix, everything, leased, put};

use super::keys;

#[tokio::test]
async fn a_put_tells_the_key_value_before_it_when_asked() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    let asked = |value: &'static str| PutRequest { prev_kv: true, ..put("a", value) };
    assert_eq!(client.try_put(asked("1")).await.unwrap().prev_kv, None);
    let before = client.try_put(asked("2")).await.unwrap().prev_kv.unwrap();
    assert_eq!((before.value.as_ref(), before.mod_revision, before.version), (&b"1"[..], 2, 1));
    assert_eq!(client.try_put(put("a", "3")).await.unwrap().prev_kv, None);
}

#[tokio::test]
async fn ignore_value_keeps_the_value_and_changes_the_lease() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    client.grant(7, 600).await.unwrap();
    client.put("a", "1").await;
    client.try_put(PutRequest { ignore_value: true, ..leased("a", "", 7) }).await.unwrap();
    let a = client.get("a").await.unwrap();
    assert_eq!((a.value.as_ref(), a.lease, a.version), (&b"1"[..], 7, 2));
}

#[tokio::test]
async fn ignore_lease_keeps_the_lease_and_a_plain_put_takes_it_off() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    client.grant(7, 600).await.unwrap();
    client.try_put(leased("a", "1", 7)).await.unwrap();
    client.try_put(PutRequest { ignore_lease: true, ..put("a", "2") }).await.unwrap();
    let a = client.get("a").await.unwrap();
    assert_eq!((a.value.as_ref(), a.lease), (&b"2"[..], 7));
    client.put("a", "3").await;
    assert_eq!(client.get("a").await.unwrap().lease, 0);
    assert!(client.time_to_live(7).await.keys.is_empty());
}

#[tokio::test]
async fn empty_values_and_keys_of_any_bytes_are_kept() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    let key: Vec<u8> = (0..=255).collect();
    client.try_put(PutRequest { key: key.clone().into(), ..PutRequest::default() }).await.unwrap();
    let kvs = client.range(everything()).await;
    assert_eq!((kvs[0].key.as_ref(), kvs[0].value.len()), (&key[..], 0));
}

#[tokio::test]
async fn a_delete_counts_what_it_deletes_and_shows_it_when_asked() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    for key in ["a", "k/1", "k/2", "k/3"] {
        client.put(key, "v").await;
    }
    let request = DeleteRangeRequest { prev_kv: true, ..delete_prefix("k/") };
    let answer = client.delete(request).await.unwrap();
    assert_eq!((answer.deleted, keys(&answer.prev_kvs)), (3, vec!["k/1", "k/2", "k/3"]));
    assert_eq!(answer.header.unwrap().revision, 6);
    assert!(answer.prev_kvs.iter().all(|kv| kv.value == "v"));
    let answer = client.delete(delete("a")).await.unwrap();
    assert_eq!((answer.deleted, answer.prev_kvs.len()), (1, 0));
    assert_eq!(client.range(everything()).await, []);
}

#[tokio::test]
async fn a_delete_of_nothing_makes_no_revision() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    client.put("a", "1").await;
    let answer = client.delete(delete("b")).await.unwrap();
    assert_eq!((answer.deleted, answer.header.unwrap().revision), (0, 2));
    let answer = client.delete(delete_prefix("x")).await.unwrap();
    assert_eq!((answer.deleted, answer.header.unwrap().revision), (0, 2));
    assert_eq!(client.put("a", "2").await, 3);
}

#[tokio::test]
async fn concurrent_writers_each_get_a_revision_of_their_own() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..50 {
        let client = client.clone();
        writers.spawn(async move {
            let mut revisions = Vec::new();
            for n in 0..10 {
                revisions.push(client.put(&format!("{writer}"), &format!("{n}")).await);
            }
            assert!(revisions.is_sorted_by(|a, b| a < b));
            revisions
        });
    }
    let mut revisions = writers.join_all().await.concat();
    revisions.sort_unstable();
    assert_eq!(revisions, (2..502).collect::<Vec<_>>());
}
