//! However a registration ends, its lease ends with it.

use registry_client::Shutdown;
use registry_tests::{EmbeddedNode, budget, eventually, within};

use crate::{HOUR, instance, no_lease_and_no_key_is_left, registry};

#[tokio::test]
async fn g02_a_shutdown_leaves_no_lease_and_no_key() {
    let node = EmbeddedNode::start().await;
    let registration = within(registry(&node).register(instance("a")).ttl(HOUR).into_future()).await.unwrap();
    assert_eq!(node.client().await.leases().await.len(), 1);
    within(registration.shutdown(Shutdown::new().drain(std::time::Duration::ZERO))).await.unwrap();
    no_lease_and_no_key_is_left(&node).await;
}

#[tokio::test]
async fn g03_a_registration_dropped_by_a_panicking_task_is_revoked() {
    let node = EmbeddedNode::start().await;
    let registry = registry(&node);
    let task = tokio::spawn(async move {
        let _registration = registry.register(instance("a")).ttl(HOUR).await.unwrap();
        panic!("on purpose");
    });
    assert!(task.await.unwrap_err().is_panic());
    no_lease_and_no_key_is_left(&node).await;
}

#[test]
fn g03_registrations_dropped_with_the_whole_runtime_are_revoked() {
    let watching = tokio::runtime::Runtime::new().unwrap();
    let node = watching.block_on(EmbeddedNode::start());
    let registry = registry(&node);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for id in ["a", "b", "c"] {
        let registering = registry.register(instance(id)).ttl(HOUR);
        runtime.spawn(async move {
            let _registration = registering.await.unwrap();
            std::future::pending::<()>().await;
        });
    }
    watching.block_on(async {
        let client = node.client().await;
        eventually(budget::SOON, "three leases", || async { client.leases().await.len() == 3 }).await;
    });
    drop(runtime);
    watching.block_on(no_lease_and_no_key_is_left(&node));
}
