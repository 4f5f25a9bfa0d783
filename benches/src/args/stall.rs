//! The command line of `stall`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args as ClapArgs;
use registry_bench::load::{Load, Work};
use registry_bench::process::Program;
use registry_bench::stall::Stall;

use super::{Servers, at_least_one, seconds};

pub(super) const EXAMPLES: &str = "\
Examples:
  One watcher of everything that reads nothing for a minute, three pairs:
    registry-bench stall --server target/release/registry-server --pairs 3
  The same with a compaction in the middle of that minute:
    registry-bench stall --server target/release/registry-server --pairs 1 --compact

Each pair is two runs on fresh data: without stalled watchers, then with them. Each put is one event for one
fast watcher, and its lag counts from when the put was due. A stalled watcher must get every event afterwards, in
order, or be told the compacted revision; otherwise the measurement fails. Its client has the lowest priority, as one on
another machine would take no time from the others.";

/// One comparison.
#[derive(Debug, ClapArgs)]
pub(crate) struct StallArgs {
    #[command(flatten)]
    servers: Servers,
    /// How often each server is started and measured without and with stalled watchers.
    #[arg(long, default_value_t = 3, value_parser = at_least_one)]
    pub(crate) pairs: usize,
    /// Also write everything to this file, the server's memory over time included.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Watchers of all keys that read nothing for a while, each on a connection of its own.
    #[arg(long, default_value_t = 1)]
    stalled: usize,
    /// How long they read nothing.
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    stall_seconds: Duration,
    /// How long the load goes on when they read again.
    #[arg(long, value_name = "SECONDS", default_value = "20", value_parser = seconds)]
    catch_up_seconds: Duration,
    /// Compact, up to then, when half of the puts of the stall are done.
    #[arg(long)]
    compact: bool,

    /// Puts a second (open loop).
    #[arg(long, value_name = "PER_SECOND", default_value_t = 5_000.0)]
    rate: f64,
    /// Fast watchers, with a key each.
    #[arg(long, default_value_t = 1_000)]
    watchers: usize,
    /// Streams that they share.
    #[arg(long, default_value_t = 100)]
    streams: usize,
    /// Connections that the streams share.
    #[arg(long, default_value_t = 10)]
    connections: usize,
    /// Length of a value in bytes.
    #[arg(long, value_name = "BYTES", default_value_t = 256)]
    value_size: usize,
    /// How long the load runs before it is measured, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    warmup: Duration,
}

impl StallArgs {
    /// What is asked.
    pub(crate) fn plan(&self) -> Stall {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let load = Load {
            work: Work::Watch,
            spread: true,
            clients: self.streams,
            connections: self.connections,
            threads: cores.min(self.connections),
            rate: Some(self.rate),
            value_bytes: self.value_size,
            watchers: self.watchers,
            warmup: self.warmup,
            ..Load::default()
        };
        let (stall, catch_up) = (self.stall_seconds, self.catch_up_seconds);
        Stall { load, stalled: self.stalled, stall, catch_up, compact: self.compact }
    }

    /// The servers to start, in turn.
    pub(crate) fn programs(&self) -> Vec<Program> {
        self.servers.programs()
    }

    /// Where data directories are made.
    pub(crate) fn data_root(&self) -> PathBuf {
        self.servers.data_root()
    }
}
