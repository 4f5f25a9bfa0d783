//! Servers that end and come back, one after the other, under load: no request fails, without a retry layer.
//!
//! Real processes (`servers`), a real registry of one member or of three whose leader is killed meanwhile, and a
//! `load` that does not wait for answers: unary calls and server streams. `ROLLING_RATE` sets the requests a
//! second (100 unless set, which unoptimized programs carry on a busy machine), and `ROLLING_NOTICE_MS` how long
//! clients have to see that a server drains before it stops (500; with 0 they learn of it by GOAWAY only):
//!
//! ```text
//! ROLLING_RATE=2000 cargo test --release -p registry-tests --test rolling -- --nocapture
//! ```

mod load;
mod servers;

use std::time::Duration;

use registry_client::{Registry, Selector, Status, View};
use registry_tests::{Cluster, Plan, Program, within};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_stream::StreamExt;
use tower_discovery::{DiscoveryLayer, GrpcChannel, GrpcConnect, Target};
use tower_layer::Layer;

use crate::load::{Load, Tally, quantile};
use crate::servers::{Server, Starting};

const SERVERS: usize = 10;
/// Clients, each with a registry connection of its own.
const CLIENTS: usize = 5;
const TTL: Duration = Duration::from_secs(30);
/// The lease is gone well before it would expire by itself, an election included.
const GONE: Duration = Duration::from_secs(20);
const RATE_UNLESS_SET: u64 = 100;
const NOTICE_MS_UNLESS_SET: u64 = 500;

/// Whose turn it is: two loads at once would say nothing about either.
static TURN: Mutex<()> = Mutex::const_new(());

/// What was measured while all servers were replaced.
#[derive(Debug, Default)]
struct Figures {
    /// From SIGTERM to the lease gone.
    gone: Vec<Duration>,
    /// From SIGTERM until a client sends nothing there any more, for each server and client.
    removed: Vec<Duration>,
    tally: Tally,
    took: Duration,
}

#[tokio::test(flavor = "multi_thread")]
async fn g10_a_rolling_restart_of_all_servers_fails_no_request() {
    let _turn = TURN.lock().await;
    let Some(mut cluster) = cluster(1).await else { return };
    roll(&mut cluster, None).await.print("one member");
}

#[tokio::test(flavor = "multi_thread")]
async fn g10_a_rolling_restart_fails_no_request_while_the_registrys_leader_is_killed() {
    let _turn = TURN.lock().await;
    let Some(mut cluster) = cluster(3).await else { return };
    roll(&mut cluster, Some(SERVERS / 2)).await.print("three members, leader killed");
}

async fn cluster(members: usize) -> Option<Cluster> {
    let program = Program::of_suite(env!("CARGO_BIN_EXE_node"))?;
    Some(Cluster::start(Plan::new(program, members)).await)
}

/// Replaces all servers under load. While the one of number `killing` ends, the registry's leader is killed.
async fn roll(cluster: &mut Cluster, killing: Option<usize>) -> Figures {
    let starting = Starting {
        ttl: TTL,
        notice: Duration::from_millis(setting("ROLLING_NOTICE_MS", NOTICE_MS_UNLESS_SET)),
        urls: cluster.urls(),
    };
    let mut servers: Vec<_> = (0..SERVERS).map(|number| starting.start(&format!("server-{number}"))).collect();
    let channels: Vec<GrpcChannel> = (0..CLIENTS)
        .map(|_| {
            DiscoveryLayer::new(view(cluster, Selector::endpoint("grpc"))).served_by(true).layer(GrpcConnect::new())
        })
        .collect();
    for channel in &channels {
        within(channel.wait_until(|targets| targets.len() == SERVERS)).await;
    }
    let everybody = view(cluster, Selector::endpoint("grpc").statuses([Status::Up, Status::Draining]));
    let mut figures = Figures::default();
    let began = Instant::now();
    let mut load = Load::start(&channels, setting("ROLLING_RATE", RATE_UNLESS_SET));
    for number in 0..SERVERS {
        let server = servers.remove(0);
        let id = server.id().to_owned();
        serves(&mut load, &channels[0], &id).await;
        let leader = if killing == Some(number) { Some(cluster.wait_for_leader().await) } else { None };
        let ending = end(server, &channels, everybody.clone(), &mut figures);
        tokio::join!(ending, async { leader.into_iter().for_each(|leader| cluster.kill(leader)) });
        if let Some(leader) = leader {
            cluster.restart(leader).await;
        }
        servers.push(starting.start(&id));
        for channel in &channels {
            within(channel.wait_until(|targets| targets.len() == SERVERS)).await;
        }
    }
    for server in &servers {
        serves(&mut load, &channels[0], server.id()).await;
    }
    figures.tally = load.stop().await;
    figures.took = began.elapsed();
    let mut leases = cluster.client(0).leases().await;
    leases.dedup();
    assert_eq!(leases.len(), SERVERS, "each server has one lease, and no other is left");
    figures
}

/// Tells a server to end, and waits until it has, everywhere.
async fn end(server: Server, channels: &[GrpcChannel], everybody: View, figures: &mut Figures) {
    let id = server.id().to_owned();
    let incarnation = incarnation(&channels[0], &id);
    let mut clients = JoinSet::new();
    let since = Instant::now();
    server.tell_to_end();
    for channel in channels {
        let (channel, id) = (channel.clone(), id.clone());
        let is_it = move |target: &Target| target.key().id() == id && target.key().incarnation() == incarnation;
        clients.spawn(async move {
            channel.wait_until(|targets| !targets.iter().any(&is_it)).await;
            since.elapsed()
        });
    }
    let gone = tokio::spawn(async move {
        let mut snapshots = everybody.changes();
        while let Some(snapshot) = snapshots.next().await {
            if !snapshot.instances().iter().any(|one| one.id() == id && one.incarnation() == incarnation) {
                break;
            }
        }
        since.elapsed()
    });
    let status = server.ended().await;
    assert!(status.success(), "it left in order: {status}");
    let gone = within(gone).await.expect("the watch goes on");
    assert!(gone < GONE, "the lease went only after {gone:?}");
    figures.gone.push(gone);
    figures.removed.extend(within(clients.join_all()).await);
}

/// Waits until the connected instance of this id has answered a request.
async fn serves(load: &mut Load, channel: &GrpcChannel, id: &str) {
    load.reaches(id, incarnation(channel, id)).await;
}

fn incarnation(channel: &GrpcChannel, id: &str) -> i64 {
    let connected = channel.connected();
    let target = connected.iter().find(|target| target.key().id() == id);
    target.expect("all servers are connected").key().incarnation()
}

fn view(cluster: &Cluster, selector: Selector) -> View {
    let registry = Registry::builder(cluster.urls()).build().expect("the cluster's URLs are some");
    registry.watch("echo").start().expect("the service's name is one").select(selector)
}

fn setting(name: &str, unless_set: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is a number, and not {text:?}")),
        Err(_) => unless_set,
    }
}

impl Figures {
    /// Prints what was measured, and fails if a request did.
    #[expect(clippy::print_stdout, reason = "the figures are what the run is for")]
    fn print(mut self, registry: &str) {
        let tally = &mut self.tally;
        println!(
            "{SERVERS} servers replaced ({registry}) in {:?}: {} requests ({} unary, {} streams), {} failed, {:.0}/s",
            self.took,
            tally.requests(),
            tally.unary.len(),
            tally.streams.len(),
            tally.failures,
            tally.requests() as f64 / self.took.as_secs_f64(),
        );
        println!(
            "  unary p50 {:?}, p99 {:?}, longest {:?}; streams p50 {:?}, p99 {:?}",
            quantile(&mut tally.unary, 0.5),
            quantile(&mut tally.unary, 0.99),
            quantile(&mut tally.unary, 1.0),
            quantile(&mut tally.streams, 0.5),
            quantile(&mut tally.streams, 0.99),
        );
        println!(
            "  from SIGTERM to the lease gone: p50 {:?}, longest {:?}; to removed at clients: p50 {:?}, p99 {:?}",
            quantile(&mut self.gone, 0.5),
            quantile(&mut self.gone, 1.0),
            quantile(&mut self.removed, 0.5),
            quantile(&mut self.removed, 0.99),
        );
        assert_eq!(self.tally.failures, 0, "{:#?}", self.tally.shown);
        assert_eq!(self.tally.served.len(), 2 * SERVERS, "each served before and after: {:?}", self.tally.served);
    }
}
