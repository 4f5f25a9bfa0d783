//! The load against a single node on a real port, and against nobody on virtual time.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use parking_lot::Mutex;
use registry_checkers::{History, HowEnded, Limits, Outcome, Registration, check};
use registry_client::Registry;
use registry_client::simulation::{Connector, Link, SendError};
use registry_load::{BoxFuture, CarryError, Homes, Load, Member, Members, Settings, Spawn, Trace, read_state};
use registry_server::server::{Config, Running, Server};
use tempfile::TempDir;
use tokio::task::AbortHandle;
use tonic::body::Body;
use tonic::transport::{Channel, Endpoint};
use tower_service::Service;

/// The SDK in processes that are no more than their tasks.
struct Processes {
    url: String,
    tasks: Arc<Mutex<BTreeMap<u32, Vec<AbortHandle>>>>,
}

impl Homes for Processes {
    fn start(&self, process: u32) -> Registry {
        let tasks = Arc::clone(&self.tasks);
        let spawn: Spawn = Arc::new(move |task| {
            let handle = tokio::spawn(task).abort_handle();
            tasks.lock().entry(process).or_default().push(handle);
        });
        let connector = Arc::new(Plain { channel: channel(&self.url) });
        Registry::builder([self.url.clone()]).build_simulated(connector, spawn).expect("the address is right")
    }

    fn kill(&self, process: u32) -> bool {
        self.tasks.lock().remove(&process).unwrap_or_default().iter().for_each(AbortHandle::abort);
        true
    }
}

/// Connections that are all one channel.
#[derive(Debug)]
struct Plain {
    channel: Channel,
}

impl Connector for Plain {
    fn connect(&self, _: &registry_client::Endpoint) -> BoxFuture<Result<Box<dyn Link>, String>> {
        let link: Box<dyn Link> = Box::new(Self { channel: self.channel.clone() });
        Box::pin(ready(Ok(link)))
    }
}

impl Link for Plain {
    fn is_usable(&self) -> bool {
        true
    }

    fn send(&self, request: Request<Body>) -> BoxFuture<Result<Response<Body>, SendError>> {
        let mut channel = self.channel.clone();
        Box::pin(async move {
            let broken = |error: tonic::transport::Error| SendError::Broken(error.to_string());
            std::future::poll_fn(|context| channel.poll_ready(context)).await.map_err(broken)?;
            channel.call(request).await.map_err(broken)
        })
    }
}

fn spawn() -> Spawn {
    Arc::new(|task| drop(tokio::spawn(task)))
}

async fn node(dir: &TempDir) -> Running {
    let config = Config {
        data_dir: dir.path().join("data"),
        listen_client_urls: vec!["http://127.0.0.1:0".parse().expect("it is a URL")],
        worker_threads: Some(1),
        ..Config::default()
    };
    Server::start(config).await.expect("the node starts")
}

fn channel(url: &str) -> Channel {
    Endpoint::from_shared(url.to_owned()).expect("it is a URL").connect_lazy()
}

/// Runs a load over these ways to one node.
async fn run(url: &str, ways: Vec<Member>, settings: Settings) -> (History, Vec<String>) {
    let member = Member::new(1, channel(url));
    let members: Arc<dyn Members> = Arc::new(ways);
    let homes = Arc::new(Processes { url: url.to_owned(), tasks: Arc::default() });
    let mut load = Load::new(settings, members, spawn()).expect("the settings make sense").registering(homes);
    load.run().await;
    load.settle(Duration::from_secs(20)).await;
    let state = read_state(&member, load.recorder()).await.expect("the member says what it holds");
    let revision = state.revision;
    load.recorder().add_member(state);
    load.conclude(revision, Duration::from_secs(20)).await
}

fn small(seed: u64) -> Settings {
    Settings {
        seed,
        calls: 100,
        think_ms: 0..=20,
        ttl_seconds: 2..=4,
        watch_ms: 300..=2_000,
        locks: 3,
        registrations: 3,
        held_ms: 500..=2_000,
        ..Settings::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_healthy_node_answers_everything_and_every_watch_reaches_the_end() {
    let dir = TempDir::new().expect("temporary directories can be made");
    let node = node(&dir).await;
    let url = node.client_url();
    let (history, complaints) = run(url, vec![Member::new(1, channel(url))], small(1)).await;
    assert_eq!(complaints, Vec::<String>::new());
    let unknown: Vec<_> =
        history.calls.iter().filter(|call| matches!(call.outcome, Outcome::Unknown(_))).take(3).collect();
    assert!(unknown.is_empty(), "a healthy node leaves nothing open: {unknown:?}");
    assert!(history.calls.len() > 500, "{} calls", history.calls.len());
    assert!(history.watches.len() > 5, "{} watches", history.watches.len());
    let report = check(&history, &Limits::default());
    assert!(report.is_good(), "{report}");
    assert!(report.counts.gaps.is_empty() && report.counts.compared > 300, "{report}");
    assert_eq!(history.registrations.len(), 6);
    let was_killed = |registration: &Registration| matches!(registration.ended, Some((_, HowEnded::Killed)));
    assert!(history.registrations.iter().any(was_killed), "{:?}", history.registrations);
    for registration in &history.registrations {
        assert!(!registration.leases.is_empty(), "{registration:?}");
    }
    node.shutdown().await.expect("the node had not failed");
}

/// A way on which requests are lost, and answers to requests that were carried out.
#[derive(Clone)]
struct Lossy {
    channel: Channel,
}

impl Service<Request<Body>> for Lossy {
    type Response = Response<Body>;
    type Error = CarryError;
    type Future = BoxFuture<Result<Response<Body>, CarryError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), CarryError>> {
        self.channel.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let lot = fastrand::u32(..100);
        if lot < 5 {
            return Box::pin(ready(Err("lost on the way there".into())));
        }
        let answered = self.channel.call(request);
        Box::pin(async move {
            let answer = answered.await?;
            if lot < 15 { Err("lost on the way back".into()) } else { Ok(answer) }
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_lost_on_the_way_leaves_the_outcome_open() {
    let dir = TempDir::new().expect("temporary directories can be made");
    let node = node(&dir).await;
    let url = node.client_url();
    let ways = (0..3).map(|_| Member::new(1, Lossy { channel: channel(url) })).collect();
    let (history, complaints) = run(url, ways, small(3)).await;
    assert_eq!(complaints, Vec::<String>::new());
    let report = check(&history, &Limits::default());
    assert!(report.is_good(), "{report}");
    assert!(report.counts.found > 10, "some that were lost on the way back were done: {report}");
    node.shutdown().await.expect("the node had not failed");
}

/// A member that cannot be reached.
#[derive(Clone)]
struct Nobody;

impl Service<Request<Body>> for Nobody {
    type Response = Response<Body>;
    type Error = CarryError;
    type Future = Ready<Result<Response<Body>, CarryError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), CarryError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        ready(Err("unplugged".into()))
    }
}

/// What a run writes against members that nobody can reach.
async fn trace_of_a_run_against_nobody() -> String {
    let members: Arc<dyn Members> = Arc::new(vec![Member::new(1, Nobody), Member::new(2, Nobody)]);
    let text = Arc::new(Mutex::new(String::new()));
    let written = Arc::clone(&text);
    let trace: Trace = Arc::new(move |at, what| writeln!(written.lock(), "{at:?} {what}").expect("a text grows"));
    let mut load = Load::new(small(2), members, spawn()).expect("the settings make sense").traced(trace);
    load.run().await;
    load.settle(Duration::from_secs(5)).await;
    let (_, complaints) = load.conclude(10, Duration::from_secs(5)).await;
    assert!(complaints.len() > 5, "nothing was reached: {complaints:?}");
    let text = text.lock();
    text.clone()
}

#[tokio::test(start_paused = true)]
async fn two_runs_of_one_seed_write_the_same_trace() {
    let first = trace_of_a_run_against_nobody().await;
    assert!(first.lines().count() > 1_000, "{first}");
    assert!(first == trace_of_a_run_against_nobody().await, "the traces differ");
}
