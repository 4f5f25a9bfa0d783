//! A reader that is slow among fast ones.

use registry_tests::requests::{watch, watch_prefix};
use registry_tests::{EmbeddedNode, Watching};

/// Far more than a stream's queue and the HTTP/2 windows hold.
const PUTS: i64 = 400;
const VALUE_BYTES: usize = 50_000;

#[tokio::test]
async fn a_reader_that_stops_reading_catches_up_without_gap_and_holds_up_nobody() {
    let node = EmbeddedNode::start().await;
    // Connections of their own: they share no window.
    let (writer, slow, fast) = (node.client().await, node.client().await, node.client().await);
    let mut slow = Watching::of(&slow, watch_prefix("k/")).await;
    let mut fast = Watching::of(&fast, watch_prefix("k/")).await;
    let value = "x".repeat(VALUE_BYTES);
    for n in 0..PUTS {
        writer.put(&format!("k/{}", n % 10), &value).await;
        // Nothing is read from `slow`, and `fast` hears of each put before the next one.
        assert_eq!(fast.happened(1).await[0].revision, n + 2);
    }
    let revisions: Vec<_> = slow.happened(PUTS as usize).await.iter().map(|event| event.revision).collect();
    assert_eq!(revisions, (2..PUTS + 2).collect::<Vec<_>>());
    // It is live again.
    let revision = writer.put("k/0", "live").await;
    assert_eq!(slow.happened(1).await[0].revision, revision);
}

#[tokio::test]
async fn a_reader_overtaken_by_a_compaction_is_told_instead_of_left_with_a_gap() {
    let node = EmbeddedNode::start().await;
    let (writer, slow) = (node.client().await, node.client().await);
    let mut slow = Watching::of(&slow, watch("k")).await;
    let value = "x".repeat(VALUE_BYTES);
    let mut revision = 1;
    for _ in 0..PUTS {
        revision = writer.put("k", &value).await;
    }
    writer.compact(revision).await.unwrap();
    let mut expected = 2;
    loop {
        let answer = slow.answer().await;
        if answer.canceled {
            assert_eq!(answer.compact_revision, revision);
            assert!(expected <= revision, "cancelled although nothing was missing");
            break;
        }
        for event in answer.events.into_messages().unwrap() {
            assert_eq!(event.kv.unwrap().mod_revision, expected, "a gap that nobody told");
            expected += 1;
        }
        if expected > revision {
            // All of it had been on its way before the compaction.
            break;
        }
    }
}
