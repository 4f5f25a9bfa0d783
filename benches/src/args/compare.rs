//! The command line of `compare`.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, ValueEnum};
use registry_bench::compare::{Plan, Row};
use registry_bench::process::Program;

use super::{at_least_one, nodes, seconds};

const EXAMPLES: &str = "\
Examples:
  Every row, five pairs, beside etcd:
    registry-bench compare --server target/release/registry-server --peer /usr/bin/etcd --data-root /var/tmp \\
      --json compare.json --svg compare.svg
  Clusters of three, two of the rows, short:
    registry-bench compare --server target/release/registry-server --peer /usr/bin/etcd --nodes 3 \\
      --rows put,get --pairs 1 --duration 3

Each run is on fresh data, the servers in turn. The connections of a load go around the members, the first to the one that leads;
CPU and memory are summed over the members. A goal is met when the median of the ratios of at least five pairs meets it.
--json and --svg are written after each row.";

/// The rows by name, and examples.
pub(super) fn after_help() -> String {
    let mut text = "Rows:\n".to_owned();
    for row in Row::value_variants() {
        let Some(value) = row.to_possible_value() else { continue };
        let about = value.get_help().map(ToString::to_string).unwrap_or_default();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {:18} {about}", value.get_name());
    }
    text + "\n" + EXAMPLES
}

/// One comparison.
#[derive(Debug, ClapArgs)]
pub(crate) struct CompareArgs {
    /// The server to start and measure.
    #[arg(long, value_name = "PATH")]
    server: PathBuf,
    /// The server to measure in turn with it, etcd for one.
    #[arg(long, value_name = "PATH")]
    peer: PathBuf,
    /// A further flag for the server; may be given several times.
    #[arg(long, value_name = "FLAG", allow_hyphen_values = true)]
    server_flag: Vec<String>,
    /// A further flag for the peer; may be given several times.
    #[arg(long, value_name = "FLAG", allow_hyphen_values = true)]
    peer_flag: Vec<String>,
    /// Where servers get their data directories; a real disk, or syncs cost nothing. The system's temporary
    /// directory unless given.
    #[arg(long, value_name = "DIR")]
    data_root: Option<PathBuf>,
    /// Write everything to this file, anew after each row.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Draw the ratios against the goals into this file, anew after each row.
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,

    /// What to measure; all rows unless given.
    #[arg(long, value_enum, value_delimiter = ',', hide_possible_values = true)]
    rows: Vec<Row>,
    /// Members of each server, all on loopback.
    #[arg(long, default_value_t = 1, value_parser = nodes)]
    nodes: usize,
    /// How often each server is started and measured in each row.
    #[arg(long, default_value_t = 5, value_parser = at_least_one)]
    pairs: usize,
    /// How long a load is measured, each time, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    duration: Duration,
    /// How long the load runs before that, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    warmup: Duration,
}

impl CompareArgs {
    /// What is asked for.
    pub(crate) fn plan(&self) -> Plan {
        let plan = Plan {
            nodes: self.nodes,
            pairs: self.pairs,
            duration: self.duration,
            warmup: self.warmup,
            ..Plan::default()
        };
        if self.rows.is_empty() { plan } else { Plan { rows: self.rows.clone(), ..plan } }
    }

    /// The server and the peer.
    pub(crate) fn programs(&self) -> [Program; 2] {
        super::pair((&self.server, &self.server_flag), (&self.peer, &self.peer_flag))
    }

    /// Where data directories are made.
    pub(crate) fn data_root(&self) -> PathBuf {
        self.data_root.clone().unwrap_or_else(std::env::temp_dir)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::{Args, Command};
    use super::*;

    fn parse(line: &str) -> Result<CompareArgs, clap::Error> {
        Args::try_parse_from(line.split(' ')).map(|args| match args.command {
            Command::Compare(args) => *args,
            other => panic!("not compare: {other:?}"),
        })
    }

    #[test]
    fn without_further_flags_it_is_every_row_in_five_pairs() {
        let args = parse("registry-bench compare --server a/s --peer b/s").unwrap();
        let plan = args.plan();
        assert_eq!((plan.rows.as_slice(), plan.nodes, plan.pairs), (Row::all(), 1, 5));
        plan.validate().unwrap();
        assert_eq!(args.programs().map(|program| program.name), ["s (server)", "s (peer)"]);
    }

    #[test]
    fn rows_are_picked_by_name() {
        let plan = parse("registry-bench compare --server s --peer p --rows lag,put-1 --nodes 3").unwrap().plan();
        assert_eq!((plan.rows, plan.nodes), (vec![Row::Lag, Row::Put1], 3));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in ["--server s", "--peer p", "--server s --peer p --rows nothing", "--server s --peer p --nodes 2"] {
            assert!(parse(&format!("registry-bench compare {line}")).is_err(), "{line}");
        }
        for flag in ["--pairs 0", "--duration x", "--duration -1"] {
            assert!(parse(&format!("registry-bench compare --server s --peer p {flag}")).is_err(), "{flag}");
        }
    }

    #[test]
    fn the_help_names_every_row() {
        let help = after_help();
        assert!(Row::all().iter().all(|row| help.contains(&format!("\n  {} ", row.name()))), "{help}");
    }
}
