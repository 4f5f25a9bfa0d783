//! What a restart keeps beside the keys.

use std::time::Duration;

use registry_proto::etcdserverpb::MemberListRequest;
use registry_tests::budget::SOON;
use registry_tests::requests::{leased, watch_prefix};
use registry_tests::{Happened, Node, Watching, eventually};
use tokio::time::Instant;

use crate::NODE;

#[tokio::test]
async fn a_restart_keeps_the_ids_and_the_revision_and_the_term_never_goes_back() {
    let mut node = Node::start(NODE, &["--name", "a"]).await;
    let client = node.client().await;
    client.put("a", "1").await;
    let mut before = client.header().await;
    for _ in 0..3 {
        node.restart().await;
        let client = node.client().await;
        let after = client.header().await;
        assert_eq!((after.cluster_id, after.member_id), (before.cluster_id, before.member_id));
        assert_eq!(after.revision, before.revision);
        assert!(after.raft_term >= before.raft_term);
        let members = client.cluster.clone().member_list(MemberListRequest { linearizable: true }).await.unwrap();
        let members = members.into_inner().members;
        assert_eq!(
            members.iter().map(|member| (member.id, member.name.as_str())).collect::<Vec<_>>(),
            [(after.member_id, "a")]
        );
        before = after;
    }
}

#[tokio::test]
async fn another_token_makes_another_cluster_and_changes_nothing_later() {
    let mut first = Node::start(NODE, &["--initial-cluster-token=a"]).await;
    let second = Node::start(NODE, &["--initial-cluster-token=b"]).await;
    let before = first.client().await.header().await;
    assert_ne!(before.cluster_id, second.client().await.header().await.cluster_id);
    first.kill9();
    let again = Node::try_start(NODE, first.data_dir(), &["--initial-cluster-token=b"]).await.unwrap();
    assert_eq!(again.client().await.header().await.cluster_id, before.cluster_id);
}

#[tokio::test]
async fn a_lease_still_expires_after_a_restart_and_never_early() {
    let mut node = Node::start(NODE, &[]).await;
    let client = node.client().await;
    client.grant(7, 3).await.unwrap();
    client.try_put(leased("under", "1", 7)).await.unwrap();
    client.put("free", "1").await;
    // Before the kill: the granted time runs at least until then plus what the new leader grants anew.
    let granted = Instant::now();
    node.restart().await;
    let client = node.client().await;
    assert_eq!(client.time_to_live(7).await.granted_ttl, 3);
    assert_eq!(client.time_to_live(7).await.keys, ["under"]);
    eventually(SOON, "the lease expires", async || client.get("under").await.is_none()).await;
    assert!(granted.elapsed() >= Duration::from_secs(3), "it expired after {:?}", granted.elapsed());
    assert_eq!(client.time_to_live(7).await.ttl, -1);
    assert_eq!(client.value("free").await.unwrap(), "1");
}

#[tokio::test]
async fn a_revoked_lease_stays_revoked() {
    let mut node = Node::start(NODE, &[]).await;
    let client = node.client().await;
    client.grant(7, 600).await.unwrap();
    client.grant(8, 600).await.unwrap();
    client.try_put(leased("under", "1", 7)).await.unwrap();
    client.revoke(7).await.unwrap();
    node.restart().await;
    let client = node.client().await;
    assert_eq!(client.leases().await, [8]);
    assert!(client.get("under").await.is_none());
    assert_eq!(client.keep_alive().await.renew(7).await, 0);
}

#[tokio::test]
async fn a_watch_resumes_across_a_restart_from_the_next_revision_without_gap_or_repeat() {
    let mut node = Node::start(NODE, &[]).await;
    let client = node.client().await;
    let mut watching = Watching::of(&client, watch_prefix("k/")).await;
    let mut seen = Vec::new();
    for round in 0..5 {
        let client = node.client().await;
        for n in 0..20 {
            client.put(&format!("k/{n}"), &format!("{round}")).await;
        }
        // Some of them are read before the crash, the others are still in the stream.
        let events = watching.answer().await.events.into_messages().unwrap();
        seen.extend(events.iter().map(Happened::from));
        node.restart().await;
        while let Ok(Some(answer)) = watching.try_answer().await {
            let events = answer.events.into_messages().unwrap();
            seen.extend(events.iter().map(Happened::from));
        }
        let next = seen.last().unwrap().revision + 1;
        let request = registry_proto::etcdserverpb::WatchCreateRequest { start_revision: next, ..watch_prefix("k/") };
        watching = Watching::of(&node.client().await, request).await;
    }
    while seen.len() < 100 {
        seen.extend(watching.answer().await.events.into_messages().unwrap().iter().map(Happened::from));
    }
    let expected: Vec<_> =
        (0..100_i64).map(|put| Happened::put(&format!("k/{}", put % 20), &format!("{}", put / 20), put + 2)).collect();
    assert_eq!(seen, expected);
}
