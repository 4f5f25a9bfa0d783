//! The whole of it in one run: a registry, services that come, go and crash, and a client that notices.
//!
//! `story` is the run; `registry` starts the registry in this process, `children` starts this same program
//! as services (`greeter`), `traffic` calls them through the balancer, `display` shows it, and `report`
//! sums up and judges. The exit code says whether every promise was kept.
#![expect(clippy::print_stdout, reason = "the program's output")]

mod children;
mod display;
mod greeter;
mod registry;
mod report;
mod story;
mod traffic;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use registry_examples::{BoxError, exit_code};

/// Starts a registry and three services, and calls them while instances come, end and crash.
///
/// It takes about 15 seconds and needs nothing but this program. The exit code is 0 if every promise held.
#[derive(Parser)]
#[command(
    after_help = "Examples:\n  quickstart\n  quickstart --callers 64 --ttl 5\n  quickstart --plain | tee run.txt"
)]
struct Args {
    #[command(subcommand)]
    role: Option<Role>,

    /// How long a registration outlives a crash, in seconds.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(2..=30))]
    ttl: u64,

    /// How many requests are under way at the same time.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..=1000))]
    callers: u64,

    /// Lines instead of a live table.
    #[arg(long)]
    plain: bool,
}

#[derive(Subcommand)]
enum Role {
    /// Serves greetings until SIGTERM or the end of standard input.
    #[command(hide = true)]
    Serve(greeter::Args),
}

fn main() -> ExitCode {
    let args = Args::parse();
    match args.role {
        Some(Role::Serve(serve)) => exit_code(greeter::run(serve)),
        None => match run(&story::Plot {
            ttl: Duration::from_secs(args.ttl),
            callers: args.callers as usize,
            plain: args.plain,
        }) {
            Ok(report) => {
                print!("{report}");
                if report.is_kept() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
            }
            Err(error) => exit_code(Err(error)),
        },
    }
}

#[tokio::main(worker_threads = 2)]
async fn run(plot: &story::Plot) -> Result<report::Report, BoxError> {
    story::tell(plot).await
}
