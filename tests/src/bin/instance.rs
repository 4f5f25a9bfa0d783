//! A process that holds one registration: the suites start it, and kill it or tell it to stop.
//!
//! Its arguments are the instance's id, the TTL in seconds, and the members' URLs. It stops when its standard input
//! ends, and has then given its lease back, or says with its status that it could not.

use std::error::Error;
use std::io::Read;
use std::process::ExitCode;
use std::time::Duration;

use registry_client::{Instance, Registry, Shutdown};
use tokio::select;

/// The service that it is an instance of.
const SERVICE: &str = "process";

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stderr, reason = "a failed test shows it")]
async fn main() -> ExitCode {
    match hold().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("instance: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn hold() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let id = arguments.next().ok_or("no id")?;
    let ttl = arguments.next().ok_or("no TTL")?.parse().map(Duration::from_secs)?;
    let registry = Registry::builder(arguments).build()?;
    let instance = Instance::builder(SERVICE).id(id).endpoint("grpc", "http://10.0.0.1:9000").build()?;
    let mut told = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    let registration = select! {
        registered = registry.register(instance).ttl(ttl) => registered?,
        _ = &mut told => return Err("stopped before it stood".into()),
    };
    drop(told.await);
    Ok(registration.shutdown(Shutdown::new().drain(Duration::ZERO).deadline(Duration::from_secs(10))).await?)
}
