//! Watches: what they see, and what they keep when the registry is away.

mod pings;

use std::sync::Arc;
use std::time::Duration;

use registry_client::{EmptyPolicy, Freshness, Registry, Selector, ServiceWatch, Snapshot, Status};
use tokio_stream::StreamExt;

use crate::kit::{Calls, Corner, Proxy, eventually, free_port, instance, own_server, soon};

const RECORD: &str = r#"{"version":1,"endpoints":{"grpc":{"url":"http://10.0.0.7:9000"}}}"#;

/// Waits for a snapshot.
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

fn ids(snapshot: &Snapshot) -> Vec<&str> {
    snapshot.instances().iter().map(|found| found.id()).collect()
}

fn is_stale(snapshot: &Snapshot) -> bool {
    matches!(snapshot.freshness(), Freshness::Stale { .. })
}

#[tokio::test]
async fn g11_a_watch_lists_in_pages_and_follows_from_there() {
    let Some(mut corner) = Corner::new("pages").await else { return };
    for id in 0..1_203 {
        corner.calls.put(&corner.key(&instance(&format!("{id:04}"))), RECORD, 0).await;
    }
    let watch = corner.registry().watch("pay").start().unwrap();
    soon("synced", watch.synced()).await.unwrap();
    assert_eq!(watch.snapshot().instances().len(), 1_203);
    let revision = corner.calls.put(&corner.key(&instance("new")), RECORD, 0).await;
    let snapshot = until(&watch, "the new one", |snapshot| ids(snapshot).contains(&"new")).await;
    assert_eq!(snapshot.revision(), revision);
    corner.calls.delete(&corner.key(&instance("0000"))).await;
    until(&watch, "the deletion", |snapshot| !ids(snapshot).contains(&"0000")).await;
}

#[tokio::test]
async fn g12_pay_never_sees_payments() {
    let Some(mut corner) = Corner::new("prefix").await else { return };
    let watch = corner.registry().watch("pay").start().unwrap();
    let services = format!("{}/services", corner.namespace);
    for key in ["payments/1", "pay0/1", "pa/1", "pay/1"] {
        corner.calls.put(&format!("{services}/{key}"), RECORD, 0).await;
    }
    let snapshot = until(&watch, "one", |snapshot| !snapshot.instances().is_empty()).await;
    assert_eq!(ids(&snapshot), ["1"]);
    assert_eq!(corner.registry().watch("pay/").start().unwrap_err().to_string(), "the instance");
}

#[tokio::test]
async fn g11_after_a_compaction_the_difference_is_told_deletions_included() {
    let Some(mut corner) = Corner::alone("compaction").await else { return };
    let proxy = Proxy::new(corner.endpoint()).await;
    let key = |id: &str| format!("{}/services/pay/{id}", corner.namespace);
    for id in ["kept", "deleted", "changed"] {
        corner.calls.put(&key(id), RECORD, 0).await;
    }
    let watch = corner.registry_by(&proxy.endpoint).watch("pay").start().unwrap();
    let before = until(&watch, "three", |snapshot| snapshot.instances().len() == 3).await;
    proxy.cut();
    until(&watch, "stale", is_stale).await;
    corner.calls.delete(&key("deleted")).await;
    corner.calls.put(&key("changed"), RECORD.replace("9000", "9001"), 0).await;
    let revision = corner.calls.put(&key("new"), RECORD, 0).await;
    corner.calls.compact(revision).await;
    assert_eq!(watch.snapshot().instances().len(), 3, "nothing goes while the registry is away");
    proxy.open();
    let fresh = |snapshot: &Snapshot| snapshot.freshness() == Freshness::Synced && snapshot.revision() >= revision;
    let after = until(&watch, "synced again", fresh).await;
    assert_eq!(ids(&after), ["changed", "kept", "new"]);
    assert_eq!(after.instances()[0].endpoint("grpc").unwrap().port(), 9001);
    let kept = |snapshot: &Snapshot| snapshot.instances().iter().find(|found| found.id() == "kept").cloned().unwrap();
    assert!(Arc::ptr_eq(&kept(&before), &kept(&after)), "what did not change keeps its identity");
}

#[tokio::test]
async fn g11_a_short_break_is_caught_up_by_watching_on() {
    let Some(mut corner) = Corner::new("break").await else { return };
    let proxy = Proxy::new(corner.endpoint()).await;
    let key = |id: &str| format!("{}/services/pay/{id}", corner.namespace);
    corner.calls.put(&key("1"), RECORD, 0).await;
    let watch = corner.registry_by(&proxy.endpoint).watch("pay").start().unwrap();
    soon("synced", watch.synced()).await.unwrap();
    proxy.cut();
    until(&watch, "stale", is_stale).await;
    corner.calls.delete(&key("1")).await;
    corner.calls.put(&key("2"), RECORD, 0).await;
    proxy.open();
    let snapshot = until(&watch, "caught up", |snapshot| ids(snapshot) == ["2"]).await;
    assert_eq!((snapshot.freshness(), snapshot.resets()), (Freshness::Synced, 0));
}

#[tokio::test]
async fn g13_losing_the_registry_removes_nothing_and_another_cluster_is_a_told_reset() {
    let Some(server) = own_server() else { return };
    let mut calls = Calls::connect(&server.endpoint).await;
    for id in ["1", "2"] {
        calls.put(&format!("/services/pay/{id}"), RECORD, 0).await;
    }
    let registry = Registry::builder([server.endpoint.clone()]).build().unwrap();
    let watch = registry.watch("pay").start().unwrap();
    let before = until(&watch, "two", |snapshot| snapshot.instances().len() == 2).await;
    let stopped = server.stop();
    let stale = until(&watch, "stale", is_stale).await;
    assert_eq!(ids(&stale), ["1", "2"]);
    assert_eq!(stale.revision(), before.revision());
    let server = stopped.start(false);
    calls = Calls::connect(&server.endpoint).await;
    let reset = until(&watch, "a reset", |snapshot| snapshot.resets() == 1).await;
    assert!(reset.instances().is_empty(), "the other cluster confirms that there is none");
    calls.put("/services/pay/3", RECORD, 0).await;
    let snapshot = until(&watch, "its instances", |snapshot| ids(snapshot) == ["3"]).await;
    assert!(snapshot.revision() <= before.revision());
}

#[tokio::test]
async fn records_that_cannot_be_read_are_skipped_and_counted() {
    let Some(mut corner) = Corner::new("undecodable").await else { return };
    corner.calls.put(&corner.key(&instance("1")), RECORD, 0).await;
    corner.calls.put(&corner.key(&instance("2")), "?", 0).await;
    let watch = corner.registry().watch("pay").start().unwrap();
    soon("synced", watch.synced()).await.unwrap();
    assert_eq!((watch.snapshot().instances().len(), watch.snapshot().undecodable()), (1, 1));
}

#[tokio::test]
async fn a_view_lets_through_what_is_up_and_matches() {
    let Some(corner) = Corner::new("view").await else { return };
    let registry = corner.registry();
    let watch = registry.watch("pay").start().unwrap();
    let view = watch.select(Selector::endpoint("grpc"));
    let registration = registry.register(instance("1")).status(Status::Starting).await.unwrap();
    until(&watch, "one is starting", |snapshot| snapshot.instances().len() == 1).await;
    assert!(view.snapshot().instances().is_empty());
    registration.set_status(Status::Up).await.unwrap();
    let mut changes = view.changes();
    let up = async { while changes.next().await.unwrap().instances().is_empty() {} };
    soon("it is up", up).await;
    let snapshot = view.snapshot();
    let endpoints: Vec<_> = view.endpoints(&snapshot).map(|(_, endpoint)| endpoint.authority()).collect();
    assert_eq!(endpoints, ["10.0.0.7:9000"]);
}

#[tokio::test]
async fn a_watch_is_shared_and_ends_with_the_last_handle() {
    let Some(corner) = Corner::new("shared").await else { return };
    let registry = corner.registry();
    let (first, second) = (registry.watch("pay").start().unwrap(), registry.watch("pay").start().unwrap());
    let mut changes = second.changes();
    drop((first, second));
    soon("the stream keeps it", changes.next()).await.unwrap();
    drop(registry);
    tokio::time::timeout(Duration::from_millis(50), changes.next()).await.unwrap_err();
}

#[tokio::test]
async fn g13_a_view_holds_its_last_instances_for_a_bounded_time() {
    let (watch, mut publisher) = ServiceWatch::manual("pay");
    let limit = Duration::from_millis(200);
    let view = watch.select(Selector::endpoint("grpc")).on_empty(EmptyPolicy::Hold(limit));
    let mut changes = view.changes();
    publisher.put(instance("1"));
    assert_eq!(ids(&soon("one", changes.next()).await.unwrap()), ["1"]);
    publisher.remove("1");
    let held = soon("it is held", changes.next()).await.unwrap();
    assert!(is_stale(&held) && ids(&held) == ["1"]);
    assert!(soon("it is let go", changes.next()).await.unwrap().instances().is_empty());
    assert!(view.snapshot().instances().is_empty());
}

#[tokio::test]
async fn g13_a_client_that_starts_while_the_registry_is_down_uses_its_disk_cache() {
    let Some(server) = own_server() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut calls = Calls::connect(&server.endpoint).await;
    calls.put("/services/pay/1", RECORD, 0).await;
    let client = || Registry::builder([server.endpoint.clone()]).cache_dir(folder.path()).build().unwrap();
    let watch = client().watch("pay").start().unwrap();
    soon("synced", watch.synced()).await.unwrap();
    // It is written beside its name first, and goes with the watch if it has not got that yet.
    let is_named =
        |file: std::io::Result<std::fs::DirEntry>| file.unwrap().path().extension().is_some_and(|it| it == "json");
    eventually("it is written", || async { folder.path().read_dir().unwrap().any(is_named) }).await;
    drop(watch);
    let client = client();
    let stopped = server.stop();
    let watch = client.watch("pay").start().unwrap();
    soon("synced", watch.synced()).await.unwrap();
    let snapshot = watch.snapshot();
    assert!(is_stale(&snapshot) && ids(&snapshot) == ["1"], "{snapshot:?}");
    // A service that nobody watched before has no file.
    let other = client.watch("ledger").start().unwrap();
    assert_eq!(other.snapshot().freshness(), Freshness::Pending);
    let _server = stopped.start(true);
    until(&watch, "fresh", |snapshot| snapshot.freshness() == Freshness::Synced && ids(snapshot) == ["1"]).await;
}

#[tokio::test]
async fn g04_endpoints_are_taken_in_turn() {
    let Some(corner) = Corner::new("failover").await else { return };
    let (first, second) = (Proxy::new(corner.endpoint()).await, Proxy::new(corner.endpoint()).await);
    let dead = format!("http://127.0.0.1:{}", free_port());
    let endpoints = [dead, first.endpoint.clone(), second.endpoint.clone()];
    let registry = Registry::builder(endpoints).namespace(corner.namespace.clone()).build().unwrap();
    let watch = registry.watch("pay").start().unwrap();
    let registration = registry.register(instance("1")).ttl(Duration::from_secs(2)).await.unwrap();
    for (cut, open) in [(&first, &second), (&second, &first)] {
        open.open();
        cut.cut();
        registration.update(|instance| instance.set_weight(instance.weight() + 1)).await.unwrap();
        let weight = registration.instance().weight();
        let seen = |snapshot: &Snapshot| snapshot.instances().iter().any(|found| found.weight() == weight);
        until(&watch, "the update by another endpoint", seen).await;
    }
    let mut state = registration.state();
    soon("active", state.wait_for(|state| *state == registry_client::LeaseState::Active)).await.unwrap();
}

#[tokio::test]
async fn g04_a_member_that_nobody_configured_is_found_where_the_registry_says() {
    let Some(server) = own_server() else { return };
    drop(Calls::connect(&server.endpoint).await);
    // The only way that is configured; the server names its own address.
    let proxy = Proxy::new(&server.endpoint).await;
    let connect = |builder: registry_client::RegistryBuilder| builder.build().unwrap();
    let following = connect(Registry::builder([proxy.endpoint.clone()]).follow_members());
    let faithful = connect(Registry::builder([proxy.endpoint.clone()]));
    soon("it connects", faithful.connect()).await.unwrap();
    eventually("the member is found", || async {
        // Members are looked up beside the call that connected, and may not be known when the way is cut.
        proxy.open();
        following.connect().await.unwrap();
        proxy.cut();
        following.connect().await.is_ok()
    })
    .await;
    assert!(soon("only what is configured is called", faithful.connect()).await.is_err());
}
