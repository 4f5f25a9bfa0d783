//! The command line: many seeds, one seed with its timeline, and the shortest schedule that still fails.

mod args;
mod many;
mod one;
mod progress;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use self::args::{Args, Command};

/// Runs the program; fails when something was found.
#[must_use]
pub fn main() -> ExitCode {
    let args = Args::parse();
    let found_nothing = match &args.command {
        Command::Run(run) => many::run(run),
        Command::Replay(replay) => one::replay(replay),
        Command::Shrink(shrink) => one::shrink(shrink.seed),
    };
    match found_nothing {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            tell(&format!("error: {error}"));
            ExitCode::from(2)
        }
    }
}

/// The command that replays a seed, with some of its faults if not all.
pub(crate) fn replay_command(seed: u64, faults: Option<&[usize]>) -> String {
    let numbers = |faults: &[usize]| faults.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let faults = faults.map_or_else(String::new, |faults| format!(" --faults {}", numbers(faults)));
    format!("cargo run --release --bin simulate -- replay {seed}{faults}")
}

/// A line for people. A reader that is gone is no error.
fn tell(line: &str) {
    writeln!(io::stdout(), "{line}").unwrap_or_default();
}
