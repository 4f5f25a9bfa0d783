//! A server and its registration in one: the order of the end, and every other end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use registry_client::{Conflict, Error, Instance, Registry, Selector, ServeError, Shutdown, Status, Stop};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::kit::{Corner, Proxy, eventually, free_port, instance, soon};

const HOUR: Duration = Duration::from_secs(3600);

/// Answers each connection's first byte with another: at once, or for `s` when there is a permit.
async fn answer(listener: TcpListener, stop: Stop, permits: Arc<Semaphore>) -> io::Result<()> {
    let requests = TaskTracker::new();
    loop {
        let mut stream = tokio::select! {
            accepted = listener.accept() => accepted?.0,
            () = stop.stopped() => break,
        };
        let permits = Arc::clone(&permits);
        requests.spawn(async move {
            if stream.read_u8().await? == b's' {
                drop(permits.acquire().await);
            }
            stream.write_u8(b'!').await
        });
    }
    drop(listener);
    requests.close();
    requests.wait().await;
    Ok(())
}

async fn ask(address: SocketAddr, what: u8) -> io::Result<u8> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_u8(what).await?;
    stream.read_u8().await
}

struct Served {
    address: SocketAddr,
    permits: Arc<Semaphore>,
    end: oneshot::Sender<()>,
    serving: JoinHandle<Result<(), ServeError>>,
}

/// A server of the instance `1`, with a slow request under way.
async fn served(registry: &Registry, shutdown: Shutdown) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, permits) = (listener.local_addr().unwrap(), Arc::new(Semaphore::new(0)));
    let (end, ended) = oneshot::channel();
    let instance = Instance::builder("pay").id("1").build().unwrap();
    let given = Arc::clone(&permits);
    let serve = registry
        .serve(instance, listener, move |listener, stop| answer(listener, stop, given))
        .endpoint("line", "tcp")
        .ttl(HOUR)
        .shutdown(shutdown)
        .until(async { drop(ended.await) });
    Served { address, permits, end, serving: tokio::spawn(serve.into_future()) }
}

#[tokio::test]
async fn g10_serving_ends_in_order_visible_then_time_then_stop_then_finished_then_revoked() {
    let Some(mut corner) = Corner::alone("serving").await else { return };
    let view = corner.registry().watch("pay").start().unwrap();
    let selected = view.select(Selector::endpoint("line").statuses([Status::Up, Status::Draining]));
    let status = || selected.snapshot().instances().first().map(|found| found.status());
    let drain = Duration::from_secs(2);
    let shutdown = Shutdown::new().drain(drain).deadline(Duration::from_secs(15));
    let Served { address, permits, end, serving } = served(&corner.registry(), shutdown).await;
    eventually("it is up", || async { status() == Some(Status::Up) }).await;
    let snapshot = selected.snapshot();
    let endpoint = snapshot.instances()[0].endpoint("line").unwrap();
    assert_eq!(endpoint.to_string(), format!("tcp://{address}"));
    let slow = tokio::spawn(ask(address, b's'));

    end.send(()).unwrap();
    eventually("it is seen to drain", || async { status() == Some(Status::Draining) }).await;
    let seen = Instant::now();
    assert_eq!(ask(address, b'f').await.unwrap(), b'!', "who has not seen it yet is served");
    eventually("it accepts no more", || async { TcpStream::connect(address).await.is_err() }).await;
    // What this task saw late is missing from it.
    assert!(seen.elapsed() > drain / 4, "watchers had {:?}", seen.elapsed());
    assert_eq!((corner.calls.leases().await.len(), status()), (1, Some(Status::Draining)), "not before all is done");
    assert!(!slow.is_finished());
    permits.add_permits(1);
    assert_eq!(slow.await.unwrap().unwrap(), b'!');
    soon("the end", serving).await.unwrap().unwrap();
    assert!(corner.calls.leases().await.is_empty());
}

#[tokio::test]
async fn g10_the_deadline_holds_whatever_is_under_way() {
    let Some(mut corner) = Corner::alone("serving-deadline").await else { return };
    let limit = Duration::from_secs(2);
    let shutdown = Shutdown::new().drain(Duration::from_millis(10)).deadline(limit);
    let Served { address, end, serving, .. } = served(&corner.registry(), shutdown).await;
    eventually("it stands", || {
        let mut calls = corner.calls.clone();
        async move { !calls.leases().await.is_empty() }
    })
    .await;
    let slow = tokio::spawn(ask(address, b's'));
    tokio::time::sleep(Duration::from_millis(100)).await;
    let told = Instant::now();
    end.send(()).unwrap();
    let ended = soon("the end", serving).await.unwrap();
    assert!(matches!(ended, Err(ServeError::Unfinished)), "{ended:?}");
    // All steps have one deadline, and not each of its own.
    assert!(told.elapsed() < 2 * limit, "{:?}", told.elapsed());
    assert!(corner.calls.leases().await.is_empty());
    slow.abort();
}

#[tokio::test]
async fn g10_a_deadline_longer_than_any_clock_is_one() {
    let Some(mut corner) = Corner::alone("serving-endless").await else { return };
    let shutdown = Shutdown::new().drain(Duration::from_millis(10)).deadline(Duration::MAX);
    let Served { end, serving, .. } = served(&corner.registry(), shutdown).await;
    eventually("it stands", || {
        let mut calls = corner.calls.clone();
        async move { !calls.leases().await.is_empty() }
    })
    .await;
    end.send(()).unwrap();
    soon("the end", serving).await.unwrap().unwrap();
    assert!(corner.calls.leases().await.is_empty());
}

#[tokio::test]
async fn g10_a_server_that_ends_by_itself_takes_its_registration_with_it() {
    let Some(corner) = Corner::alone("serving-fails").await else { return };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let serve = corner.registry().serve(instance("1"), listener, |listener, _| async move {
        let _request = listener.accept().await?;
        Err(io::Error::other("out of luck"))
    });
    let address = {
        let (registry, serving) = (corner.registry(), tokio::spawn(serve.ttl(HOUR).into_future()));
        let view = registry.watch("pay").start().unwrap().select(Selector::endpoint("http"));
        eventually("it is up", || async { !view.snapshot().instances().is_empty() }).await;
        let snapshot = view.snapshot();
        drop(TcpStream::connect(snapshot.instances()[0].endpoint("http").unwrap().authority()).await.unwrap());
        soon("the end", serving).await.unwrap()
    };
    assert!(matches!(&address, Err(ServeError::Server(error)) if error.to_string() == "out of luck"), "{address:?}");
    corner.no_lease_is_left().await;
}

#[tokio::test]
async fn g07_a_server_whose_id_is_taken_over_stops_and_says_why() {
    let Some(mut corner) = Corner::alone("serving-conflict").await else { return };
    let Served { serving, end: _end, .. } = served(&corner.registry(), Shutdown::new()).await;
    let key = corner.key(&instance("1"));
    eventually("it stands", || {
        let (mut calls, key) = (corner.calls.clone(), key.clone());
        async move { calls.get(&key).await.is_some() }
    })
    .await;
    let winner = corner.registry().register(instance("1")).ttl(HOUR).on_conflict(Conflict::TakeOver).await.unwrap();
    let ended = soon("the end", serving).await.unwrap();
    assert!(matches!(ended, Err(ServeError::Registration(Error::Conflict { .. }))), "{ended:?}");
    eventually("the winner's lease alone is left", || {
        let mut calls = corner.calls.clone();
        async move { calls.leases().await.len() == 1 }
    })
    .await;
    assert!(corner.calls.get(&key).await.is_some());
    drop(winner);
}

#[tokio::test]
async fn g10_who_is_told_to_end_before_the_registry_was_reached_ends_at_once() {
    let registry = Registry::builder([format!("http://127.0.0.1:{}", free_port())]).build().unwrap();
    let Served { address, end, serving, .. } = served(&registry, Shutdown::new()).await;
    eventually("it serves already", || async { ask(address, b'f').await.is_ok() }).await;
    end.send(()).unwrap();
    let told = Instant::now();
    soon("the end", serving).await.unwrap().unwrap();
    assert!(told.elapsed() < Duration::from_secs(2), "{:?}", told.elapsed());
}

#[tokio::test]
async fn g03_a_dropped_serve_future_drops_the_server_and_revokes() {
    let Some(corner) = Corner::alone("serving-dropped").await else { return };
    let Served { address, serving, end: _end, .. } = served(&corner.registry(), Shutdown::new()).await;
    eventually("it stands", || {
        let mut calls = corner.calls.clone();
        async move { !calls.leases().await.is_empty() }
    })
    .await;
    serving.abort();
    corner.no_lease_is_left().await;
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn g10_why_it_ended_is_told_and_not_what_came_of_it() {
    let Some(mut corner) = Corner::alone("serving-why").await else { return };
    let proxy = Proxy::new(corner.endpoint()).await;
    let registry = corner.registry_by(&proxy.endpoint);
    let fail = Arc::new(Semaphore::new(0));
    let failing = |on_stop: bool| {
        let fail = Arc::clone(&fail);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let shutdown = Shutdown::new().deadline(Duration::from_millis(300));
        let serve = registry.serve(instance("1"), listener, move |listener, stop| async move {
            let _listener = listener;
            tokio::select! {
                () = stop.stopped(), if on_stop => {}
                permit = fail.acquire() => permit.unwrap().forget(),
            }
            Err(io::Error::other("out of luck"))
        });
        tokio::spawn(serve.ttl(HOUR).shutdown(shutdown).into_future())
    };
    // Taken over, the server fails when it is told to stop.
    let key = corner.key(&instance("1"));
    let serving = failing(true);
    stands(&corner, &key).await;
    let winner = corner.registry().register(instance("1")).ttl(HOUR).on_conflict(Conflict::TakeOver).await.unwrap();
    let ended = soon("the end", serving).await.unwrap();
    assert!(matches!(ended, Err(ServeError::Registration(Error::Conflict { .. }))), "{ended:?}");
    soon("the winner goes", winner.shutdown(Shutdown::new().drain(Duration::ZERO))).await.unwrap();
    assert!(corner.calls.get(&key).await.is_none());

    // The server fails while the registry is away, so that nothing can be revoked.
    let serving = failing(false);
    stands(&corner, &key).await;
    proxy.freeze();
    fail.add_permits(1);
    let ended = soon("the end", serving).await.unwrap();
    assert!(matches!(&ended, Err(ServeError::Server(error)) if error.to_string() == "out of luck"), "{ended:?}");
    proxy.open();
    corner.no_lease_is_left().await;
}

async fn stands(corner: &Corner, key: &str) {
    eventually("it stands", || {
        let (mut calls, key) = (corner.calls.clone(), key.to_owned());
        async move { calls.get(&key).await.is_some() }
    })
    .await;
}

#[tokio::test]
async fn g10_who_is_told_to_end_while_it_registers_has_revoked_when_it_has_ended() {
    let Some(mut corner) = Corner::alone("serving-early").await else { return };
    let holder = corner.registry().register(instance("1")).ttl(HOUR).await.unwrap();
    for _ in 0..5 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (end, ended) = oneshot::channel::<()>();
        let serve = corner.registry().serve(instance("1"), listener, |_listener, stop| async move {
            stop.stopped().await;
            Ok::<(), io::Error>(())
        });
        let serve = serve.ttl(HOUR).on_conflict(Conflict::WaitForExpiry).until(async { drop(ended.await) });
        let serving = tokio::spawn(serve.into_future());
        eventually("it has a lease and waits for the key", || {
            let mut calls = corner.calls.clone();
            async move { calls.leases().await.len() == 2 }
        })
        .await;
        end.send(()).unwrap();
        soon("the end", serving).await.unwrap().unwrap();
        assert_eq!(corner.calls.leases().await.len(), 1, "only the holder's is left");
    }
    drop(holder);
}
