//! Prints the instances of a service once.
#![expect(clippy::print_stdout, reason = "the program's output")]

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use registry_examples::{BoxError, RegistryArgs, exit_code};

/// Prints the instances of a service, one in a line.
#[derive(Parser)]
#[command(after_help = "Examples:\n  discover pay\n  discover pay --registry http://10.0.0.1:2379 --namespace /prod")]
struct Args {
    #[command(flatten)]
    registry: RegistryArgs,

    /// The service's name.
    service: String,

    /// How long to wait for the registry, in seconds.
    #[arg(long, default_value_t = 5)]
    timeout: u64,
}

fn main() -> ExitCode {
    exit_code(run(&Args::parse()))
}

#[tokio::main(flavor = "current_thread")]
async fn run(args: &Args) -> Result<(), BoxError> {
    let watch = args.registry.build()?.watch(&args.service).start()?;
    let limit = Duration::from_secs(args.timeout);
    let synced = tokio::time::timeout(limit, watch.synced()).await;
    synced.map_err(|_| format!("the registry has not answered within {limit:?}"))??;
    for instance in watch.snapshot().instances() {
        let endpoints: Vec<_> = instance.endpoints().map(|(name, endpoint)| format!("{name}={endpoint}")).collect();
        println!("{}\t{:?}\t{}", instance.id(), instance.status(), endpoints.join(" "));
    }
    Ok(())
}
