//! Many instances under one lease: all or none, and healed as a whole.

use std::future::IntoFuture;
use std::task::Poll;
use std::time::Duration;

use registry_client::{Error, Instance, LeaseState, Registrations, Shutdown, Status};
use tokio::time::Instant;

use crate::kit::{Corner, eventually, instance, soon};

const HOUR: Duration = Duration::from_secs(3600);

fn instances(count: usize) -> impl Iterator<Item = Instance> {
    (0..count).map(|number| instance(&format!("{number:05}")))
}

fn prefix(corner: &Corner) -> String {
    format!("{}/services/", corner.namespace)
}

/// The one lease that all keys stand under.
async fn only_lease(corner: &mut Corner) -> i64 {
    let leases = corner.calls.leases().await;
    assert_eq!(leases.len(), 1, "{leases:?}");
    leases[0]
}

async fn all_stand(corner: &Corner, count: i64) {
    eventually("all stand", || {
        let (mut calls, prefix) = (corner.calls.clone(), prefix(corner));
        async move { calls.count(&prefix).await == count }
    })
    .await;
}

async fn active(registrations: &Registrations) {
    let mut state = registrations.state();
    soon("active", state.wait_for(|state| *state == LeaseState::Active)).await.unwrap();
}

#[tokio::test]
async fn g02_ten_thousand_instances_stand_under_one_lease_and_go_with_it() {
    let Some(mut corner) = Corner::alone("bulk").await else { return };
    let started = Instant::now();
    let registrations = soon("register", corner.registry().register_all(instances(10_000)).ttl(HOUR)).await.unwrap();
    println!("10,000 instances stand after {:?}", started.elapsed());
    assert_eq!(corner.calls.count(&prefix(&corner)).await, 10_000);
    let lease = only_lease(&mut corner).await;
    let key = corner.key(&instance("07777"));
    assert_eq!(corner.lease_of(&key).await, Some(lease));

    registrations.update_one("pay", "07777", |instance| instance.set_weight(7)).await.unwrap();
    let value = corner.calls.get(&key).await.unwrap().value;
    assert!(String::from_utf8_lossy(&value).contains(r#""weight":7"#));
    assert!(matches!(registrations.update_one("pay", "no", |_| ()).await, Err(Error::Setting(_))));

    let started = Instant::now();
    registrations.shutdown(Shutdown::new().drain(Duration::ZERO)).await.unwrap();
    println!("and are gone {:?} after they were told to end", started.elapsed());
    assert_eq!(corner.calls.count(&prefix(&corner)).await, 0);
    assert!(corner.calls.leases().await.is_empty());
}

#[tokio::test]
async fn g01_one_conflict_leaves_none_of_them() {
    let Some(corner) = Corner::alone("bulk-conflict").await else { return };
    let held = corner.registry().register(instance("00150")).ttl(HOUR).await.unwrap();
    let error = soon("register", corner.registry().register_all(instances(200)).ttl(HOUR)).await.unwrap_err();
    assert!(matches!(&error, Error::Conflict { key, .. } if *key == corner.key(&instance("00150"))), "{error:?}");
    all_stand(&corner, 1).await;
    eventually("the holder's lease is left", || {
        let mut calls = corner.calls.clone();
        async move { calls.leases().await.len() == 1 }
    })
    .await;
    assert_eq!(held.state().get(), LeaseState::Active);
    drop(held);
    corner.no_lease_is_left().await;

    let twice = instances(2).chain([instance("00001")]);
    let error = corner.registry().register_all(twice).await.unwrap_err();
    assert!(matches!(&error, Error::Setting(text) if text.contains("pay/00001 is given twice")), "{error:?}");
    assert!(matches!(corner.registry().register_all([]).await, Err(Error::Setting(_))));
}

#[tokio::test]
async fn g01_values_that_are_too_large_together_are_put_one_txn_after_the_other() {
    let Some(mut corner) = Corner::alone("bulk-large").await else { return };
    let large = instances(30).map(|mut instance| {
        instance.set_metadata("large", "x".repeat(200_000));
        instance
    });
    let registrations = soon("register", corner.registry().register_all(large).ttl(HOUR)).await.unwrap();
    assert_eq!(corner.calls.count(&prefix(&corner)).await, 30);
    drop(registrations);
    corner.no_lease_is_left().await;
}

#[tokio::test]
async fn g01_a_bulk_future_dropped_at_any_poll_leaves_no_lease_and_no_key() {
    let Some(mut corner) = Corner::alone("bulk-dropped").await else { return };
    let registry = corner.registry();
    for polls in 0.. {
        let mut future = registry.register_all(instances(300)).ttl(HOUR).into_future();
        let mut completed = false;
        // Twice as many polls each time: a put takes many of them.
        for _ in 0..(1 << polls) - 1 {
            completed = matches!(futures_util::poll!(&mut future), Poll::Ready(Ok(_)));
            if completed {
                break;
            }
            tokio::time::sleep(Duration::from_micros(100)).await;
        }
        drop(future);
        corner.no_lease_is_left().await;
        assert_eq!(corner.calls.count(&prefix(&corner)).await, 0);
        if completed {
            return;
        }
    }
}

#[tokio::test]
async fn g06_keys_that_somebody_deletes_are_put_again_together() {
    let Some(mut corner) = Corner::alone("bulk-deleted").await else { return };
    let registrations = corner.registry().register_all(instances(500)).ttl(HOUR).await.unwrap();
    registrations.set_status(Status::Down).await.unwrap();
    let (lease, all) = (only_lease(&mut corner).await, prefix(&corner));
    corner.calls.delete_all(&all).await;
    all_stand(&corner, 500).await;
    active(&registrations).await;
    assert_eq!(only_lease(&mut corner).await, lease);
    let kv = corner.calls.get(&corner.key(&instance("00499"))).await.unwrap();
    assert!(kv.lease == lease && String::from_utf8_lossy(&kv.value).contains("down"));
}

#[tokio::test]
async fn g04_a_lease_revoked_from_outside_is_made_anew_for_all() {
    let Some(mut corner) = Corner::alone("bulk-revoked").await else { return };
    let registrations = corner.registry().register_all(instances(500)).ttl(Duration::from_secs(2)).await.unwrap();
    let first = only_lease(&mut corner).await;
    corner.calls.revoke(first).await;
    all_stand(&corner, 500).await;
    active(&registrations).await;
    assert_ne!(only_lease(&mut corner).await, first);
}

#[tokio::test]
async fn g02_instances_of_several_services_share_a_lease() {
    let Some(mut corner) = Corner::alone("bulk-services").await else { return };
    let services = ["pay", "payments", "pay-v2"].map(|service| Instance::builder(service).id("1").build().unwrap());
    let registrations = corner.registry().register_all(services).ttl(HOUR).await.unwrap();
    let names: Vec<_> = registrations.instances().iter().map(|found| found.service().to_owned()).collect();
    assert_eq!(names, ["pay-v2", "pay", "payments"], "in the order of their keys");
    let lease = only_lease(&mut corner).await;
    let key = format!("{}/services/payments/1", corner.namespace);
    corner.calls.delete(&key).await;
    all_stand(&corner, 3).await;
    assert_eq!(corner.lease_of(&key).await, Some(lease));
}
