//! One service with thousands of instances: what it costs to register them, to know them, to hear of a change, and to
//! keep them while nothing happens.
//!
//! `registering` puts the instances, `watching` holds the SDK's clients, `keeping` keeps a lease alive for each instance
//! as its process would; [`measure`] does one after the other. Clients and keepers live in this process, beside the server on the
//! same machine: what they cost each other is in the figures.

mod keeping;
mod registering;
mod report;
mod watching;

use std::time::Duration;

pub use report::{Costs, Figures, rows};
use tokio::time::{Instant, sleep};

use crate::BenchError;
use crate::channel::Endpoint;
use crate::progress::Progress;
use crate::usage;

/// What is measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Instances of the service.
    pub instances: usize,
    /// Clients that watch it, each with a connection and a thread of its own.
    pub clients: usize,
    /// Changes of one instance, one after the other, each to be seen by all clients.
    pub changes: usize,
    /// How long rest is looked at, without and with keep-alives.
    pub rest: Duration,
    /// The leases' TTL, of which each third a keep-alive is sent.
    pub ttl: Duration,
    /// Connections that the keep-alives of all instances share.
    pub connections: usize,
}

impl Default for Plan {
    fn default() -> Self {
        let (rest, ttl) = (Duration::from_secs(30), Duration::from_secs(15));
        Self { instances: 10_000, clients: 100, changes: 200, rest, ttl, connections: 100 }
    }
}

/// Measures at a server with an empty store, whose process is `server`.
///
/// # Errors
/// When anything is refused, or a client does not see what it must.
pub async fn measure(url: &str, server: u32, plan: &Plan, progress: &Progress) -> Result<Figures, BenchError> {
    let endpoint = Endpoint::parse(url)?;
    progress.begins("instances");
    progress.says("registering in bulk");
    let bulk = timed(registering::bulk(&endpoint, plan.instances)).await?;

    progress.says("first snapshots");
    let first_snapshots = watching::first_snapshots(url, plan.instances).await?;
    let memory = || usage::memory_of(std::process::id()).map_err(BenchError::system("this process's memory"));
    let before = memory()?.resident_bytes;
    let clients = watching::clients(url, plan).await?;
    let client_bytes = memory()?.resident_bytes.saturating_sub(before) / plan.clients.max(1) as u64;

    progress.says("changes");
    let changes = watching::changes(&endpoint, &clients, plan).await?;
    progress.says("rest without keep-alives");
    let idle = rest(server, plan.rest).await?;

    progress.says("a lease for each instance");
    let began = Instant::now();
    let keepers = keeping::leases(&endpoint, plan).await?;
    let leased = began.elapsed();
    clients.catch_up(&endpoint).await?;
    progress.says("rest with keep-alives");
    let (answered_before, began) = (keepers.answered()?, Instant::now());
    let kept = rest(server, plan.rest).await?;
    let keep_alives_per_second = (keepers.answered()? - answered_before) as f64 / began.elapsed().as_secs_f64();
    clients.are_synced()?;
    progress.ends();
    Ok(Figures { bulk, leased, first_snapshots, client_bytes, changes, idle, kept, keep_alives_per_second })
}

/// What server and clients take of the processor while nothing happens.
async fn rest(server: u32, limit: Duration) -> Result<Costs, BenchError> {
    let cpu = |pid| usage::of_process(pid).map(|usage| usage.cpu).map_err(BenchError::system("a process's usage"));
    let look = || Ok::<_, BenchError>((cpu(server)?, cpu(std::process::id())?));
    // What was under way before is over first.
    sleep(limit / 5).await;
    let (before, began) = (look()?, Instant::now());
    sleep(limit).await;
    let after = look()?;
    let share = |before: Duration, after: Duration| {
        after.saturating_sub(before).as_secs_f64() / began.elapsed().as_secs_f64() * 100.0
    };
    Ok(Costs { server_percent: share(before.0, after.0), clients_percent: share(before.1, after.1) })
}

async fn timed<F: Future<Output = Result<(), BenchError>>>(work: F) -> Result<Duration, BenchError> {
    let began = Instant::now();
    work.await?;
    Ok(began.elapsed())
}
