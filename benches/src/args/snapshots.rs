//! The command line of `snapshots`.

use std::path::PathBuf;

use clap::Args as ClapArgs;
use registry_bench::load::{Load, Work};
use registry_bench::snapshots::{Plan, Side};

use super::{Servers, at_least_one};

pub(super) const EXAMPLES: &str = "\
Examples:
  1,000,000 keys, beside etcd and its tools:
    registry-bench snapshots --server target/release/registry-server --registryctl target/release/registryctl \\
      --peer /usr/bin/etcd --etcdctl /usr/bin/etcdctl --etcdutl /usr/bin/etcdctl

Each server is filled once and runs on while all tools run in turn. Memory is a tool's own: etcd's map the file, whose pages
are in the peak, and not in what is its own.";

/// One comparison.
#[derive(Debug, ClapArgs)]
pub(crate) struct SnapshotsArgs {
    #[command(flatten)]
    servers: Servers,
    /// The registry's tool.
    #[arg(long, value_name = "PATH")]
    registryctl: PathBuf,
    /// What takes snapshots of the peer.
    #[arg(long, value_name = "PATH", default_value = "etcdctl")]
    etcdctl: PathBuf,
    /// What looks at them and restores them; that etcdctl, unless given.
    #[arg(long, value_name = "PATH", requires = "peer")]
    etcdutl: Option<PathBuf>,
    /// Also write everything to this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// How many keys there are.
    #[arg(long, value_name = "KEYS", default_value_t = 1_000_000)]
    key_space: u64,
    /// Length of a key in bytes.
    #[arg(long, value_name = "BYTES", default_value_t = 16)]
    key_size: usize,
    /// Length of a value in bytes.
    #[arg(long, value_name = "BYTES", default_value_t = 256)]
    value_size: usize,
    /// How often each is measured.
    #[arg(long, default_value_t = 5, value_parser = at_least_one)]
    rounds: usize,
}

impl SnapshotsArgs {
    pub(crate) fn plan(&self) -> Plan {
        let (key_space, key_bytes, value_bytes) = (self.key_space, self.key_size, self.value_size);
        let load = Load { work: Work::Put, key_space, key_bytes, value_bytes, ..Load::default() };
        Plan { load, rounds: self.rounds }
    }

    /// Each server with its tools.
    pub(crate) fn sides(&self) -> Vec<Side> {
        let peers = (&self.etcdctl, self.etcdutl.as_ref().unwrap_or(&self.etcdctl));
        let tools = [(&self.registryctl, &self.registryctl), peers];
        let sides = self.servers.programs().into_iter().zip(tools);
        sides
            .map(|(program, (saves, restores))| Side { program, saves: saves.clone(), restores: restores.clone() })
            .collect()
    }

    pub(crate) fn data_root(&self) -> PathBuf {
        self.servers.data_root()
    }
}
