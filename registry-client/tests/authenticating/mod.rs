//! A client with a user: its token ends in every way in which servers end tokens, and nobody notices.

mod refused;
mod tokens;

use std::future::IntoFuture;
use std::time::Duration;

use registry_client::{Registration, Registry, RegistryBuilder};

use crate::kit::{Calls, PASSWORD, Server, instance, own_server_with, soon};

const HOUR: Duration = Duration::from_secs(3600);
const NAMESPACE: &str = "/prod";
/// Passwords that are hashed as cheaply as can be, as tests have many.
const CHEAP: &str = "--bcrypt-cost=4";

/// A server that knows the user `pay` and asks nobody yet.
async fn server_with_users(flags: &[&str]) -> Option<(Server, Calls)> {
    let server = own_server_with(&[&[CHEAP], flags].concat())?;
    let mut calls = Calls::connect(&server.endpoint).await;
    calls.add_users(NAMESPACE).await;
    Some((server, calls))
}

fn builder(server: &Server) -> RegistryBuilder {
    Registry::builder([server.endpoint.clone()]).namespace(NAMESPACE)
}

fn registry(server: &Server) -> Registry {
    builder(server).auth("pay", PASSWORD).build().unwrap()
}

/// Registers an instance whose lease outlives the test, so that one that is lost shows.
async fn registered(registry: &Registry, id: &str) -> Registration {
    soon("it registers", registry.register(instance(id)).ttl(HOUR).into_future()).await.unwrap()
}

fn key(id: &str) -> String {
    format!("{NAMESPACE}/services/pay/{id}")
}

/// Everything that a client does works, and the instance stands under the lease that it had.
async fn all_is_well(registry: &Registry, registration: &Registration, calls: &mut Calls, lease: i64) {
    let weight = 1 + registration.instance().weight();
    soon("it is updated", registration.update(|instance| instance.set_weight(weight))).await.unwrap();
    // A watch that nobody had yet has to be created on the stream that is there.
    let service = format!("other-{weight}");
    let watch = registry.watch(service).start().unwrap();
    soon("another service is watched", watch.synced()).await.unwrap();
    let other = registered(registry, &format!("other-{weight}")).await;
    let pay = registry.watch("pay").start().unwrap();
    let mut changes = pay.changes();
    let seen = async {
        use futures_util::StreamExt;
        while let Some(now) = changes.next().await {
            let is_new = |id: &str, weight: u32| now.instances().iter().any(|i| i.id() == id && i.weight() == weight);
            if is_new(&format!("other-{weight}"), 100) && is_new("1", weight) {
                return true;
            }
        }
        false
    };
    assert!(soon("what was changed is seen", seen).await);
    drop(other);
    let key = key("1");
    assert_eq!(calls.get(&key).await.unwrap().lease, lease);
}
