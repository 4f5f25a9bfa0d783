//! Granting, listing, asking and revoking.

use registry_proto::etcdserverpb::{LeaseGrantRequest, LeaseTimeToLiveRequest};
use registry_tests::{EmbeddedNode, refusal};
use tonic::Code;

fn etcd_says(code: Code, text: &str) -> (Code, String) {
    (code, format!("etcdserver: {text}"))
}

#[tokio::test]
async fn a_lease_lives_until_it_is_revoked() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    assert_eq!(client.grant(7, 600).await.unwrap(), 600);
    assert_eq!(client.leases().await, [7]);
    let asked = client.time_to_live(7).await;
    assert_eq!((asked.id, asked.granted_ttl), (7, 600));
    assert!((590..=600).contains(&asked.ttl), "{asked:?}");
    client.revoke(7).await.unwrap();
    assert!(client.leases().await.is_empty());
    assert_eq!(client.time_to_live(7).await.ttl, -1);
}

#[tokio::test]
async fn the_server_chooses_ids_that_are_positive_and_differ() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    let mut ids = Vec::new();
    for _ in 0..20 {
        let request = LeaseGrantRequest { id: 0, ttl: 600 };
        let answer = client.lease.clone().lease_grant(request).await.unwrap().into_inner();
        assert_eq!((answer.ttl, answer.error.as_str()), (600, ""));
        ids.push(answer.id);
    }
    ids.sort_unstable();
    assert!(ids.iter().all(|id| *id > 0) && ids.is_sorted_by(|a, b| a < b), "{ids:?}");
    assert_eq!(client.leases().await, ids);
}

#[tokio::test]
async fn granting_and_asking_make_no_revision() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    client.grant(7, 600).await.unwrap();
    client.time_to_live(7).await;
    assert_eq!(client.revoke(7).await.unwrap(), 1);
    assert_eq!(client.revision().await, 1);
}

#[tokio::test]
async fn a_ttl_below_the_minimum_is_raised_to_two_seconds() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    for (id, ttl) in [(1, 1), (2, 0), (3, -5), (4, 2)] {
        assert_eq!(client.grant(id, ttl).await.unwrap(), 2, "{ttl}");
        assert_eq!(client.time_to_live(id).await.granted_ttl, 2);
    }
    assert_eq!(client.grant(5, 3).await.unwrap(), 3);
}

#[tokio::test]
async fn a_ttl_above_the_maximum_is_refused() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    assert_eq!(client.grant(1, 9_000_000_000).await.unwrap(), 9_000_000_000);
    assert!(client.time_to_live(1).await.ttl > 8_999_999_000);
    for ttl in [9_000_000_001, i64::MAX] {
        assert_eq!(refusal(client.grant(2, ttl).await), etcd_says(Code::OutOfRange, "too large lease TTL"));
    }
    assert_eq!(client.leases().await, [1]);
}

#[tokio::test]
async fn an_id_that_is_taken_is_refused_and_free_again_after_the_revoke() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    client.grant(7, 600).await.unwrap();
    let expected = etcd_says(Code::FailedPrecondition, "lease already exists");
    assert_eq!(refusal(client.grant(7, 300).await), expected);
    assert_eq!(client.time_to_live(7).await.granted_ttl, 600);
    client.revoke(7).await.unwrap();
    assert_eq!(client.grant(7, 300).await.unwrap(), 300);
}

#[tokio::test]
async fn revoking_what_is_not_there_is_refused() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    let expected = etcd_says(Code::NotFound, "requested lease not found");
    assert_eq!(refusal(client.revoke(404).await), expected);
    client.grant(7, 600).await.unwrap();
    client.revoke(7).await.unwrap();
    assert_eq!(refusal(client.revoke(7).await), expected);
}

#[tokio::test]
async fn asking_for_an_unknown_lease_is_answered_with_a_ttl_of_minus_one() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    let asked = client.time_to_live(404).await;
    assert_eq!((asked.id, asked.ttl, asked.granted_ttl, asked.keys.len()), (404, -1, 0, 0));
}

#[tokio::test]
async fn keys_are_told_only_when_asked_for() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    client.grant(7, 600).await.unwrap();
    client.try_put(registry_tests::requests::leased("a", "1", 7)).await.unwrap();
    let request = LeaseTimeToLiveRequest { id: 7, keys: false };
    let answer = client.lease.clone().lease_time_to_live(request).await.unwrap().into_inner();
    assert!(answer.keys.is_empty());
    assert_eq!(client.time_to_live(7).await.keys, ["a"]);
}
