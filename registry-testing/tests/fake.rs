//! What a program under test sees of a fake, step by step.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use registry_client::{EmptyPolicy, Error, Freshness, LossPolicy, Snapshot, Status, View};
use registry_testing::FakeDiscovery;
use tokio_stream::StreamExt;

fn fake() -> (FakeDiscovery, View) {
    let pay = FakeDiscovery::new("pay");
    let view = pay.view("grpc");
    for id in ["a", "b", "c"] {
        pay.up(id, "grpc", "http://10.0.0.7:9000").unwrap();
    }
    (pay, view)
}

fn ids(snapshot: &Snapshot) -> Vec<&str> {
    snapshot.instances().iter().map(|found| found.id()).collect()
}

#[tokio::test]
async fn what_is_said_shows_at_once_in_every_view() {
    let (pay, view) = fake();
    view.synced().await.unwrap();
    assert_eq!(ids(&view.snapshot()), ["a", "b", "c"]);
    pay.set_weight("a", 7).unwrap();
    assert_eq!(view.snapshot().instances()[0].weight(), 7);
    pay.set_status("b", Status::Down).unwrap();
    assert_eq!(ids(&view.snapshot()), ["a", "c"]);
    pay.leave("c").unwrap();
    assert_eq!(ids(&view.snapshot()), ["a"]);
    let error = pay.set_weight("c", 1).unwrap_err().to_string();
    assert!(error.contains("\"c\""), "{error}");
}

#[tokio::test]
async fn a_restart_is_another_incarnation_and_an_update_is_not() {
    let (pay, view) = fake();
    let incarnation = || view.snapshot().instance("a").unwrap().incarnation();
    let first = incarnation();
    pay.set_weight("a", 1).unwrap();
    assert_eq!(incarnation(), first);
    pay.restart("a").unwrap();
    assert_ne!(incarnation(), first);
}

#[tokio::test]
async fn a_lost_registry_is_stale_until_it_is_found_and_a_refusal_is_told() {
    let (pay, view) = fake();
    pay.lose_registry();
    let stale = view.snapshot();
    assert!(matches!(stale.freshness(), Freshness::Stale { .. }) && stale.instances().len() == 3);
    pay.find_registry();
    assert_eq!(view.snapshot().freshness(), Freshness::Synced);
    let refusal = Error::Refused { code: "PermissionDenied".to_owned(), message: "no".to_owned() };
    pay.refuse(refusal.clone());
    assert_eq!(view.watch().refused(), Some(refusal.clone()));
    assert_eq!(view.snapshot().instances().len(), 3);
    pay.reset([]);
    assert_eq!((view.snapshot().resets(), view.watch().refused()), (1, None));
    let other = FakeDiscovery::new("ledger");
    other.refuse(refusal.clone());
    assert_eq!(other.watch().synced().await, Err(refusal), "before anything was known");
}

#[tokio::test(start_paused = true)]
async fn policies_are_tested_on_paused_time() {
    let (pay, view) = fake();
    let limit = Duration::from_secs(3600);
    let view = view.on_empty(EmptyPolicy::Hold(limit)).on_mass_loss(LossPolicy::Hold { above_percent: 50, limit });
    let mut changes = view.changes();
    assert_eq!(changes.next().await.unwrap().instances().len(), 3);
    pay.vanish("a").unwrap();
    assert_eq!(changes.next().await.unwrap().held(), 0);
    pay.vanish("b").unwrap();
    let began = tokio::time::Instant::now();
    assert_eq!(changes.next().await.unwrap().held(), 2);
    let over = changes.next().await.unwrap();
    assert_eq!((ids(&over), over.held()), (vec!["c"], 0));
    assert!(began.elapsed() >= limit && began.elapsed() < limit + Duration::from_secs(1));
}
