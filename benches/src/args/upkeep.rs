//! The command line of `upkeep`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args as ClapArgs;
use registry_bench::load::{Load, Work};
use registry_bench::process::Program;
use registry_bench::upkeep::{Chore, Upkeep};

use super::{Servers, seconds};

pub(super) const EXAMPLES: &str = "\
Examples:
  Puts beside defragmentation, compaction and snapshots, five rounds:
    registry-bench upkeep --server target/release/registry-server --rounds 5
  The same, then etcd's, with one chore only:
    registry-bench upkeep --server target/release/registry-server --peer /usr/bin/etcd --chores defragment
  One defragmentation in each phase, of a store of which half is garbage:
    registry-bench upkeep --server target/release/registry-server --chores defragment --overwrite --pause-seconds 60

Puts come at a fixed rate and count from when they were due. A round is a quiet phase and one for each chore, which is done
over and over; what is compared is the p99 of a phase with that of its round's quiet one.";

/// One comparison.
#[derive(Debug, ClapArgs)]
pub(crate) struct UpkeepArgs {
    #[command(flatten)]
    servers: Servers,
    /// How often all phases are run.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// What is done beside the puts.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "defragment,compact,snapshot")]
    chores: Vec<Chore>,
    /// How long a phase is.
    #[arg(long, value_name = "SECONDS", default_value = "8", value_parser = seconds)]
    phase_seconds: Duration,
    /// Between the end of a chore and its next beginning.
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    pause_seconds: Duration,
    /// Put every key again and compact before each phase, so that half of what is on the disk is garbage.
    #[arg(long)]
    overwrite: bool,
    /// Also write everything to this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Puts a second (open loop).
    #[arg(long, value_name = "PER_SECOND", default_value_t = 1_000.0)]
    rate: f64,
    /// Clients that the puts come from.
    #[arg(long, default_value_t = 32)]
    clients: usize,
    /// Connections that they share.
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// How many keys there are; they are put first.
    #[arg(long, value_name = "KEYS", default_value_t = 200_000)]
    key_space: u64,
    /// Length of a value in bytes.
    #[arg(long, value_name = "BYTES", default_value_t = 1_024)]
    value_size: usize,
}

impl UpkeepArgs {
    /// What is asked.
    pub(crate) fn plan(&self) -> Upkeep {
        let load = Load {
            work: Work::Put,
            clients: self.clients,
            connections: self.connections,
            threads: 1,
            rate: Some(self.rate),
            value_bytes: self.value_size,
            key_space: self.key_space,
            warmup: Duration::from_secs(1),
            ..Load::default()
        };
        let (phase, pause) = (self.phase_seconds, self.pause_seconds);
        let (chores, rounds, overwrite) = (self.chores.clone(), self.rounds, self.overwrite);
        Upkeep { load, chores, phase, pause, rounds, overwrite }
    }

    /// The servers to start, one after the other.
    pub(crate) fn programs(&self) -> Vec<Program> {
        self.servers.programs()
    }

    /// Where data directories are made.
    pub(crate) fn data_root(&self) -> PathBuf {
        self.servers.data_root()
    }
}
