//! Prints every change of a service's instances as it comes.
#![expect(clippy::print_stdout, reason = "the program's output")]

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use futures_util::StreamExt;
use registry_client::{Discovered, shutdown_signal};
use registry_examples::{BoxError, RegistryArgs, exit_code};

/// Prints every change of a service's instances, until Ctrl-C.
///
/// `+` is an instance that came, `~` one that changed, `-` one that went.
#[derive(Parser)]
#[command(after_help = "Examples:\n  watch pay\n  REGISTRY=http://10.0.0.1:2379 watch pay")]
struct Args {
    #[command(flatten)]
    registry: RegistryArgs,

    /// The service's name.
    service: String,
}

fn main() -> ExitCode {
    exit_code(run(&Args::parse()))
}

#[tokio::main(flavor = "current_thread")]
async fn run(args: &Args) -> Result<(), BoxError> {
    let watch = args.registry.build()?.watch(&args.service).start()?;
    let mut changes = watch.changes();
    let mut known: BTreeMap<String, Arc<Discovered>> = BTreeMap::new();
    let told_to_end = shutdown_signal();
    tokio::pin!(told_to_end);
    loop {
        let snapshot = tokio::select! {
            () = &mut told_to_end => return Ok(()),
            snapshot = changes.next() => snapshot.ok_or("the watch has ended")?,
        };
        let mut before = std::mem::take(&mut known);
        for instance in snapshot.instances() {
            match before.remove(instance.id()) {
                None => print('+', instance),
                Some(old) if old.mod_revision() != instance.mod_revision() => print('~', instance),
                Some(_) => {}
            }
            known.insert(instance.id().to_owned(), Arc::clone(instance));
        }
        before.values().for_each(|gone| print('-', gone));
        println!("# revision {}, {} instances, {:?}", snapshot.revision(), known.len(), snapshot.freshness());
    }
}

fn print(sign: char, instance: &Discovered) {
    let endpoints: Vec<_> = instance.endpoints().map(|(name, endpoint)| format!("{name}={endpoint}")).collect();
    println!("{sign} {} {:?} {}", instance.id(), instance.status(), endpoints.join(" "));
}
