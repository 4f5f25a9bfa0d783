//! A process whose panics abort, and which revokes its registration all the same.
//!
//! `tests/kit/aborting_rustc` builds it and the SDK in that way. It registers the instance `1` of `pay`, says so, and panics when it reads a line.
#![expect(clippy::print_stdout, reason = "the program's output")]

use std::error::Error;
use std::time::Duration;

use registry_client::{Instance, Registry};

fn main() -> Result<(), Box<dyn Error>> {
    if cfg!(panic = "unwind") {
        return Err("its panics would unwind: build it with tests/kit/aborting_rustc".into());
    }
    let endpoint = std::env::var("HOLDER_ENDPOINT").unwrap_or_else(|_| "http://127.0.0.1:2379".to_owned());
    let namespace = std::env::var("HOLDER_NAMESPACE").unwrap_or_default();
    let registry = Registry::builder([endpoint]).namespace(namespace).build()?;
    // Nothing is dropped when a panic aborts: the hook revokes before the process ends.
    registry.revoke_on_abort();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let instance = Instance::builder("pay").id("1").endpoint("grpc", "http://10.0.0.7:9000").build()?;
    let _registration = runtime.block_on(registry.register(instance).ttl(Duration::from_secs(3600)).into_future())?;
    println!("it stands");
    std::io::stdin().read_line(&mut String::new())?;
    panic!("on purpose, with the registration held");
}
