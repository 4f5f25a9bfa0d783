//! A log that is quiet when all is well, so that a line in it means something.

use registry_tests::requests::watch_prefix;
use registry_tests::{Node, Watching, budget, eventually};

use crate::NODE;
use crate::load::Load;

/// What a start, a run under load with snapshots, and a stop may say, all together.
const LINES: usize = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_healthy_server_under_load_says_little_and_warns_of_nothing() {
    // On a busy machine a sync may well take longer than a request should.
    let unhurried = ["--warning-apply-duration=1m", "--warning-unary-request-duration=1m"];
    let mut node = Node::start(NODE, &unhurried).await;
    let client = node.client().await;
    let mut watching = Watching::of(&client, watch_prefix("quiet/")).await;
    client.grant(7, 600).await.unwrap();
    let load = Load::new();
    let clients = load.start(&client, &mut fastrand::Rng::new());
    let acknowledged = async || load.ledger.tally().acknowledged >= 1_000;
    eventually(budget::SOON, "writes are acknowledged", acknowledged).await;
    for number in 0..500 {
        client.put(&format!("quiet/{}", number % 10), "value").await;
    }
    watching.happened(500).await;
    assert!(node.terminate().await.success());
    clients.end().await;
    let log = node.log();
    let levels: Vec<serde_json::Value> = log.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let loud: Vec<_> = levels.iter().filter(|line| line["level"] != "INFO").collect();
    assert!(loud.is_empty(), "{loud:#?}");
    assert!(log.len() <= LINES, "{} lines:\n{}", log.len(), log.join("\n"));
}
