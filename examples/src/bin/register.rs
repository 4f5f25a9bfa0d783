//! Registers an instance and holds it until the process is told to end.
#![expect(clippy::print_stdout, reason = "the program's output")]

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use registry_client::{Instance, Shutdown, shutdown_signal};
use registry_examples::{BoxError, RegistryArgs, exit_code};

/// Registers an instance and holds it until Ctrl-C or SIGTERM.
///
/// Then it is shown as draining, and its lease is revoked.
#[derive(Parser)]
#[command(after_help = "Examples:\n  register pay http://10.0.0.7:9000\n  \
    register pay http://10.0.0.7:9000 --name http --zone a --tag stable --ttl 5")]
struct Args {
    #[command(flatten)]
    registry: RegistryArgs,

    /// The service's name.
    service: String,

    /// Where the instance listens.
    endpoint: String,

    /// The endpoint's name.
    #[arg(long, default_value = "grpc")]
    name: String,

    /// The instance's id; random unless given.
    #[arg(long)]
    id: Option<String>,

    /// The failure domain.
    #[arg(long)]
    zone: Option<String>,

    /// A word to select by; may be given several times.
    #[arg(long)]
    tag: Vec<String>,

    /// The share of the traffic, relative to the other instances.
    #[arg(long, default_value_t = 100)]
    weight: u32,

    /// How long the registration outlives a crash, in seconds.
    #[arg(long, default_value_t = 15)]
    ttl: u64,
}

fn main() -> ExitCode {
    exit_code(run(&Args::parse()))
}

#[tokio::main(flavor = "current_thread")]
async fn run(args: &Args) -> Result<(), BoxError> {
    let registry = args.registry.build()?;
    let registering = registry.register(instance(args)?).ttl(Duration::from_secs(args.ttl));
    let registration = registering.await?;
    println!("registered {}/{}", args.service, registration.instance().id());

    let mut state = registration.state();
    let told_to_end = shutdown_signal();
    tokio::pin!(told_to_end);
    loop {
        tokio::select! {
            () = &mut told_to_end => break,
            changed = state.changed() => println!("{:?}", changed?),
        }
    }
    registration.shutdown(Shutdown::new()).await?;
    println!("lease revoked");
    Ok(())
}

fn instance(args: &Args) -> Result<Instance, BoxError> {
    let mut builder = Instance::builder(&args.service).endpoint(&args.name, args.endpoint.as_str()).weight(args.weight);
    if let Some(id) = &args.id {
        builder = builder.id(id);
    }
    if let Some(zone) = &args.zone {
        builder = builder.zone(zone);
    }
    for tag in &args.tag {
        builder = builder.tag(tag);
    }
    Ok(builder.build()?)
}
