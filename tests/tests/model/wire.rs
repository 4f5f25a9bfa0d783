//! The same operations over connections: to our server as a process, and to etcd, which shows that the model
//! is etcd's and not only ours.

use registry_tests::model::{Dialect, Mix, Run, Settings, Wire};
use registry_tests::{Etcd, Node};

use super::{NODE, tell};

/// Without `REGISTRY_MODEL_OPERATIONS`.
const OPERATIONS: usize = 20_000;

async fn compare(url: &str, dialect: Dialect) {
    let settings = Settings::new(OPERATIONS, Mix::of(dialect));
    let server = Wire::connect(url).await;
    let mut run = Run::new(settings);
    run.go(&server, settings.operations).await;
    run.compare_everything(&server).await;
    tell(&run);
}

#[tokio::test]
async fn a_process_answers_as_the_model_does() {
    let node = Node::start(NODE, &["--unsafe-no-fsync"]).await;
    compare(node.url(), Dialect::Registry).await;
}

#[tokio::test]
async fn etcd_answers_as_the_model_does() {
    let Some(etcd) = Etcd::start().await else { return };
    compare(etcd.url(), Dialect::Etcd34).await;
}
