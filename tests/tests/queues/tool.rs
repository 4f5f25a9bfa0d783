//! etcdctl's locks and elections, and those of the services, exclude each other.

use std::io::{BufRead, BufReader};

use registry_proto::v3electionpb::LeaderRequest;
use registry_tests::budget::SOON;
use registry_tests::{EmbeddedNode, etcdctl, eventually, within};

use crate::Queues;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tool_waits_for_a_lock_of_the_service_and_the_other_way_round() {
    if !etcdctl::is_there() {
        return;
    }
    let node = EmbeddedNode::start().await;
    let queues = Queues::connect(node.url()).await;
    let address = node.url().trim_start_matches("http://").to_owned();
    let held = queues.lock("both", 0).await.unwrap();
    let mut tool = etcdctl::leave(&address, &["lock", "both"]);
    queues.wait_for_line("both", 2).await;
    assert!(tool.0.try_wait().unwrap().is_none());
    queues.unlock(held).await;
    let mut line = String::new();
    BufReader::new(tool.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("both/"), "{line}");
    let waiting = {
        let queues = queues.clone();
        tokio::spawn(async move { queues.lock("both", 0).await })
    };
    queues.wait_for_line("both", 2).await;
    // It leaves its lock when it is told to end, and its lease ends it otherwise.
    let pid = tool.0.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    within(waiting).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_wins_with_the_tool_leads_for_the_service() {
    if !etcdctl::is_there() {
        return;
    }
    let node = EmbeddedNode::start().await;
    let queues = Queues::connect(node.url()).await;
    let address = node.url().trim_start_matches("http://").to_owned();
    let _tool = etcdctl::leave(&address, &["elect", "tool", "a proposal"]);
    let asked = LeaderRequest { name: "tool".into() };
    eventually(SOON, "it is elected", async || {
        let leader = queues.election.clone().leader(asked.clone()).await;
        leader.is_ok_and(|leader| leader.into_inner().kv.is_some_and(|kv| kv.value == "a proposal"))
    })
    .await;
}
