//! Registrations keep their promises: no lease is left, and one that is lost is replaced.

use std::future::IntoFuture;
use std::time::Duration;

use registry_client::{Error, LeaseState, Registry, Shutdown};

use super::{HOUR, SHORT, client, registry, registry_by};
use crate::kit::{Calls, Corner, Proxy, eventually, free_port, instance, own_server, soon};

#[tokio::test]
async fn g02_leases_are_kept_alive_beyond_their_ttl_and_none_outlives_its_registration() {
    let Some(mut corner) = Corner::alone("beyond").await else { return };
    let registry = registry(&corner).await;
    let mut registrations = Vec::new();
    // More than one, as they share a stream.
    for id in ["1", "2", "3"] {
        registrations
            .push(soon("it registers", registry.register(instance(id)).ttl(SHORT).into_future()).await.unwrap());
    }
    let before = corner.calls.leases().await;
    tokio::time::sleep(SHORT * 3).await;
    assert_eq!(corner.calls.leases().await.len(), 3);
    assert!(corner.calls.leases().await.iter().all(|lease| before.contains(lease)), "they are the same leases");
    for registration in &registrations {
        assert_eq!(registration.state().get(), LeaseState::Active);
    }
    let last = registrations.pop().unwrap();
    drop(registrations);
    soon("it shuts down", last.shutdown(Shutdown::new().drain(Duration::ZERO))).await.unwrap();
    corner.no_lease_is_left().await;
    assert_eq!(corner.calls.count(&corner.namespace).await, 0);
}

#[tokio::test]
async fn g01_futures_that_are_dropped_leave_no_lease() {
    let Some(corner) = Corner::alone("dropped").await else { return };
    let registry = registry(&corner).await;
    soon("it connects", registry.connect()).await.unwrap();
    for number in 0..60 {
        let register = registry.register(instance(&number.to_string())).ttl(HOUR).into_future();
        drop(tokio::time::timeout(Duration::from_micros(100 * number), register).await);
    }
    corner.no_lease_is_left().await;
}

#[tokio::test]
async fn g04_a_lease_revoked_from_outside_is_made_anew_and_the_key_put_again() {
    let Some(mut corner) = Corner::new("revoked").await else { return };
    let registry = registry(&corner).await;
    let other = soon("another", registry.register(instance("2")).ttl(SHORT).into_future()).await.unwrap();
    let registration = soon("one", registry.register(instance("1")).ttl(SHORT).into_future()).await.unwrap();
    let key = corner.key(&instance("1"));
    for _ in 0..2 {
        let lease = corner.lease_of(&key).await.unwrap();
        corner.calls.revoke(lease).await;
        eventually("another lease holds the key", || {
            let (mut calls, key) = (corner.calls.clone(), key.clone());
            async move { calls.get(&key).await.is_some_and(|kv| kv.lease != lease) }
        })
        .await;
        soon("it is active", registration.state().wait_for(|state| *state == LeaseState::Active)).await.unwrap();
    }
    assert_eq!(other.state().get(), LeaseState::Active);
}

#[tokio::test]
async fn g04_a_registry_that_lost_everything_is_told_anew() {
    let Some(server) = own_server() else { return };
    drop(Calls::connect(&server.endpoint).await);
    let registry = Registry::from_etcd_client(client(&server.endpoint).await).build().unwrap();
    let registration = soon("it registers", registry.register(instance("1")).ttl(SHORT).into_future()).await.unwrap();
    // Their keep-alives come back on a new stream, whose first lease is none that this cluster has.
    let server = server.stop().start(false);
    let calls = Calls::connect(&server.endpoint).await;
    eventually("it is registered there", || {
        let mut calls = calls.clone();
        async move { calls.get("/services/pay/1").await.is_some() }
    })
    .await;
    soon("it is active", registration.state().wait_for(|state| *state == LeaseState::Active)).await.unwrap();
}

#[tokio::test]
async fn g04_a_connection_that_broke_costs_no_lease() {
    let Some(mut corner) = Corner::new("broken").await else { return };
    let proxy = Proxy::new(corner.endpoint()).await;
    let registry = registry_by(&corner, &proxy.endpoint).await;
    let registering = registry.register(instance("1")).ttl(Duration::from_secs(30));
    let registration = soon("it registers", registering.into_future()).await.unwrap();
    let key = corner.key(&instance("1"));
    let lease = corner.lease_of(&key).await;
    for weight in [7, 8] {
        proxy.cut();
        let error = soon("connecting fails", registry.connect()).await.unwrap_err();
        assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
        proxy.open();
        soon("it is updated", registration.update(|instance| instance.set_weight(weight))).await.unwrap();
    }
    assert_eq!(corner.lease_of(&key).await, lease);
}

#[tokio::test]
async fn g07_an_id_that_is_held_is_a_conflict() {
    let Some(mut corner) = Corner::new("held").await else { return };
    let plain = corner.registry();
    let _holder = soon("it registers", plain.register(instance("1")).ttl(HOUR).into_future()).await.unwrap();
    let key = corner.key(&instance("1"));
    let lease = corner.lease_of(&key).await.unwrap();
    let registry = registry(&corner).await;
    let error = soon("registering fails", registry.register(instance("1")).into_future()).await.unwrap_err();
    assert_eq!(error, Error::Conflict { key, lease });
}

#[tokio::test]
async fn g06_a_removed_instance_stays_away_until_it_is_restored() {
    let Some(corner) = Corner::alone("removal").await else { return };
    let registry = registry(&corner).await;
    let registration = soon("it registers", registry.register(instance("1")).ttl(HOUR).into_future()).await.unwrap();
    assert!(soon("remove", registry.remove("pay", "1").reason("disk is dying")).await.unwrap(), "it stood");
    let entombed = |state: &LeaseState| matches!(state.error(), Some(Error::Tombstone { .. }));
    soon("the process is told", registration.state().wait_for(entombed)).await.unwrap();
    assert_eq!(registry.removed("pay").await.unwrap()[0].reason.as_deref(), Some("disk is dying"));
    assert!(registry.restore("pay", "1").await.unwrap());
    soon("it is back", registration.state().wait_for(|state| *state == LeaseState::Active)).await.unwrap();
    drop(registration);
    // The tombstone's own lease as well.
    corner.no_lease_is_left().await;
}

#[tokio::test]
async fn g01_many_are_registered_under_one_lease() {
    let Some(mut corner) = Corner::alone("many").await else { return };
    let registry = registry(&corner).await;
    let instances = (0..300).map(|id| instance(&id.to_string()));
    let registrations = soon("they register", registry.register_all(instances).ttl(HOUR).into_future()).await.unwrap();
    assert_eq!(corner.calls.count(&format!("{}/services/pay/", corner.namespace)).await, 300);
    assert_eq!(corner.calls.leases().await.len(), 1);
    drop(registrations);
    corner.no_lease_is_left().await;
}

#[tokio::test]
async fn g04_a_client_that_hears_nothing_for_a_while_goes_on() {
    let Some(mut corner) = Corner::new("frozen").await else { return };
    let proxy = Proxy::new(corner.endpoint()).await;
    let registry = registry_by(&corner, &proxy.endpoint).await;
    let registering = registry.register(instance("1")).ttl(Duration::from_secs(30));
    let registration = soon("it registers", registering.into_future()).await.unwrap();
    let key = corner.key(&instance("1"));
    let lease = corner.lease_of(&key).await;
    proxy.freeze();
    let error = soon("connecting fails", registry.connect()).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    proxy.open();
    soon("it is updated", registration.update(|instance| instance.set_weight(7))).await.unwrap();
    assert_eq!(corner.lease_of(&key).await, lease);
}

#[tokio::test]
async fn g03_when_the_clients_runtime_is_dropped_the_ttl_is_the_bound() {
    let Some(corner) = Corner::alone("runtime").await else { return };
    let (namespace, endpoint) = (corner.namespace.clone(), corner.endpoint().to_owned());
    let other = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let client = runtime.block_on(client(&endpoint));
        let registry = Registry::from_etcd_client(client).namespace(namespace).build().unwrap();
        let registration = runtime.block_on(registry.register(instance("1")).ttl(SHORT).into_future()).unwrap();
        (registry, registration)
    });
    let (registry, registration) = other.await.unwrap();
    let error = soon("connecting fails", registry.connect()).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    corner.no_lease_is_left().await;
    let lost = |state: &LeaseState| matches!(state, LeaseState::Lost(_) | LeaseState::Reregistering(_));
    soon("it is told", registration.state().wait_for(lost)).await.unwrap();
    drop(registration);
    // Waits for a revoke that cannot go out, and not for ever.
    drop(soon("the guard goes", tokio::task::spawn_blocking(move || drop(registry.guard()))).await);
}

/// On one thread, which the guard blocks, the client could not send what the guard waits for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g03_the_guard_waits_for_the_last_revokes() {
    let Some(mut corner) = Corner::alone("guard").await else { return };
    let registry = registry(&corner).await;
    let guard = registry.guard();
    let registration = soon("it registers", registry.register(instance("1")).ttl(HOUR).into_future()).await.unwrap();
    drop(registration);
    drop(guard);
    assert!(corner.calls.leases().await.is_empty(), "it is revoked when the guard has gone");
}

#[tokio::test]
async fn g05_the_client_tells_a_lease_that_is_gone_in_the_words_that_are_looked_for() {
    let Some(corner) = Corner::new("gone").await else { return };
    let error = client(corner.endpoint()).await.lease_keep_alive(fastrand::i64(1..)).await.unwrap_err();
    assert!(matches!(&error, etcd_client::Error::LeaseKeepAliveError(text) if text == "lease not found"), "{error:?}");
}

#[tokio::test]
async fn g04_an_endpoint_of_the_client_that_is_dead_costs_no_lease() {
    let Some(mut corner) = Corner::new("dead").await else { return };
    let endpoints = [format!("http://127.0.0.1:{}", free_port()), corner.endpoint().to_owned()];
    let client = etcd_client::Client::connect(&endpoints, None).await.unwrap();
    let registry = Registry::from_etcd_client(client).namespace(corner.namespace.clone()).build().unwrap();
    let registering = registry.register(instance("1")).ttl(Duration::from_secs(6));
    let registration = soon("it registers", registering.into_future()).await.unwrap();
    let key = corner.key(&instance("1"));
    let lease = corner.lease_of(&key).await;
    for weight in 1..10 {
        soon("it is updated", registration.update(|instance| instance.set_weight(weight))).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(corner.lease_of(&key).await, lease);
}
