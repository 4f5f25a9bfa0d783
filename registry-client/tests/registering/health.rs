//! A registration is shown as up only while its health check passes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use registry_client::{Error, HealthCheck, LeaseState, Registry, Shutdown, Status};

use crate::kit::{Calls, Corner, eventually, free_port, instance, soon};

const HOUR: Duration = Duration::from_secs(3600);
const OFTEN: Duration = Duration::from_millis(20);

/// A check that says what the flag says.
fn flag(passes: &Arc<AtomicBool>) -> HealthCheck {
    let passes = Arc::clone(passes);
    let check = HealthCheck::callback(move || {
        let passes = passes.load(Ordering::Relaxed);
        async move { if passes { Ok(()) } else { Err("not now") } }
    });
    check.interval(OFTEN).thresholds(2, 2)
}

async fn shows(calls: &Calls, key: &str, status: &str) {
    eventually(status, || {
        let (mut calls, key, text) = (calls.clone(), key.to_owned(), format!(r#""status":"{status}""#));
        async move { calls.get(&key).await.is_some_and(|kv| String::from_utf8_lossy(&kv.value).contains(&text)) }
    })
    .await;
}

#[tokio::test]
async fn g02_a_check_makes_it_starting_then_up_then_down_then_up_under_one_lease() {
    let Some(mut corner) = Corner::alone("health").await else { return };
    let passes = Arc::new(AtomicBool::new(false));
    let registration = corner.registry().register(instance("1")).ttl(HOUR).health(flag(&passes)).await.unwrap();
    let (key, calls) = (corner.key(&instance("1")), corner.calls.clone());
    shows(&calls, &key, "starting").await;
    let lease = corner.lease_of(&key).await;
    passes.store(true, Ordering::Relaxed);
    soon("healthy", registration.healthy()).await.unwrap();
    shows(&calls, &key, "up").await;
    passes.store(false, Ordering::Relaxed);
    shows(&calls, &key, "down").await;
    // A change of something else keeps what the check says; what the user says goes before it.
    registration.update(|instance| instance.set_weight(7)).await.unwrap();
    shows(&calls, &key, "down").await;
    passes.store(true, Ordering::Relaxed);
    shows(&calls, &key, "up").await;
    registration.set_status(Status::Draining).await.unwrap();
    shows(&calls, &key, "draining").await;
    assert_eq!(corner.lease_of(&key).await, lease);
    assert_eq!(registration.state().get(), LeaseState::Active);
    registration.shutdown(Shutdown::new().drain(Duration::ZERO)).await.unwrap();
    corner.no_lease_is_left().await;
}

/// Ends a block also when the test fails, as a runtime that is dropped waits for it.
struct Unblocks(Arc<AtomicBool>);

impl Drop for Unblocks {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

#[test]
fn g03_a_callback_that_blocks_its_runtime_starves_no_keep_alive_and_is_down() {
    let watching = tokio::runtime::Runtime::new().unwrap();
    let Some(mut corner) = watching.block_on(Corner::alone("health-blocks")) else { return };
    let (calls, blocks) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let (counted, blocking) = (Arc::clone(&calls), Arc::clone(&blocks));
    let check = HealthCheck::callback(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        let blocking = Arc::clone(&blocking);
        async move {
            while blocking.load(Ordering::Relaxed) {
                std::thread::park_timeout(OFTEN);
            }
            Ok::<(), Error>(())
        }
    });
    let check = check.interval(OFTEN).timeout(Duration::from_millis(100)).thresholds(1, 1);
    // One thread of the user's, which the callback will block.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let _unblocks = Unblocks(Arc::clone(&blocks));
    let registering = corner.registry().register(instance("1")).ttl(Duration::from_secs(2)).health(check);
    let registration = runtime.block_on(registering.into_future()).unwrap();
    runtime.block_on(registration.healthy()).unwrap();
    blocks.store(true, Ordering::Relaxed);
    let key = corner.key(&instance("1"));
    watching.block_on(shows(&corner.calls, &key, "down"));
    let (lease, asked) = (watching.block_on(corner.lease_of(&key)), calls.load(Ordering::Relaxed));
    watching.block_on(async { tokio::time::sleep(Duration::from_secs(4)).await });
    assert_eq!(watching.block_on(corner.lease_of(&key)), lease, "it is kept alive beyond its TTL");
    assert!(calls.load(Ordering::Relaxed) <= asked + 1, "one callback at a time");
    blocks.store(false, Ordering::Relaxed);
    watching.block_on(shows(&corner.calls, &key, "up"));
    // Without its runtime nobody says that the instance is well.
    runtime.shutdown_background();
    watching.block_on(shows(&corner.calls, &key, "down"));
    drop(registration);
    watching.block_on(corner.no_lease_is_left());
}

#[tokio::test]
async fn a_callback_that_panics_or_is_late_has_failed() {
    let Some(corner) = Corner::new("health-panics").await else { return };
    let panics = HealthCheck::callback(|| async {
        panic!("on purpose");
        #[expect(unreachable_code, reason = "says the type")]
        Ok::<(), Error>(())
    });
    let late = HealthCheck::callback(|| async {
        std::future::pending::<()>().await;
        Ok::<(), Error>(())
    });
    for (id, check) in [("1", panics), ("2", late)] {
        let passes = check.interval(OFTEN).timeout(OFTEN);
        let registration = corner.registry().register(instance(id)).health(passes).await.unwrap();
        tokio::time::timeout(OFTEN * 20, registration.healthy()).await.unwrap_err();
        shows(&corner.calls, &corner.key(&instance(id)), "starting").await;
    }
}

#[tokio::test]
async fn one_check_decides_for_all_of_a_bulk_and_a_listener_is_found_by_tcp() {
    let Some(corner) = Corner::new("health-bulk").await else { return };
    let port = free_port();
    let check = HealthCheck::tcp(format!("http://127.0.0.1:{port}").as_str()).unwrap().interval(OFTEN);
    let registry = corner.registry();
    let registrations = registry.register_all([instance("1"), instance("2")]).health(check).await.unwrap();
    let keys = ["1", "2"].map(|id| corner.key(&instance(id)));
    for key in &keys {
        shows(&corner.calls, key, "starting").await;
    }
    let _listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    soon("healthy", registrations.healthy()).await.unwrap();
    for key in &keys {
        shows(&corner.calls, key, "up").await;
    }
}

#[test]
fn settings_of_a_check_that_make_no_sense_are_told() {
    let registry = Registry::builder(["http://127.0.0.1:1"]).build().unwrap();
    let check = || HealthCheck::tcp("http://127.0.0.1:1").unwrap();
    let callback = HealthCheck::callback(|| async { Ok::<(), Error>(()) });
    let wrong = [check().interval(Duration::ZERO), check().timeout(Duration::ZERO), check().thresholds(0, 1), callback];
    for check in wrong {
        // Outside of any runtime.
        let registering = IntoFuture::into_future(registry.register(instance("1")).health(check));
        let error = futures_util::FutureExt::now_or_never(registering).unwrap().unwrap_err();
        assert!(matches!(error, Error::Setting(_)), "{error:?}");
    }
}
