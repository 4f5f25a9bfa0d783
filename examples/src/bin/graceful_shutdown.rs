//! A service in a container: it listens on every interface, is registered under the pod's address, and at SIGTERM it
//! drains before it ends, so that no request fails.
#![expect(clippy::print_stdout, reason = "the program's output")]

use std::process::ExitCode;
use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::routing::get;
use clap::Parser;
use registry_client::{Advertise, Instance, Shutdown};
use registry_examples::{BoxError, RegistryArgs, exit_code};
use tokio::net::TcpListener;

/// Serves until SIGTERM or Ctrl-C, then drains, finishes what is under way, and revokes its lease.
///
/// In Kubernetes, give the pod its own address and more time than --deadline:
///
///   env: [{name: POD_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}]
///   terminationGracePeriodSeconds: 30
#[derive(Parser)]
#[command(verbatim_doc_comment, after_help = "Example:\n  POD_IP=127.0.0.1 graceful_shutdown --port 8080")]
struct Args {
    #[command(flatten)]
    registry: RegistryArgs,

    /// The port on every interface; 0 for any.
    #[arg(long, default_value_t = 8080)]
    port: u16,

    /// The environment variable that holds the address at which others reach this container.
    #[arg(long, default_value = "POD_IP")]
    address_from: String,

    /// How long clients have to see that the instance is draining, in milliseconds.
    #[arg(long, default_value_t = 2_000)]
    drain_ms: u64,

    /// How long all of the end may take, in milliseconds.
    #[arg(long, default_value_t = 25_000)]
    deadline_ms: u64,
}

fn main() -> ExitCode {
    exit_code(run(&Args::parse()))
}

#[tokio::main(flavor = "current_thread")]
async fn run(args: &Args) -> Result<(), BoxError> {
    let registry = args.registry.build()?;
    let listener = TcpListener::bind(("0.0.0.0", args.port)).await?;
    println!("listening on port {}", listener.local_addr()?.port());

    let router = Router::new().route("/sleep/{ms}", get(sleep));
    let shutdown =
        Shutdown::new().drain(Duration::from_millis(args.drain_ms)).deadline(Duration::from_millis(args.deadline_ms));
    registry
        .serve(Instance::builder("sleeper").build()?, listener, |listener, stop| {
            axum::serve(listener, router).with_graceful_shutdown(stop.stopped()).into_future()
        })
        .advertise(Advertise::env(&args.address_from))
        .shutdown(shutdown)
        .await?;
    println!("ended in order");
    Ok(())
}

/// A request that takes its time.
async fn sleep(Path(ms): Path<u64>) -> String {
    tokio::time::sleep(Duration::from_millis(ms)).await;
    format!("slept for {ms} ms\n")
}
