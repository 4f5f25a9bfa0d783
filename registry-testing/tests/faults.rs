//! The embedded registry and its faults, as a client of it lives through them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use registry_client::{Freshness, Instance, LeaseState, Registry, ServiceWatch, Shutdown, Snapshot};
use registry_testing::{Line, TestRegistry, TestingError};
use tokio_stream::StreamExt;

const PATIENCE: Duration = Duration::from_secs(20);
const RECORD: &str = r#"{"version":1,"endpoints":{"grpc":{"url":"http://10.0.0.7:9000"}}}"#;

fn instance(id: &str) -> Instance {
    Instance::builder("pay").id(id).endpoint("grpc", "http://10.0.0.7:9000").build().unwrap()
}

async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what}: not in time"))
}

async fn until(watch: &ServiceWatch, what: &str, wanted: impl Fn(&Snapshot) -> bool) -> Arc<Snapshot> {
    let mut changes = watch.changes();
    let waiting = async {
        loop {
            let snapshot = changes.next().await.unwrap();
            if wanted(&snapshot) {
                return snapshot;
            }
        }
    };
    soon(what, waiting).await
}

fn is_stale(snapshot: &Snapshot) -> bool {
    matches!(snapshot.freshness(), Freshness::Stale { .. })
}

fn is_fresh(snapshot: &Snapshot) -> bool {
    snapshot.freshness() == Freshness::Synced
}

async fn one() -> (TestRegistry, Line, Registry, ServiceWatch) {
    let servers = TestRegistry::start().await.unwrap();
    let line = servers.line().unwrap();
    let registry = line.client().build().unwrap();
    servers.put("/services/pay/a", RECORD).await.unwrap();
    let watch = registry.watch("pay").start().unwrap();
    until(&watch, "one", |snapshot| snapshot.instances().len() == 1).await;
    (servers, line, registry, watch)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_line_partitions_its_client_and_no_other() {
    let (servers, line, _registry, watch) = one().await;
    line.cut();
    until(&watch, "stale", is_stale).await;
    let second = servers.line().unwrap();
    let other = second.client().build().unwrap();
    soon("another client", other.connect()).await.unwrap();
    drop(second);
    soon("a refusal", other.connect()).await.unwrap_err();
    servers.put("/services/pay/b", RECORD).await.unwrap();
    line.open();
    until(&watch, "caught up", |snapshot| is_fresh(snapshot) && snapshot.instances().len() == 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_line_carries_nothing_until_it_is_open() {
    let (servers, line, _registry, watch) = one().await;
    line.freeze();
    servers.delete("/services/pay/a").await.unwrap();
    servers.put("/services/pay/b", RECORD).await.unwrap();
    tokio::time::timeout(
        Duration::from_millis(300),
        watch.changes().filter(|snapshot| snapshot.instance("b").is_some()).next(),
    )
    .await
    .unwrap_err();
    assert!(watch.snapshot().instance("a").is_some());
    line.open();
    until(&watch, "what waited", |snapshot| snapshot.instance("b").is_some() && snapshot.instances().len() == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_streams_are_opened_anew_and_compacted_history_is_listed_anew() {
    let (servers, line, _registry, watch) = one().await;
    line.drop_streams();
    servers.put("/services/pay/b", RECORD).await.unwrap();
    until(&watch, "caught up", |snapshot| snapshot.instances().len() == 2).await;
    line.cut();
    until(&watch, "stale", is_stale).await;
    servers.delete("/services/pay/a").await.unwrap();
    servers.compact().await.unwrap();
    line.open();
    until(&watch, "the deletion", |snapshot| is_fresh(snapshot) && snapshot.instances().len() == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_lease_is_made_anew_by_the_registration() {
    let (servers, _line, registry, _) = one().await;
    let registration = soon("registered", registry.register(instance("b")).into_future()).await.unwrap();
    assert_eq!(servers.leases().await.unwrap(), 1);
    let key = "/services/pay/b";
    let mut state = registration.state();
    let told = tokio::spawn(async move {
        state.wait_for(|state| *state != LeaseState::Active).await.unwrap();
        state.wait_for(|state| *state == LeaseState::Active).await.unwrap();
    });
    servers.expire(key).await.unwrap();
    soon("it is registered again", told).await.unwrap();
    assert!(servers.get(key).await.unwrap().unwrap().contains("10.0.0.7"));
    soon("shut down", registration.shutdown(Shutdown::new().drain(Duration::ZERO))).await.unwrap();
    assert_eq!((servers.leases().await.unwrap(), servers.get(key).await.unwrap()), (0, None));
    assert_eq!(servers.expire_all().await.unwrap(), 0);
    assert!(matches!(servers.expire(key).await, Err(TestingError::NoLease(named)) if named == key));
    assert!(matches!(servers.change_leader().await, Err(TestingError::OneMember)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_changes_its_leader_and_lives_through_the_loss_of_a_member() {
    let mut servers = TestRegistry::start_cluster().await.unwrap();
    let registry = servers.line().map(|line| (line.client().build().unwrap(), line)).unwrap();
    let (registry, _line) = registry;
    let registration = soon("registered", registry.register(instance("a")).into_future()).await.unwrap();
    let watch = registry.watch("pay").start().unwrap();
    until(&watch, "one", |snapshot| snapshot.instances().len() == 1).await;
    let old = servers.leader().await.unwrap();
    let new = servers.change_leader().await.unwrap();
    assert_ne!(old, new);
    servers.stop(new).await.unwrap();
    registration.update(|instance| instance.set_weight(7)).await.unwrap();
    until(&watch, "the update", |snapshot| snapshot.instances().iter().any(|found| found.weight() == 7)).await;
    servers.start_again(new).await.unwrap();
    assert!(matches!(servers.stop(3).await, Err(TestingError::NoMember(3))));
}
