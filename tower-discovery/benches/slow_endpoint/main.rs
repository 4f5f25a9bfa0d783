//! One gRPC server of twenty is ten times slower than the others: what callers see of it with each balancer.
//!
//! Requests come at random moments, whether earlier ones are answered or not (open loop), half as many as all servers
//! together can serve; a request counts from when it was due. `servers` has the servers, on loopback; each
//! balancer gets fresh ones. `cargo bench -p tower-discovery --bench slow_endpoint` runs for about two
//! minutes; `-- --seconds 5` for less.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a program for developers")]

mod servers;

use std::future::Future;
use std::time::Duration;

use registry_client::{Instance, Selector, ServiceWatch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tonic::transport::channel::Change;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tower_discovery::{DiscoveryLayer, GrpcChannel, GrpcConnect};
use tower_layer::Layer;

use crate::servers::Servers;

const SERVERS: usize = 20;
/// Requests that a server serves at the same time; others queue there.
const WORKERS: usize = 8;
const FAST: Duration = Duration::from_millis(50);
const SLOW: Duration = Duration::from_millis(500);
/// A request that takes longer counts as this long.
const LONGEST: Duration = Duration::from_secs(30);

/// What all servers together can serve in a second.
fn capacity() -> f64 {
    let of = |servers: usize, takes: Duration| (servers * WORKERS) as f64 / takes.as_secs_f64();
    of(SERVERS - 1, FAST) + of(1, SLOW)
}

/// Sends requests for this long and answers how long each took, sorted.
async fn open_loop<F>(length: Duration, mut send: impl FnMut() -> F) -> Vec<Duration>
where
    F: Future<Output = ()> + Send + 'static,
{
    let rate = capacity() / 2.0;
    let mut rng = fastrand::Rng::with_seed(3);
    let mut tasks = JoinSet::new();
    let begin = Instant::now();
    let mut due = begin;
    while due < begin + length {
        due += Duration::from_secs_f64(-rng.f64().max(1e-12).ln() / rate);
        sleep_until(due).await;
        let request = send();
        tasks.spawn(async move {
            match timeout(LONGEST, request).await {
                Ok(()) => due.elapsed(),
                Err(_) => LONGEST,
            }
        });
    }
    let mut times = tasks.join_all().await;
    times.sort();
    times
}

async fn check<S>(mut client: HealthClient<S>)
where
    S: tonic::client::GrpcService<tonic::body::Body>,
    S::Error: Into<tonic::codegen::StdError>,
    S::ResponseBody: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    <S::ResponseBody as http_body::Body>::Error: Into<tonic::codegen::StdError> + Send,
{
    client.check(HealthCheckRequest::default()).await.unwrap();
}

async fn discovery(servers: &Servers, length: Duration) -> Vec<Duration> {
    let (watch, mut publisher) = ServiceWatch::manual("pay");
    let instance = |uri: &String| Instance::builder("pay").endpoint("grpc", uri.clone()).build().unwrap();
    publisher.replace(servers.uris().iter().map(instance));
    let channel: GrpcChannel = DiscoveryLayer::new(watch.select(Selector::endpoint("grpc"))).layer(GrpcConnect::new());
    channel.wait_until(|targets| targets.len() == SERVERS).await;
    let client = HealthClient::new(channel);
    open_loop(length, || check(client.clone())).await
}

async fn balance_channel(servers: &Servers, length: Duration) -> Vec<Duration> {
    let (channel, sender) = Channel::balance_channel(SERVERS);
    for uri in servers.uris() {
        let endpoint = Endpoint::from_shared(uri.clone()).unwrap();
        sender.send(Change::Insert(uri.clone(), endpoint)).await.unwrap();
    }
    let client = HealthClient::new(channel);
    open_loop(length, || check(client.clone())).await
}

async fn round_robin(servers: &Servers, length: Duration) -> Vec<Duration> {
    let mut clients = Vec::new();
    for uri in servers.uris() {
        clients.push(HealthClient::new(Endpoint::from_shared(uri.clone()).unwrap().connect().await.unwrap()));
    }
    let mut turns = clients.iter().cycle();
    open_loop(length, || check(turns.next().unwrap().clone())).await
}

fn report(name: &str, times: &[Duration], servers: &Servers) {
    let at = |per_mille: usize| times[(times.len() * per_mille / 1000).min(times.len() - 1)].as_secs_f64() * 1e3;
    let to_slow = servers.served_by_the_slow_one();
    println!(
        "{name:<18} {:>6} requests  p50 {:>6.0} ms  p99 {:>6.0} ms  p99.9 {:>6.0} ms  to the slow one {to_slow:>5} = {:.2}%",
        times.len(),
        at(500),
        at(990),
        at(999),
        to_slow as f64 * 100.0 / times.len() as f64,
    );
}

/// The value of `--seconds`, if given; cargo's own arguments are passed over.
fn seconds() -> u64 {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--seconds");
    arguments.nth(1).map_or(20, |value| value.parse().expect("--seconds takes a whole number"))
}

#[tokio::main]
async fn main() {
    let length = Duration::from_secs(seconds());
    println!("{SERVERS} servers of {WORKERS} workers, {FAST:?} and one {SLOW:?}; {:.0} requests/s", capacity() / 2.0);
    let servers = Servers::start().await;
    report("tower-discovery", &discovery(&servers, length).await, &servers);
    let servers = Servers::start().await;
    report("balance_channel", &balance_channel(&servers, length).await, &servers);
    let servers = Servers::start().await;
    report("round robin", &round_robin(&servers, length).await, &servers);
}
