//! How a registration fares, told to whoever reads standard error.

use std::future::pending;
use std::time::Duration;

use registry_client::{Error, Instance, LeaseState, Registry, StateReceiver};

use crate::output::tell;
use crate::sdk;

/// Until then nobody wants to be told that the registry has not answered.
const PATIENCE: Duration = Duration::from_secs(2);

/// Tells once why an instance is not registered yet, if that takes long. Never ends.
pub(super) async fn away(registry: &Registry, instance: &Instance) {
    tokio::time::sleep(PATIENCE).await;
    let name = format!("{}/{}", instance.service(), instance.id());
    let why = match registry.connect().await {
        Ok(()) => "the registry is there, and its answer or the id is waited for".to_owned(),
        Err(error) => sdk::told(&error),
    };
    tell(&format!("{name} is not registered yet, and is as soon as that can be: {why}"));
    pending::<()>().await;
}

/// Waits until the registration is lost for good, and says why; what can heal is told meanwhile.
pub(super) async fn lost(mut state: StateReceiver, name: &str) -> Error {
    let (mut last, mut in_doubt) = (LeaseState::Active, false);
    loop {
        let Ok(now) = state.wait_for(|now| *now != last).await else { return pending().await };
        match &now {
            LeaseState::Closed(Some(error)) => return Error::clone(error),
            LeaseState::Active if in_doubt => {
                in_doubt = false;
                tell(&format!("{name} is registered again"));
            }
            now => {
                if let Some(error) = now.error() {
                    in_doubt = true;
                    tell(&format!("{name}: {}{}", sdk::told(error), mend(error)));
                }
            }
        }
        last = now;
    }
}

/// What goes on meanwhile, and what to do.
fn mend(error: &Error) -> &'static str {
    match error {
        Error::Tombstone { .. } => ": `registryctl remove SERVICE INSTANCE --undo` lets it come back",
        Error::Refused { .. } => ": it is tried again; see what the user may do",
        _ => ": it is tried again",
    }
}
