//! However a registration ends, its lease is gone soon after. TTLs are an hour, so that expiry hides nothing.

use std::future::IntoFuture;
use std::task::Poll;
use std::time::Duration;

use registry_client::{Error, LeaseState, Registry, Shutdown, Status};

use crate::kit::{Corner, eventually, instance, soon};

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn g02_a_shutdown_leaves_no_lease_and_no_key() {
    let Some(mut corner) = Corner::alone("shutdown").await else { return };
    let registry = corner.registry();
    let registration = soon("register", registry.register(instance("1")).ttl(HOUR)).await.unwrap();
    let kv = corner.calls.get(&corner.key(&instance("1"))).await.unwrap();
    assert_eq!(corner.calls.leases().await, [kv.lease]);
    registration.shutdown(Shutdown::new().drain(Duration::ZERO)).await.unwrap();
    assert!(corner.calls.leases().await.is_empty());
    assert!(corner.calls.get(&corner.key(&instance("1"))).await.is_none());
}

#[tokio::test]
async fn g02_a_thousand_registrations_leave_no_lease() {
    let Some(corner) = Corner::alone("thousand").await else { return };
    let registry = corner.registry();
    for round in 0..10 {
        let ids: Vec<_> = (0..100).map(|number| instance(&format!("{round}-{number}"))).collect();
        let registering = ids.into_iter().map(|instance| registry.register(instance).ttl(HOUR).into_future());
        let registrations = soon("register", futures_util::future::join_all(registering)).await;
        assert!(registrations.iter().all(Result::is_ok), "{registrations:?}");
    }
    corner.no_lease_is_left().await;
}

#[tokio::test]
async fn g01_a_future_dropped_at_any_poll_leaves_no_lease() {
    let Some(corner) = Corner::alone("dropped-future").await else { return };
    let registry = corner.registry();
    let mut completed = false;
    for polls in 0.. {
        let mut future = registry.register(instance("1")).ttl(HOUR).into_future();
        for _ in 0..polls {
            completed |= matches!(futures_util::poll!(&mut future), Poll::Ready(Ok(_)));
            if completed {
                break;
            }
            // Polls are as close as they can be, so that every step of the thread's lies between two.
            tokio::time::sleep(Duration::from_micros(100)).await;
        }
        if completed {
            break;
        }
        drop(future);
        corner.no_lease_is_left().await;
    }
    corner.no_lease_is_left().await;
}

#[tokio::test]
async fn g01_a_put_that_is_refused_revokes_the_lease() {
    let Some(corner) = Corner::alone("refused").await else { return };
    let registry = corner.registry();
    // One that the store refuses, and one that does not even reach it.
    for bytes in [1_700_000, 3_000_000] {
        let mut large = instance("1");
        large.set_metadata("large", "x".repeat(bytes));
        let error = soon("register", registry.register(large).ttl(HOUR)).await.unwrap_err();
        assert!(matches!(error, Error::Refused { .. }), "{error:?}");
    }
    corner.no_lease_is_left().await;
}

#[tokio::test]
async fn g03_a_panic_revokes() {
    let Some(corner) = Corner::alone("panic").await else { return };
    let registry = corner.registry();
    let task = tokio::spawn(async move {
        let _registration = registry.register(instance("1")).ttl(HOUR).await.unwrap();
        panic!("on purpose");
    });
    assert!(task.await.unwrap_err().is_panic());
    corner.no_lease_is_left().await;
}

#[test]
fn g03_a_dropped_runtime_revokes_and_a_blocked_one_starves_no_keep_alive() {
    let watching = tokio::runtime::Runtime::new().unwrap();
    let Some(mut corner) = watching.block_on(Corner::alone("runtime")) else { return };
    let registry = corner.registry();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let short = runtime.block_on(async { registry.register(instance("1")).ttl(Duration::from_secs(2)).await }).unwrap();
    // Nobody polls the runtime for longer than the TTL.
    watching.block_on(async { tokio::time::sleep(Duration::from_secs(5)).await });
    assert_eq!(short.state().get(), LeaseState::Active);
    assert_eq!(watching.block_on(corner.calls.leases()).len(), 1);
    runtime.spawn(async move {
        let _short = short;
        let _long = registry.register(instance("2")).ttl(HOUR).await;
        std::future::pending::<()>().await;
    });
    runtime.block_on(eventually("both are there", || {
        let mut calls = corner.calls.clone();
        async move { calls.leases().await.len() == 2 }
    }));
    drop(runtime);
    watching.block_on(corner.no_lease_is_left());
}

#[test]
fn g03_the_guard_waits_for_the_last_revokes() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let Some(mut corner) = runtime.block_on(Corner::alone("guard")) else { return };
    let registry = corner.registry();
    let guard = registry.guard();
    let registrations: Vec<_> = runtime.block_on(async {
        let registering = (0..20).map(|id| registry.register(instance(&id.to_string())).ttl(HOUR).into_future());
        futures_util::future::join_all(registering).await
    });
    assert_eq!(runtime.block_on(corner.calls.leases()).len(), 20);
    drop(registrations);
    drop(guard);
    assert!(runtime.block_on(corner.calls.leases()).is_empty());
}

#[test]
fn g03_the_guard_waits_two_seconds_at_most() {
    let registry = Registry::builder([format!("http://127.0.0.1:{}", crate::kit::free_port())]).build().unwrap();
    let guard = registry.guard();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let register = async { tokio::time::timeout(Duration::from_millis(50), registry.register(instance("1"))).await };
    assert!(runtime.block_on(register).is_err());
    let started = tokio::time::Instant::now();
    drop(guard);
    assert!(started.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn g10_a_shutdown_is_seen_as_draining_before_it_is_gone() {
    let Some(corner) = Corner::alone("draining").await else { return };
    let registry = corner.registry();
    let watch = registry.watch("pay").start().unwrap();
    let registration = registry.register(instance("1")).ttl(HOUR).await.unwrap();
    let mut changes = watch.changes();
    let shutdown = Shutdown::new().drain(Duration::from_millis(500)).deadline(Duration::from_secs(5));
    let ending = tokio::spawn(registration.shutdown(shutdown));
    let mut seen = Vec::new();
    loop {
        use tokio_stream::StreamExt;
        let snapshot = soon("a change", changes.next()).await.unwrap();
        let Some(instance) = snapshot.instances().first() else {
            if seen.is_empty() {
                continue;
            }
            break;
        };
        seen.push(instance.status());
    }
    assert_eq!(seen.last(), Some(&Status::Draining), "{seen:?}");
    ending.await.unwrap().unwrap();
    corner.no_lease_is_left().await;
}
