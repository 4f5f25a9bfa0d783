//! An axum service that registers itself, and a client that is balanced over its instances.
#![expect(clippy::print_stdout, reason = "the program's output")]

use std::process::ExitCode;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use clap::{Parser, Subcommand};
use http_body_util::{BodyExt, Empty};
use registry_client::{HealthCheck, Instance, Registry, Selector, Shutdown};
use registry_examples::{BoxError, RegistryArgs, exit_code};
use tokio::net::TcpListener;
use tower::{Layer, ServiceExt};
use tower_discovery::{DiscoveryLayer, HttpChannel, HttpConnect, ServedBy};

/// How long clients have to see that an instance is draining.
const NOTICE: Duration = Duration::from_secs(1);

/// An HTTP service that registers itself, and its client.
#[derive(Parser)]
#[command(after_help = "Examples:\n  http_service serve &\n  http_service serve &\n  http_service call --times 10")]
struct Args {
    #[command(flatten)]
    registry: RegistryArgs,

    #[command(subcommand)]
    role: Role,
}

#[derive(Subcommand)]
enum Role {
    /// Serves until Ctrl-C or SIGTERM.
    Serve,
    /// Sends requests, each to the better of two instances.
    Call {
        /// How many.
        #[arg(long, default_value_t = 5)]
        times: u32,
    },
}

fn main() -> ExitCode {
    exit_code(run(&Args::parse()))
}

#[tokio::main(flavor = "current_thread")]
async fn run(args: &Args) -> Result<(), BoxError> {
    let registry = args.registry.build()?;
    match &args.role {
        Role::Serve => serve(&registry).await,
        Role::Call { times } => call(&registry, *times).await,
    }
}

async fn serve(registry: &Registry) -> Result<(), BoxError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let hello = move || async move { format!("hello from {address}\n") };
    let router = Router::new().route("/", get(hello)).route("/healthz", get(|| async { "well\n" }));
    println!("{address} serves hello");

    // Registered while it serves, up once /healthz answers; at the end visible as draining, clients have had time,
    // what is under way ends, the lease goes.
    registry
        .serve(Instance::builder("hello").build()?, listener, |listener, stop| {
            axum::serve(listener, router).with_graceful_shutdown(stop.stopped()).into_future()
        })
        .health(HealthCheck::http(format!("http://{address}"), "/healthz")?)
        .shutdown(Shutdown::new().drain(NOTICE))
        .await?;
    Ok(())
}

async fn call(registry: &Registry, times: u32) -> Result<(), BoxError> {
    let view = registry.watch("hello").start()?.select(Selector::endpoint("http"));
    let channel: HttpChannel = DiscoveryLayer::new(view).served_by(true).layer(HttpConnect::new());
    for _ in 0..times {
        let response = channel.clone().oneshot(http::Request::get("/").body(Empty::new())?).await?;
        let served = response.extensions().get::<ServedBy>().map(|served| served.target().to_string());
        let body = response.into_body().collect().await?.to_bytes();
        println!("{}: {}", served.unwrap_or_default(), String::from_utf8_lossy(&body).trim_end());
    }
    Ok(())
}
