//! The command line of `instances`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args as ClapArgs;
use registry_bench::instances::Plan;
use registry_bench::process::Program;

use super::{at_least_one, program, seconds};

pub(super) const EXAMPLES: &str = "\
Examples:
  Ten thousand instances of one service, a hundred clients:
    registry-bench instances --server target/release/registry-server

The clients are the SDK's, each with a thread, a connection and a watch of its own, all in this process and beside the
server: what they take from each other is in the figures. A lease that is lost, or a client that does not know everything,
ends the measurement.";

/// One measurement.
#[derive(Debug, ClapArgs)]
pub(crate) struct InstancesArgs {
    /// The server to start and measure.
    #[arg(long, value_name = "PATH")]
    server: PathBuf,
    /// A further flag for the server; may be given several times.
    #[arg(long, value_name = "FLAG", allow_hyphen_values = true)]
    server_flag: Vec<String>,
    /// Where the server gets its data directory; a real disk, or syncs cost nothing. The system's temporary directory
    /// unless given.
    #[arg(long, value_name = "DIR")]
    data_root: Option<PathBuf>,
    /// Also write everything to this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Instances of the service.
    #[arg(long, default_value_t = 10_000, value_parser = at_least_one)]
    instances: usize,
    /// Clients that watch it.
    #[arg(long, default_value_t = 100, value_parser = at_least_one)]
    clients: usize,
    /// Changes, one after the other.
    #[arg(long, default_value_t = 200, value_parser = at_least_one)]
    changes: usize,
    /// How long rest is looked at, each time.
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    rest: Duration,
    /// The leases' TTL.
    #[arg(long, value_name = "SECONDS", default_value = "15", value_parser = seconds)]
    ttl: Duration,
    /// Connections that the keep-alives share.
    #[arg(long, default_value_t = 100, value_parser = at_least_one)]
    connections: usize,
}

impl InstancesArgs {
    pub(crate) fn plan(&self) -> Plan {
        let (rest, ttl, connections) = (self.rest, self.ttl, self.connections);
        Plan { instances: self.instances, clients: self.clients, changes: self.changes, rest, ttl, connections }
    }

    pub(crate) fn program(&self) -> Program {
        program((&self.server, &self.server_flag))
    }

    pub(crate) fn data_root(&self) -> PathBuf {
        self.data_root.clone().unwrap_or_else(std::env::temp_dir)
    }
}
