//! The command line.

mod compare;
mod instances;
mod scale;
mod snapshots;
mod stall;
mod upkeep;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Parser, Subcommand};
pub(crate) use compare::CompareArgs;
pub(crate) use instances::InstancesArgs;
use registry_bench::load::{Amount, KeyOrder, Load, Work};
use registry_bench::process::Program;
pub(crate) use scale::ScaleArgs;
pub(crate) use snapshots::SnapshotsArgs;
pub(crate) use stall::StallArgs;
pub(crate) use upkeep::UpkeepArgs;

const EXAMPLES: &str = "\
Examples:
  A server that runs already:
    registry-bench run put --endpoint http://127.0.0.1:2379 --clients 100 --connections 10
  Two servers in turn, five pairs, with ratios:
    registry-bench run get --server target/release/registry-server --peer /usr/bin/etcd \\
      --clients 1000 --connections 100
  Latency of watch events at a fixed rate of puts (open loop):
    registry-bench run watch --server target/release/registry-server --rate 200 --watchers 100
  Fan-out as fast as it goes, 1,000 watchers on 100 streams:
    registry-bench run watch --server target/release/registry-server --clients 100 --connections 100 \\
      --watchers 1000

In an open loop (--rate) an operation counts from when it was due, so a server that stalls is charged for all
operations that had to wait. CPU is user plus system time of the server process over the measured phase.";

/// Puts load on servers that speak etcd's v3 API, and compares two of them in turn.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs one kind of work and prints figures.
    #[command(after_help = EXAMPLES)]
    Run(Box<RunArgs>),
    /// Compares two servers in every row of the published tables, and says which goals are met.
    #[command(after_help = compare::after_help())]
    Compare(Box<CompareArgs>),
    /// Compares servers with millions of revisions: memory, disk, puts and gets, restarts.
    #[command(after_help = scale::EXAMPLES)]
    Scale(Box<ScaleArgs>),
    /// Compares the lag of fast watchers, and the server's memory, without and with watchers that stop reading.
    #[command(after_help = stall::EXAMPLES)]
    Stall(Box<StallArgs>),
    /// Compares the latency of puts in quiet times and beside defragmentation, compaction and snapshots.
    #[command(after_help = upkeep::EXAMPLES)]
    Upkeep(Box<UpkeepArgs>),
    /// Measures a service with thousands of instances: registering, first snapshots, changes, rest.
    #[command(after_help = instances::EXAMPLES)]
    Instances(Box<InstancesArgs>),
    /// Compares the time and memory that snapshots of a large store take: saving, checking, restoring.
    #[command(after_help = snapshots::EXAMPLES)]
    Snapshots(Box<SnapshotsArgs>),
}

/// The servers of a comparison that always starts them.
#[derive(Debug, ClapArgs)]
struct Servers {
    /// The server to start and measure.
    #[arg(long, value_name = "PATH")]
    server: PathBuf,
    /// Another server to measure in turn with the first in the same way, etcd for one.
    #[arg(long, value_name = "PATH")]
    peer: Option<PathBuf>,
    /// A further flag for the server; may be given several times.
    #[arg(long, value_name = "FLAG", allow_hyphen_values = true)]
    server_flag: Vec<String>,
    /// A further flag for the peer; may be given several times.
    #[arg(long, value_name = "FLAG", requires = "peer", allow_hyphen_values = true)]
    peer_flag: Vec<String>,
    /// Where servers get their data directories; a real disk, or syncs cost nothing. The system's temporary
    /// directory unless given.
    #[arg(long, value_name = "DIR")]
    data_root: Option<PathBuf>,
}

impl Servers {
    fn programs(&self) -> Vec<Program> {
        let peer = self.peer.as_ref().map(|path| (path, &self.peer_flag));
        programs((&self.server, &self.server_flag), peer)
    }

    fn data_root(&self) -> PathBuf {
        self.data_root.clone().unwrap_or_else(std::env::temp_dir)
    }
}

/// One measurement.
#[derive(Debug, ClapArgs)]
pub(crate) struct RunArgs {
    /// What one operation is.
    work: Work,

    /// A server that runs already, as http://host:port.
    #[arg(long, value_name = "URL", required_unless_present = "server", conflicts_with = "server")]
    pub(crate) endpoint: Option<String>,
    /// The server to start and measure.
    #[arg(long, value_name = "PATH")]
    server: Option<PathBuf>,
    /// Another server to start in turn with the first and to compare it with, etcd for one.
    #[arg(long, value_name = "PATH", requires = "server", conflicts_with = "endpoint")]
    peer: Option<PathBuf>,
    /// A further flag for the server; may be given several times.
    #[arg(long, value_name = "FLAG", requires = "server", conflicts_with = "endpoint", allow_hyphen_values = true)]
    server_flag: Vec<String>,
    /// A further flag for the peer; may be given several times.
    #[arg(long, value_name = "FLAG", requires = "peer", allow_hyphen_values = true)]
    peer_flag: Vec<String>,
    /// How often each server is started and measured.
    #[arg(long, default_value_t = 5, value_parser = at_least_one)]
    pub(crate) pairs: usize,
    /// Members of each server, all on loopback; connections go around them.
    #[arg(long, default_value_t = 1, value_parser = nodes, conflicts_with = "endpoint")]
    pub(crate) nodes: usize,
    /// Where servers get their data directories; a real disk, or syncs cost nothing. The system's temporary
    /// directory unless given.
    #[arg(long, value_name = "DIR")]
    data_root: Option<PathBuf>,
    /// Also write everything to this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Clients with one operation each under way; for watch, streams.
    #[arg(long, default_value_t = 1)]
    clients: usize,
    /// Connections that the clients share.
    #[arg(long, default_value_t = 1)]
    connections: usize,
    /// Threads of the generator; as many as cores unless given, and never more than connections.
    #[arg(long)]
    threads: Option<usize>,
    /// How many operations are measured (for watch: puts).
    #[arg(long, conflicts_with = "duration")]
    ops: Option<u64>,
    /// How long is measured, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    duration: Duration,
    /// How long the load runs before that, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    warmup: Duration,
    /// Open loop: so many operations a second (for watch: puts), whatever the server does.
    #[arg(long, value_name = "PER_SECOND")]
    rate: Option<f64>,

    /// Length of a key in bytes.
    #[arg(long, value_name = "BYTES", default_value_t = 16)]
    key_size: usize,
    /// Length of a value in bytes.
    #[arg(long, value_name = "BYTES", default_value_t = 256)]
    value_size: usize,
    /// How many keys there are; they are put first if reads need them.
    #[arg(long, value_name = "KEYS", default_value_t = 100_000)]
    key_space: u64,
    /// In which order keys are taken.
    #[arg(long, value_enum, default_value_t = KeyOrder::Sequential)]
    keys: KeyOrder,
    /// get, range: let the server answer without asking the quorum.
    #[arg(long)]
    serializable: bool,
    /// range: how many keys.
    #[arg(long, default_value_t = 1_000)]
    range_keys: u64,
    /// txn: how many puts.
    #[arg(long, default_value_t = 8)]
    txn_puts: u64,
    /// watch: how many watchers, shared out among the streams.
    #[arg(long, default_value_t = 100)]
    watchers: usize,
    /// watch: give each watcher a key of its own, so that a put is one event and not one for each watcher.
    #[arg(long)]
    spread: bool,
    /// watch, closed loop: how many puts may wait for their events to arrive.
    #[arg(long, default_value_t = 16)]
    window: u64,
}

impl RunArgs {
    /// The load that is asked for.
    pub(crate) fn load(&self) -> Load {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Load {
            work: self.work,
            clients: self.clients,
            connections: self.connections,
            threads: self.threads.unwrap_or_else(|| cores.min(self.connections)),
            amount: self.ops.map_or(Amount::Time(self.duration), Amount::Ops),
            warmup: self.warmup,
            rate: self.rate,
            key_bytes: self.key_size,
            value_bytes: self.value_size,
            key_space: self.key_space,
            key_order: self.keys,
            serializable: self.serializable,
            range_keys: self.range_keys,
            txn_puts: self.txn_puts,
            watchers: self.watchers,
            spread: self.spread,
            window: self.window,
        }
    }

    /// The servers to start, in turn.
    pub(crate) fn programs(&self) -> Vec<Program> {
        let peer = self.peer.as_ref().map(|path| (path, &self.peer_flag));
        self.server.as_ref().map_or_else(Vec::new, |path| programs((path, &self.server_flag), peer))
    }

    /// Where data directories are made.
    pub(crate) fn data_root(&self) -> PathBuf {
        self.data_root.clone().unwrap_or_else(std::env::temp_dir)
    }
}

/// A server with its flags and perhaps a peer with its own, under different names.
fn programs(server: (&PathBuf, &Vec<String>), peer: Option<(&PathBuf, &Vec<String>)>) -> Vec<Program> {
    match peer {
        Some(peer) => pair(server, peer).into(),
        None => vec![program(server)],
    }
}

fn pair(server: (&PathBuf, &Vec<String>), peer: (&PathBuf, &Vec<String>)) -> [Program; 2] {
    let (mut server, mut peer) = (program(server), program(peer));
    if server.name == peer.name {
        // Two builds of the same program.
        server.name.push_str(" (server)");
        peer.name.push_str(" (peer)");
    }
    [server, peer]
}

fn program((path, flags): (&PathBuf, &Vec<String>)) -> Program {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    Program { name, path: path.clone(), flags: flags.clone() }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// As many members as can lose one in turn: 1, 3, 5 or 7.
fn nodes(text: &str) -> Result<usize, String> {
    let odd = |count: &usize| [1, 3, 5, 7].contains(count);
    text.parse().ok().filter(odd).ok_or_else(|| "must be 1, 3, 5 or 7".to_owned())
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|count| *count > 0).ok_or_else(|| "must be at least 1".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_server_or_an_endpoint_is_needed_and_not_both() {
        let parse = |line: &str| Args::try_parse_from(line.split(' ')).map(|args| args.command);
        assert!(parse("registry-bench run put").is_err());
        assert!(parse("registry-bench run put --endpoint http://a:1 --server s").is_err());
        assert!(parse("registry-bench run put --endpoint http://a:1 --peer p").is_err());
        let Ok(Command::Run(args)) = parse("registry-bench run watch --server s --peer s --duration 0.5") else {
            panic!("a line that is right was refused");
        };
        let names: Vec<String> = args.programs().into_iter().map(|program| program.name).collect();
        assert_eq!(names, ["s (server)", "s (peer)"]);
        assert_eq!(args.load().amount, Amount::Time(Duration::from_millis(500)));
    }
}
