//! Quotas that are full, or nearly so.

use crate::kit::{Node, doctor, run};

/// Puts values of 100,000 bytes until none is taken, or so many were.
async fn fill(node: &Node, count: usize) -> bool {
    let value = "v".repeat(100_000);
    for number in 0..count {
        let put = run(&["--endpoints", node.url(), "put", &format!("k{number}"), &value]).await;
        if put.err.contains("database space exceeded") {
            return true;
        }
        assert_eq!(put.code, 0, "{put:?}");
    }
    false
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_quota_is_an_error_with_the_commands_that_make_room() {
    let node = Node::start_with(|config| config.quota_bytes = Some(3_000_000)).await;
    assert!(fill(&node, 60).await, "the quota is never full");
    let found = doctor(node.url(), &[]).await;
    let alarm = ["NOSPACE", "compaction ", "defrag --cluster", "alarm disarm", node.url()];
    found.expect("alarm", "error ", &alarm);
    found.expect("space", &format!("error {}", node.url()), &["are held", "--quota-backend-bytes"]);
    assert_eq!(found.code, 1);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_that_is_nearly_full_is_told_before_it_is() {
    let node = Node::start_with(|config| config.quota_bytes = Some(2_000_000)).await;
    assert!(!fill(&node, 17).await);
    let found = doctor(node.url(), &[]).await;
    found.expect("space", &format!("warning {}", node.url()), &["at the quota writes are refused"]);
    found.is_well("alarm");
    assert_eq!(found.code, 0, "{found:?}");
    node.stop().await;
}
