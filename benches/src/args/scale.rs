//! The command line of `scale`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args as ClapArgs;
use registry_bench::process::Program;
use registry_bench::scale::{Filling, Plan};

use super::{Servers, at_least_one, seconds};

pub(super) const EXAMPLES: &str = "\
Examples:
  1,000,000 keys and 10,000,000 revisions of them, beside etcd; many minutes, with 20 GB of disk and of memory free:
    registry-bench scale --server target/release/registry-server --peer /usr/bin/etcd --data-root /var/tmp
  Small, to see what it does:
    registry-bench scale --server target/release/registry-server --key-space 10000 --revisions 50000 \\
      --pairs 1 --duration 1 --restarts 1 --rest 1

Each server in turn gets all revisions and is looked at after a rest; then puts and gets are measured in turn while
both run; then each is stopped and started on its data, in turn, and once more after SIGKILL. A start counts from
before the process is there until its first linearizable read is answered. After each start all keys and the
revision must be there, or there are no figures.";

/// One comparison.
#[derive(Debug, ClapArgs)]
pub(crate) struct ScaleArgs {
    #[command(flatten)]
    servers: Servers,
    /// Also write everything to this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// How many keys there are.
    #[arg(long, value_name = "KEYS", default_value_t = 1_000_000)]
    key_space: u64,
    /// How many puts make them: the first round creates the keys, further rounds overwrite them.
    #[arg(long, value_name = "PUTS", default_value_t = 10_000_000)]
    revisions: u64,
    /// Puts of one transaction while the data are loaded; each transaction is one store revision.
    #[arg(long, default_value_t = 100)]
    txn_puts: u64,
    /// Load the data by single puts of --clients on --connections instead of transactions.
    #[arg(long, conflicts_with = "txn_puts")]
    singles: bool,
    /// Length of a key in bytes.
    #[arg(long, value_name = "BYTES", default_value_t = 16)]
    key_size: usize,
    /// Length of a value in bytes.
    #[arg(long, value_name = "BYTES", default_value_t = 256)]
    value_size: usize,
    /// --quota-backend-bytes of both servers.
    #[arg(long, value_name = "BYTES", default_value_t = 16 << 30)]
    quota_bytes: u64,

    /// How often each put and get row is measured on each server; 0 for none.
    #[arg(long, default_value_t = 3)]
    pairs: usize,
    /// How long each of them is measured, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    duration: Duration,
    /// How long the load runs before that, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    warmup: Duration,
    /// Clients of the rows with many; those with one have one connection.
    #[arg(long, default_value_t = 1_000)]
    clients: usize,
    /// Connections that these share.
    #[arg(long, default_value_t = 100)]
    connections: usize,
    /// How often each server is stopped in order and started again; one start after SIGKILL is added.
    #[arg(long, default_value_t = 3, value_parser = at_least_one)]
    restarts: usize,
    /// How long a server is left alone before its memory counts, after the last put and after each start.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    rest: Duration,
    /// How long a start or a stop may take.
    #[arg(long, value_name = "SECONDS", default_value = "600", value_parser = seconds)]
    start_limit: Duration,
}

impl ScaleArgs {
    /// What is asked for.
    pub(crate) fn plan(&self) -> Plan {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Plan {
            key_space: self.key_space,
            revisions: self.revisions,
            key_bytes: self.key_size,
            value_bytes: self.value_size,
            filling: if self.singles { Filling::Singles } else { Filling::Txns(self.txn_puts) },
            clients: self.clients,
            connections: self.connections,
            threads: cores.min(self.connections.max(1)),
            pairs: self.pairs,
            duration: self.duration,
            warmup: self.warmup,
            restarts: self.restarts,
            rest: self.rest,
            start_limit: self.start_limit,
        }
    }

    /// The servers to start, with the same quota unless they are given one of their own.
    pub(crate) fn programs(&self) -> Vec<Program> {
        const QUOTA: &str = "--quota-backend-bytes";
        let mut programs = self.servers.programs();
        for program in &mut programs {
            if !program.flags.iter().any(|flag| flag.starts_with(QUOTA)) {
                program.flags.push(format!("{QUOTA}={}", self.quota_bytes));
            }
        }
        programs
    }

    /// Where data directories are made.
    pub(crate) fn data_root(&self) -> PathBuf {
        self.servers.data_root()
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::{Args, Command};
    use super::*;

    fn parse(line: &str) -> Result<ScaleArgs, clap::Error> {
        Args::try_parse_from(line.split(' ')).map(|args| match args.command {
            Command::Scale(args) => *args,
            other => panic!("not scale: {other:?}"),
        })
    }

    #[test]
    fn both_servers_get_the_quota_unless_a_flag_sets_it() {
        let args = parse("registry-bench scale --server s --peer p --peer-flag --quota-backend-bytes=5").unwrap();
        let flags: Vec<_> = args.programs().into_iter().map(|program| program.flags).collect();
        assert_eq!(flags, [["--quota-backend-bytes=17179869184"], ["--quota-backend-bytes=5"]]);
    }

    #[test]
    fn without_further_flags_it_is_a_million_keys_and_ten_million_revisions() {
        let plan = parse("registry-bench scale --server s").unwrap().plan();
        assert_eq!((plan.key_space, plan.revisions, plan.filling), (1_000_000, 10_000_000, Filling::Txns(100)));
        plan.validate().unwrap();
        let singles = parse("registry-bench scale --server s --singles").unwrap().plan();
        assert_eq!(singles.filling, Filling::Singles);
    }

    #[test]
    fn flags_that_make_no_sense_together_are_refused() {
        assert!(parse("registry-bench scale --peer p").is_err());
        assert!(parse("registry-bench scale --server s --peer-flag f").is_err());
        assert!(parse("registry-bench scale --server s --singles --txn-puts 5").is_err());
        assert!(parse("registry-bench scale --server s --restarts 0").is_err());
    }
}
