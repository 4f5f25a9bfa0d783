//! A service that follows its configuration: every key below a prefix, from the first list on and through every fault.
//!
//! Configuration is no service, so the SDK's watches are not for it: this is etcd's API itself, and `follow` is the
//! part to copy.
#![expect(clippy::print_stdout, reason = "the program's output")]

mod follow;

use std::process::ExitCode;

use clap::Parser;
use follow::{Change, Follower};
use registry_client::shutdown_signal;
use registry_examples::{BoxError, RegistryArgs, exit_code};

/// Prints the configuration below a prefix, and every change of it, until Ctrl-C.
///
/// `=` is a value that is new or has changed, `-` one that went, and `#` says up to which revision everything is told.
#[derive(Parser)]
#[command(after_help = "Examples:\n  config_watch /config/pay/ &\n  etcdctl put /config/pay/timeout_ms 250")]
struct Args {
    #[command(flatten)]
    registry: RegistryArgs,

    /// What the keys begin with; it ends in a `/`, so that `/config/pay` does not show `/config/payments`.
    #[arg(value_parser = prefix)]
    prefix: String,
}

fn main() -> ExitCode {
    exit_code(run(&Args::parse()))
}

#[tokio::main(flavor = "current_thread")]
async fn run(args: &Args) -> Result<(), BoxError> {
    let mut follower = Follower::new(args.registry.endpoints(), &args.prefix)?;
    let following = follower.follow(|change| match change {
        Change::Set { name, value } => println!("= {name} {value}"),
        Change::Gone { name } => println!("- {name}"),
        Change::Current { revision } => println!("# revision {revision}"),
    });
    tokio::select! {
        () = shutdown_signal() => Ok(()),
        never = following => match never {},
    }
}

fn prefix(text: &str) -> Result<String, String> {
    if text.ends_with('/') { Ok(text.to_owned()) } else { Err(format!("end it in a slash, as in {text}/")) }
}
