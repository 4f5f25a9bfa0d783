//! Requests stay in the caller's zone while it has endpoints, and go elsewhere when it has not.
//!
//! The instances of two zones run in this process. Those of the caller's zone leave one after the other; no
//! request fails.
#![expect(clippy::print_stdout, reason = "the program's output")]

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use http_body_util::{BodyExt, Empty};
use registry_client::{Instance, Registration, Selector, Shutdown};
use registry_examples::{BoxError, RegistryArgs, exit_code, serve_registered};
use tokio::task::JoinSet;
use tower::{Layer, ServiceExt};
use tower_discovery::{DiscoveryLayer, HttpChannel, HttpConnect, ServedBy, Zone};

/// The service's name.
const SERVICE: &str = "zones-demo";

/// Sends requests to the instances of one zone, as long as there are any.
#[derive(Parser)]
#[command(after_help = "Examples:\n  zones\n  zones --zone b --requests 1000")]
struct Args {
    #[command(flatten)]
    registry: RegistryArgs,

    /// The caller's zone; there are instances in `a` and `b`.
    #[arg(long, default_value = "a")]
    zone: String,

    /// How many requests are sent each time.
    #[arg(long, default_value_t = 200)]
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
    let mut registrations = Vec::new();
    for zone in ["a", "a", "b", "b"] {
        let instance = Instance::builder(SERVICE).zone(zone);
        registrations.push(serve_registered(&registry, instance, zone, &mut servers).await?);
    }

    let view = registry.watch(SERVICE).start()?.select(Selector::endpoint("http"));
    let layer = DiscoveryLayer::new(view).served_by(true).locality(Zone::prefer(&args.zone));
    let channel: HttpChannel = layer.layer(HttpConnect::new());
    loop {
        let instances = registrations.len();
        let connected = channel.wait_until(|targets| targets.len() == instances);
        tokio::time::timeout(Duration::from_secs(10), connected).await?;
        let in_zone = |registration: &Registration| registration.instance().zone() == Some(args.zone.as_str());
        let here = registrations.iter().filter(|registration| in_zone(registration)).count();
        let counts: Vec<_> =
            count(&channel, args.requests).await?.iter().map(|(zone, count)| format!("{count} to {zone}")).collect();
        println!("{here} of {instances} instances in zone {}: {}", args.zone, counts.join(", "));
        let Some(leaving) = registrations.iter().position(in_zone) else {
            break;
        };
        registrations.remove(leaving).shutdown(Shutdown::new().drain(Duration::ZERO)).await?;
    }
    for registration in registrations {
        registration.shutdown(Shutdown::new().drain(Duration::ZERO)).await?;
    }
    Ok(())
}

/// Sends requests, and counts them by the zone that answered.
async fn count(channel: &HttpChannel, requests: u32) -> Result<BTreeMap<String, u32>, BoxError> {
    let mut counts = BTreeMap::new();
    for _ in 0..requests {
        let response = channel.clone().oneshot(http::Request::get("/").body(Empty::new())?).await?;
        let served = response.extensions().get::<ServedBy>().ok_or("no answer without an endpoint")?;
        let zone = served.target().instance().zone().unwrap_or("none").to_owned();
        *counts.entry(zone).or_default() += 1;
        response.into_body().collect().await?;
    }
    Ok(counts)
}
