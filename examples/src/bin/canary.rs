//! A new version of a service takes a small share of the requests, then a larger one: a canary by weight.
//!
//! Both versions run in this process. The weights stand in the registry, where any operator can change them; a
//! changed weight keeps every connection.
#![expect(clippy::print_stdout, reason = "the program's output")]

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use http_body_util::{BodyExt, Empty};
use registry_client::{Instance, Selector, Shutdown};
use registry_examples::{BoxError, RegistryArgs, exit_code, serve_registered};
use tokio::task::JoinSet;
use tower::{Layer, ServiceExt};
use tower_discovery::{DiscoveryLayer, HttpChannel, HttpConnect, LoadMetric, ServedBy};

/// The service's name.
const SERVICE: &str = "canary-demo";

/// Shares requests between two versions of a service by their weights.
#[derive(Parser)]
#[command(after_help = "Examples:\n  canary\n  canary --weights 1,10,50 --requests 5000")]
struct Args {
    #[command(flatten)]
    registry: RegistryArgs,

    /// The weights that the new version is given, one after the other; the old one keeps 95.
    #[arg(long, value_delimiter = ',', default_values_t = [5, 95])]
    weights: Vec<u32>,

    /// How many requests are sent with each weight.
    #[arg(long, default_value_t = 1000)]
    requests: u32,
}

fn main() -> ExitCode {
    exit_code(run(&Args::parse()))
}

#[tokio::main(flavor = "current_thread")]
async fn run(args: &Args) -> Result<(), BoxError> {
    let registry = args.registry.build()?;
    let _guard = registry.guard();
    let mut servers = JoinSet::new();
    let instance = |version, weight| Instance::builder(SERVICE).version(version).weight(weight);
    let old = serve_registered(&registry, instance("1.0.0", 95), "1.0.0", &mut servers).await?;
    let first = instance("1.1.0", args.weights.first().copied().unwrap_or(5));
    let new = serve_registered(&registry, first, "1.1.0", &mut servers).await?;

    let view = registry.watch(SERVICE).start()?.select(Selector::endpoint("http"));
    // By pending requests: by latency, the faster of two versions would get more than its weight says, which is what a service
    // wants and somebody who compares versions does not.
    let layer = DiscoveryLayer::new(view).served_by(true).load(LoadMetric::pending_requests());
    let channel: HttpChannel = layer.layer(HttpConnect::new());
    for &weight in &args.weights {
        new.update(|instance| instance.set_weight(weight)).await?;
        // Both are connected, and the client has seen the weight.
        let seen = |targets: &[tower_discovery::Target]| {
            targets.len() == 2 && targets.iter().any(|target| is_new(target) && target.instance().weight() == weight)
        };
        tokio::time::timeout(Duration::from_secs(10), channel.wait_until(seen)).await?;
        let served = count(&channel, args.requests).await?;
        println!("weight {weight}: {served} of {} requests to 1.1.0", args.requests);
    }

    for registration in [new, old] {
        registration.shutdown(Shutdown::new().drain(Duration::ZERO)).await?;
    }
    Ok(())
}

fn is_new(target: &tower_discovery::Target) -> bool {
    target.instance().version() == Some("1.1.0")
}

/// Sends requests, and counts those that the new version answered.
async fn count(channel: &HttpChannel, requests: u32) -> Result<u32, BoxError> {
    let mut by_new = 0;
    for _ in 0..requests {
        let response = channel.clone().oneshot(http::Request::get("/").body(Empty::new())?).await?;
        by_new += u32::from(response.extensions().get::<ServedBy>().is_some_and(|served| is_new(served.target())));
        response.into_body().collect().await?;
    }
    Ok(by_new)
}
