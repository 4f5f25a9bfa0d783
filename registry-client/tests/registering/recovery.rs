//! A registration lives through what happens to its key, its lease and the registry.

use std::future::IntoFuture;
use std::time::Duration;

use registry_client::{LeaseState, LeaseTrouble, Status};

use crate::kit::{Calls, Corner, Proxy, eventually, instance, own_server, soon};

const SHORT: Duration = Duration::from_secs(2);
const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn g06_a_key_that_somebody_deletes_is_put_again_with_the_latest_value() {
    let Some(mut corner) = Corner::new("deleted").await else { return };
    let registry = corner.registry();
    let registration = registry.register(instance("1")).ttl(HOUR).await.unwrap();
    registration.update(|instance| instance.set_weight(50)).await.unwrap();
    let key = corner.key(&instance("1"));
    let before = corner.calls.get(&key).await.unwrap();
    corner.calls.delete(&key).await;
    eventually("it is put again", || {
        let (mut calls, key) = (corner.calls.clone(), key.clone());
        async move { calls.get(&key).await.is_some() }
    })
    .await;
    let after = corner.calls.get(&key).await.unwrap();
    assert_eq!((after.lease, after.value), (before.lease, before.value));
}

#[tokio::test]
async fn g06_an_operators_tombstone_stops_that_until_it_is_gone() {
    let Some(mut corner) = Corner::new("tombstone").await else { return };
    let registry = corner.registry();
    let registration = registry.register(instance("1")).ttl(HOUR).await.unwrap();
    let tombstone = format!("{}/tombstones/pay/1", corner.namespace);
    corner.calls.put(&tombstone, "", 0).await;
    let key = corner.key(&instance("1"));
    corner.calls.delete(&key).await;
    let mut state = registration.state();
    let entombed = |state: &LeaseState| matches!(state.error(), Some(registry_client::Error::Tombstone { .. }));
    soon("the tombstone shows", state.wait_for(entombed)).await.unwrap();
    assert!(corner.calls.get(&key).await.is_none());
    corner.calls.delete(&tombstone).await;
    soon("it comes back", state.wait_for(|state| *state == LeaseState::Active)).await.unwrap();
    assert!(corner.calls.get(&key).await.is_some());
}

#[tokio::test]
async fn g06_fields_that_an_operator_added_stay_through_an_update() {
    let Some(mut corner) = Corner::new("fields").await else { return };
    let registry = corner.registry();
    let registration = registry.register(instance("1")).ttl(HOUR).await.unwrap();
    let key = corner.key(&instance("1"));
    let before = corner.calls.get(&key).await.unwrap();
    let edited = String::from_utf8_lossy(&before.value).replacen('{', r#"{"cordoned":true,"#, 1);
    corner.calls.put(&key, edited, 0).await;
    eventually("the lease is back on the key", || {
        let (mut calls, key) = (corner.calls.clone(), key.clone());
        async move { calls.get(&key).await.is_some_and(|kv| kv.lease == before.lease) }
    })
    .await;
    registration.set_status(Status::Draining).await.unwrap();
    let value = String::from_utf8(corner.calls.get(&key).await.unwrap().value.to_vec()).unwrap();
    assert!(value.contains(r#""cordoned":true"#) && value.contains("draining"), "{value}");
}

#[tokio::test]
async fn g04_a_lease_revoked_from_outside_is_made_anew() {
    let Some(mut corner) = Corner::new("revoked").await else { return };
    let registry = corner.registry();
    let registration = registry.register(instance("1")).ttl(SHORT).await.unwrap();
    let key = corner.key(&instance("1"));
    let first = corner.lease_of(&key).await.unwrap();
    corner.calls.revoke(first).await;
    eventually("another lease holds the key", || {
        let (mut calls, key) = (corner.calls.clone(), key.clone());
        async move { calls.get(&key).await.is_some_and(|kv| kv.lease != first) }
    })
    .await;
    let mut state = registration.state();
    soon("active", state.wait_for(|state| *state == LeaseState::Active)).await.unwrap();
    assert!(!corner.calls.leases().await.contains(&first));
}

#[tokio::test]
async fn g04_a_registration_waits_for_a_registry_that_is_down_and_lives_through_its_restart() {
    let Some(server) = own_server() else { return };
    let down = server.stop();
    let registry = registry_client::Registry::builder([down.endpoint.clone()]).build().unwrap();
    let registering = tokio::spawn(registry.register(instance("1")).ttl(SHORT).into_future());
    let server = down.start(true);
    let registration = soon("register", registering).await.unwrap().unwrap();
    let mut state = registration.state();

    // The same registry: the lease is renewed, nothing is made anew.
    let server = server.stop().start(true);
    let mut calls = Calls::connect(&server.endpoint).await;
    soon("active", state.wait_for(|state| *state == LeaseState::Active)).await.unwrap();
    eventually("one lease", || {
        let mut calls = calls.clone();
        async move { calls.leases().await.len() == 1 && calls.get("/services/pay/1").await.is_some() }
    })
    .await;

    // Another registry, which knows nothing.
    let stopped = server.stop();
    soon("it is noticed", state.wait_for(|state| *state != LeaseState::Active)).await.unwrap();
    let server = stopped.start(false);
    calls = Calls::connect(&server.endpoint).await;
    eventually("it is registered there", || {
        let mut calls = calls.clone();
        async move { calls.leases().await.len() == 1 && calls.get("/services/pay/1").await.is_some() }
    })
    .await;
}

#[tokio::test]
async fn g05_silence_and_a_long_partition_are_survived_without_a_restart() {
    let Some(mut corner) = Corner::alone("partition").await else { return };
    let proxy = Proxy::new(corner.endpoint()).await;
    let registry = corner.registry_by(&proxy.endpoint);
    let registration = registry.register(instance("1")).ttl(SHORT).await.unwrap();
    let mut state = registration.state();
    proxy.freeze();
    let silent =
        |state: &LeaseState| matches!(state, LeaseState::Suspect(error) if **error == LeaseTrouble::Silent.into());
    soon("silence shows", state.wait_for(silent)).await.unwrap();
    soon("expiry shows", state.wait_for(|state| matches!(state, LeaseState::Lost(_)))).await.unwrap();
    corner.no_lease_is_left().await;
    proxy.open();
    soon("it comes back", state.wait_for(|state| *state == LeaseState::Active)).await.unwrap();
    assert_eq!(corner.calls.leases().await.len(), 1);
}

/// What becomes of a registration whose way to the registry is gone for so many TTLs.
#[expect(clippy::print_stdout, reason = "a figure to read")]
async fn partitioned(ttls: f64) {
    let Some(mut corner) = Corner::alone("partitioned").await else { return };
    let proxy = Proxy::new(corner.endpoint()).await;
    let registry = corner.registry_by(&proxy.endpoint);
    let registration = registry.register(instance("1")).ttl(SHORT).await.unwrap();
    let key = corner.key(&instance("1"));
    let before = corner.calls.get(&key).await.unwrap();
    proxy.freeze();
    tokio::time::sleep(SHORT.mul_f64(ttls)).await;
    proxy.open();
    let opened = tokio::time::Instant::now();
    let mut state = registration.state();
    eventually("it stands", || {
        let (mut calls, key) = (corner.calls.clone(), key.clone());
        async move { calls.get(&key).await.is_some() }
    })
    .await;
    soon("it is active", state.wait_for(|state| *state == LeaseState::Active)).await.unwrap();
    println!("a partition of {ttls} TTLs: back {:?} after it ended", opened.elapsed());
    let after = corner.calls.get(&key).await.unwrap();
    if ttls < 1.0 {
        assert_eq!((after.lease, after.mod_revision), (before.lease, before.mod_revision), "nothing was lost");
    }
    // It came back once, and rests.
    tokio::time::sleep(SHORT).await;
    assert_eq!(corner.calls.get(&key).await.unwrap(), after);
    assert_eq!((after.version, corner.calls.leases().await), (1, vec![after.lease]));
}

#[tokio::test]
async fn g04_partitions_of_half_one_and_a_half_and_ten_ttls_end_with_one_registration_and_without_a_restart() {
    let ((), (), ()) = tokio::join!(partitioned(0.5), partitioned(1.5), partitioned(10.0));
}
