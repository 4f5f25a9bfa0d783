//! Endpoints with a scheme: the tool names the whole URL as the authority of its calls then.

use registry_tests::Node;
use registry_tests::etcdctl::{is_there, say};

use crate::NODE;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_may_be_urls() {
    if !is_there() {
        return;
    }
    let node = Node::start(NODE, &[]).await;
    for endpoint in [node.url(), node.address()] {
        say(endpoint, &["put", "a", "1"]);
        assert_eq!(say(endpoint, &["get", "a", "--print-value-only"]), "1\n");
        assert!(say(endpoint, &["endpoint", "status"]).starts_with(endpoint));
        assert!(say(endpoint, &["endpoint", "hashkv"]).starts_with(endpoint));
        assert!(say(endpoint, &["endpoint", "health"]).is_empty());
    }
}
