//! What was measured, and how it is shown.

use std::time::Duration;

use serde::Serialize;

use super::Plan;

/// What a measurement gave.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    /// All instances under one lease, in transactions.
    pub bulk: Duration,
    /// A lease for each, and its put under it, over all connections at once.
    pub leased: Duration,
    /// From a client that is built until it knows all instances; sorted.
    pub first_snapshots: Vec<Duration>,
    /// Resident memory that a client takes, in bytes, its thread and connection included.
    pub client_bytes: u64,
    /// From before a change is put until a client has the snapshot with it, for each change and client; sorted.
    pub changes: Vec<Duration>,
    /// At rest, without keep-alives.
    pub idle: Costs,
    /// At rest, with a keep-alive of each lease every third of its TTL.
    pub kept: Costs,
    /// Those that were answered.
    pub keep_alives_per_second: f64,
}

/// Shares of one core, in percent.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Costs {
    /// Of the server.
    pub server_percent: f64,
    /// Of this process: all clients, and whoever keeps leases alive.
    pub clients_percent: f64,
}

/// The figures as lines for people.
#[must_use]
pub fn rows(plan: &Plan, figures: &Figures) -> Vec<String> {
    let ms = |duration: Duration| format!("{:.1} ms", duration.as_secs_f64() * 1_000.0);
    let (first, changes) = (&figures.first_snapshots, &figures.changes);
    let costs = |costs: Costs| format!("server {:.1}%, clients {:.1}%", costs.server_percent, costs.clients_percent);
    vec![
        format!("registering {} in bulk under one lease: {}", plan.instances, ms(figures.bulk)),
        format!("registering {} under a lease each: {}", plan.instances, ms(figures.leased)),
        format!("first snapshot at a client: {} (median of {})", ms(at(first, 0.5)), first.len()),
        format!("memory of a client: {:.1} MiB", figures.client_bytes as f64 / f64::from(1 << 20)),
        format!(
            "one change at {} clients: p50 {}, p99 {}, most {}",
            plan.clients,
            ms(at(changes, 0.5)),
            ms(at(changes, 0.99)),
            ms(at(changes, 1.0)),
        ),
        format!("CPU at rest, of a core: {}", costs(figures.idle)),
        format!("the same with {:.0} keep-alives/s: {}", figures.keep_alives_per_second, costs(figures.kept)),
    ]
}

/// The value at a part of a sorted list; zero of an empty one.
fn at(sorted: &[Duration], part: f64) -> Duration {
    let place = (sorted.len().saturating_sub(1) as f64 * part).round() as usize;
    sorted.get(place).copied().unwrap_or_default()
}
