//! Expiry: never early, soon after its time, through the log, and for a thousand at once.

use std::time::Duration;

use registry_tests::budget::SOON;
use registry_tests::requests::{leased, prefix, watch_prefix};
use registry_tests::{EmbeddedNode, Happened, Watching, eventually};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// The shortest TTL there is.
const TTL: Duration = Duration::from_secs(2);
/// How late a busy machine may notice.
const LATE: Duration = Duration::from_secs(5);

#[tokio::test]
async fn expiry_deletes_the_keys_in_their_order_and_in_one_revision_not_early_and_not_late() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    let mut watching = Watching::of(&client, watch_prefix("k/")).await;
    let before_grant = Instant::now();
    client.grant(7, 2).await.unwrap();
    let after_grant = Instant::now();
    for key in ["k/c", "k/a", "k/b"] {
        client.try_put(leased(key, "1", 7)).await.unwrap();
    }
    watching.happened(3).await;
    let expected = [Happened::delete("k/a", 5), Happened::delete("k/b", 5), Happened::delete("k/c", 5)];
    assert_eq!(watching.happened(3).await, expected);
    assert!(before_grant.elapsed() >= TTL, "expired {:?} after the grant was sent", before_grant.elapsed());
    assert!(after_grant.elapsed() < TTL + LATE, "expired {:?} after the grant", after_grant.elapsed());
    assert!(client.leases().await.is_empty());
    assert_eq!(client.time_to_live(7).await.ttl, -1);
}

#[tokio::test]
async fn a_lease_without_keys_expires_without_a_revision() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    client.grant(7, 2).await.unwrap();
    eventually(SOON, "it expires", async || client.leases().await.is_empty()).await;
    assert_eq!(client.revision().await, 1);
}

#[tokio::test]
async fn a_short_lease_expires_before_a_long_one_that_was_granted_earlier() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    client.grant(1, 600).await.unwrap();
    client.grant(2, 2).await.unwrap();
    client.grant(3, 4).await.unwrap();
    eventually(SOON, "the shortest expires", async || client.leases().await == [1, 3]).await;
    eventually(SOON, "the next expires", async || client.leases().await == [1]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_leases_that_end_together_are_gone_within_seconds_and_a_living_one_stays() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    client.grant(1_000_000, 600).await.unwrap();
    let mut grants = JoinSet::new();
    for chunk in 0..20 {
        let client = client.clone();
        grants.spawn(async move {
            for id in chunk * 50 + 1..=chunk * 50 + 50 {
                client.grant(id, 5).await.unwrap();
                client.try_put(leased(&format!("k/{id}"), "1", id)).await.unwrap();
            }
        });
    }
    grants.join_all().await;
    let deadline = Instant::now() + Duration::from_secs(5) + LATE;
    eventually(SOON, "all are gone", async || client.leases().await == [1_000_000]).await;
    assert!(Instant::now() < deadline, "{:?} too late", Instant::now() - deadline);
    assert!(client.range(prefix("k/")).await.is_empty());
    // Each lease's key was deleted in a revision of its own.
    assert_eq!(client.revision().await, 1 + 2_000);
}
