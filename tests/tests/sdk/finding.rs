//! A watch of a service follows registrations through the server's restart.

use registry_client::{Selector, Status};
use registry_tests::{EmbeddedNode, budget, eventually, within};

use crate::{HOUR, instance, registry};

#[tokio::test]
async fn g11_a_view_shows_who_is_up_and_follows_every_change() {
    let node = EmbeddedNode::start().await;
    let registry = registry(&node);
    let view = registry.watch("pay").start().unwrap().select(Selector::endpoint("grpc"));
    within(view.synced()).await.unwrap();
    assert!(view.snapshot().instances().is_empty());

    let a = within(registry.register(instance("a")).ttl(HOUR).into_future()).await.unwrap();
    let b = within(registry.register(instance("b")).ttl(HOUR).into_future()).await.unwrap();
    let ids = || view.snapshot().instances().iter().map(|found| found.id().to_owned()).collect::<Vec<_>>();
    eventually(budget::SOON, "both are seen", || async { ids() == ["a", "b"] }).await;

    within(a.set_status(Status::Draining)).await.unwrap();
    eventually(budget::SOON, "who drains is left out", || async { ids() == ["b"] }).await;
    drop(b);
    eventually(budget::SOON, "who is gone is left out", || async { ids().is_empty() }).await;
}
