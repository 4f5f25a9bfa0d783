//! Watches follow, and list again when history is gone.

use std::future::IntoFuture;
use std::sync::Arc;

use registry_client::{Freshness, ServiceWatch, Snapshot};
use tokio_stream::StreamExt;

use super::{HOUR, registry, registry_by};
use crate::kit::{Corner, Proxy, instance, soon};

const RECORD: &str = r#"{"version":1,"endpoints":{"grpc":{"url":"http://10.0.0.7:9000"}}}"#;

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

#[tokio::test]
async fn g11_who_registers_is_seen_by_a_plain_client_and_the_other_way_round() {
    let Some(corner) = Corner::new("seen").await else { return };
    let (plain, handed) = (corner.registry(), registry(&corner).await);
    let watches = [plain.watch("pay").start().unwrap(), handed.watch("pay").start().unwrap()];
    let first = soon("one registers", handed.register(instance("handed")).ttl(HOUR).into_future()).await.unwrap();
    let second = soon("another one", plain.register(instance("plain")).ttl(HOUR).into_future()).await.unwrap();
    for watch in &watches {
        until(watch, "both are seen", |snapshot| ids(snapshot) == ["handed", "plain"]).await;
    }
    soon("it is updated", first.update(|instance| instance.set_weight(7))).await.unwrap();
    drop(second);
    for watch in &watches {
        until(watch, "so is what changes", |snapshot| {
            ids(snapshot) == ["handed"] && snapshot.instances()[0].weight() == 7
        })
        .await;
    }
    // On the stream that is there, and cancelled on it.
    for number in 0..20 {
        let watch = handed.watch(format!("other-{number}")).start().unwrap();
        soon("another service is watched", watch.synced()).await.unwrap();
    }
    assert_eq!(watches[1].snapshot().freshness(), Freshness::Synced);
}

#[tokio::test]
async fn g11_after_a_compaction_the_difference_is_told_deletions_included() {
    let Some(mut corner) = Corner::alone("compaction").await else { return };
    let proxy = Proxy::new(corner.endpoint()).await;
    let key = |id: &str| format!("{}/services/pay/{id}", corner.namespace);
    for id in ["kept", "deleted"] {
        corner.calls.put(&key(id), RECORD, 0).await;
    }
    let registry = registry_by(&corner, &proxy.endpoint).await;
    let watch = registry.watch("pay").start().unwrap();
    until(&watch, "two", |snapshot| snapshot.instances().len() == 2).await;
    proxy.cut();
    until(&watch, "stale", |snapshot| matches!(snapshot.freshness(), Freshness::Stale { .. })).await;
    corner.calls.delete(&key("deleted")).await;
    let revision = corner.calls.put(&key("new"), RECORD, 0).await;
    corner.calls.compact(revision).await;
    assert_eq!(watch.snapshot().instances().len(), 2, "nothing goes while the registry is away");
    proxy.open();
    let fresh = |snapshot: &Snapshot| snapshot.freshness() == Freshness::Synced && snapshot.revision() >= revision;
    let after = until(&watch, "synced again", fresh).await;
    assert_eq!((ids(&after), after.resets()), (vec!["kept", "new"], 0));
    corner.calls.delete(&key("kept")).await;
    until(&watch, "and it goes on", |snapshot| ids(snapshot) == ["new"]).await;
}

#[tokio::test]
async fn g11_a_list_larger_than_a_message_comes_in_pages_and_more_than_that_in_pieces() {
    let Some(mut corner) = Corner::new("large").await else { return };
    let proxy = Proxy::new(corner.endpoint()).await;
    let key = |id: usize| format!("{}/services/pay/{id:04}", corner.namespace);
    let large = RECORD.replace("\"version\":1", &format!("\"version\":1,\"filler\":\"{}\"", "x".repeat(100_000)));
    for id in 0..60 {
        corner.calls.put(&key(id), large.clone(), 0).await;
    }
    let watch = registry_by(&corner, &proxy.endpoint).await.watch("pay").start().unwrap();
    soon("synced", watch.synced()).await.unwrap();
    assert_eq!(watch.snapshot().instances().len(), 60);
    proxy.cut();
    until(&watch, "stale", |snapshot| matches!(snapshot.freshness(), Freshness::Stale { .. })).await;
    for id in 60..120 {
        corner.calls.put(&key(id), large.clone(), 0).await;
    }
    proxy.open();
    until(&watch, "caught up", |snapshot| snapshot.instances().len() == 120).await;
    assert_eq!(watch.snapshot().freshness(), Freshness::Synced);
}
