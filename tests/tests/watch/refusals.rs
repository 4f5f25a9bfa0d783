//! Create requests that make no sense.

use registry_proto::etcdserverpb::WatchCreateRequest;
use registry_tests::requests::watch;
use registry_tests::{EmbeddedNode, Happened, Watching};

#[tokio::test]
async fn a_negative_start_is_refused_as_compacted_and_the_stream_goes_on() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    let mut watching = Watching::open(&client).await;
    let refused = watching.create(WatchCreateRequest { start_revision: -1, ..watch("a") }).await;
    assert!(refused.created && refused.canceled);
    assert_eq!((refused.watch_id, refused.compact_revision), (-1, 0));
    assert_eq!(refused.cancel_reason, "etcdserver: mvcc: required revision has been compacted");
    assert!(watching.create(watch("a")).await.created);
    client.put("a", "1").await;
    assert_eq!(watching.happened(1).await, [Happened::put("a", "1", 2)]);
}

#[tokio::test]
async fn a_range_that_ends_before_it_begins_is_refused() {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    let mut watching = Watching::open(&client).await;
    let refused = watching.create(WatchCreateRequest { range_end: "a".into(), ..watch("b") }).await;
    assert!(refused.created && refused.canceled);
    assert_eq!(refused.watch_id, -1);
    assert!(!refused.cancel_reason.is_empty());
}
