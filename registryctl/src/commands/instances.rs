//! `instances`: one service's instances with all that is known of them, or those that were removed.

use std::collections::BTreeSet;

use clap::Args as ClapArgs;
use registry_client::Instance;
use registry_proto::mvccpb::KeyValue;
use serde_json::{Value, json};

use super::registry::lease_times::{self, Left};
use super::registry::{Namespace, addresses, instance_json, metadata, name_of, records};
use super::services;
use crate::connect::{self, Connection};
use crate::error::CtlError;
use crate::global::Global;
use crate::output::{List, plain, print, tell};
use crate::sdk;

const EXAMPLES: &str = "\
Examples:
  registryctl instances pay
  registryctl instances pay -w table
  registryctl instances pay -w json | jq -r '.instances[].endpoints.grpc'
  registryctl instances pay --removed

TTL is what remains of the lease and what it was granted, in seconds. An instance without a lease stays until somebody
deletes it.";

const HEAD: [&str; 10] = ["ID", "STATUS", "ADDRESS", "ZONE", "VERSION", "WEIGHT", "LEASE", "TTL", "TAGS", "METADATA"];
/// In an error.
const NAMES_SHOWN: usize = 10;

/// Tells a service's instances.
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Instances {
    /// The service's name.
    service: String,
    /// Tell those that `remove` keeps away instead.
    #[arg(long)]
    removed: bool,
    #[command(flatten)]
    namespace: Namespace,
}

/// An instance's key with what stands there.
pub(super) struct Found {
    pub(super) id: String,
    pub(super) kv: KeyValue,
    /// The instance, or why the record is none.
    pub(super) read: Result<Instance, String>,
}

impl Instances {
    pub(crate) async fn run(&self, global: &Global) -> Result<(), CtlError> {
        if self.removed {
            return self.tell_removed(global).await;
        }
        let connection = connect::any(global).await?;
        let found = found(global, &connection, &self.namespace, &self.service).await?;
        let leases: BTreeSet<_> = found.iter().map(|found| found.kv.lease).filter(|&lease| lease != 0).collect();
        let times = lease_times::look(global, &connection, leases, false).await?;
        let with_time = || found.iter().map(|found| (found, times.get(&found.kv.lease)));
        let json: Vec<_> = with_time().map(|(found, left)| object(found, left)).collect();
        for found in &found {
            if let Err(why) = &found.read {
                tell(&format!("{}/{} cannot be read: {}", self.service, plain(&found.id), plain(why)));
            }
        }
        let rows = with_time().map(|(found, left)| row(found, left)).collect();
        print(global, &List::new(&HEAD, rows, json!({"service": self.service, "instances": json})))
    }

    async fn tell_removed(&self, global: &Global) -> Result<(), CtlError> {
        let registry = sdk::registry(global, self.namespace.prefix()).await?;
        let removed =
            super::within(global, async { registry.removed(&self.service).await.map_err(sdk::failed) }).await?;
        let rows = removed.iter().map(|removed| vec![removed.id.clone(), removed.reason.clone().unwrap_or_default()]);
        let json: Vec<_> = removed.iter().map(|removed| json!({"id": removed.id, "reason": removed.reason})).collect();
        let json = json!({"service": self.service, "removed": json});
        print(global, &List::new(&["ID", "REASON"], rows.collect(), json))
    }
}

/// All of a service, which has some: else the error names those that have.
pub(super) async fn found(
    global: &Global,
    connection: &Connection,
    namespace: &Namespace,
    service: &str,
) -> Result<Vec<Found>, CtlError> {
    let prefix = namespace.service(service)?;
    let add = |found: &mut Vec<Found>, kv: KeyValue| {
        let id = kv.key.get(prefix.len()..).unwrap_or_default();
        let read = Instance::from_record(service, id, &kv.value).map_err(|error| {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            format!("{error}{cause}")
        });
        found.push(Found { id: String::from_utf8_lossy(id).into_owned(), kv, read });
    };
    let (found, _) = records::fold(global, connection, &prefix, add).await?;
    if found.is_empty() {
        return Err(no_such_service(global, connection, namespace, service).await);
    }
    Ok(found)
}

async fn no_such_service(global: &Global, connection: &Connection, namespace: &Namespace, service: &str) -> CtlError {
    // Whoever may not read the others is not told of them.
    let names = services::names(global, connection, namespace).await.unwrap_or_default();
    let place = if namespace.prefix().is_empty() { String::new() } else { format!(" in {}", namespace.prefix()) };
    let others = match names.as_slice() {
        [] => format!("there is no service{place}: see --namespace and --endpoints"),
        names => {
            let shown: Vec<_> = names.iter().take(NAMES_SHOWN).map(|name| plain(name)).collect();
            let rest = names.len() - shown.len();
            let rest = if rest > 0 { format!(" and {rest} more (see `registryctl services`)") } else { String::new() };
            format!("there are {}{rest}", shown.join(", "))
        }
    };
    CtlError::Registry(format!("{service} has no instance{place}; {others}"))
}

fn row(found: &Found, left: Option<&Left>) -> Vec<String> {
    let (lease, ttl) = match (found.kv.lease, left) {
        (0, _) => ("-".to_owned(), "-".to_owned()),
        (lease, Some(left)) => (format!("{lease:016x}"), format!("{}/{}", left.remaining, left.granted)),
        (lease, None) => (format!("{lease:016x}"), "ended".to_owned()),
    };
    let text = |text: Option<&str>| text.unwrap_or("-").to_owned();
    let Ok(instance) = &found.read else {
        let unread = |column: &&str| match *column {
            "ID" => found.id.clone(),
            "STATUS" => "unreadable".to_owned(),
            "LEASE" => lease.clone(),
            "TTL" => ttl.clone(),
            _ => "-".to_owned(),
        };
        return HEAD.iter().map(unread).collect();
    };
    vec![
        found.id.clone(),
        name_of(instance.status()).to_owned(),
        addresses(instance),
        text(instance.zone()),
        text(instance.version()),
        instance.weight().to_string(),
        lease,
        ttl,
        instance.tags().iter().cloned().collect::<Vec<_>>().join(","),
        metadata(instance),
    ]
}

fn object(found: &Found, left: Option<&Left>) -> Value {
    let mut object = match &found.read {
        Ok(instance) => instance_json(instance),
        Err(why) => json!({"id": found.id, "status": "unreadable", "error": why}),
    };
    object["create_revision"] = found.kv.create_revision.into();
    object["mod_revision"] = found.kv.mod_revision.into();
    if found.kv.lease != 0 {
        object["lease"] = format!("{:016x}", found.kv.lease).into();
    }
    if let Some(left) = left {
        object["granted_ttl_seconds"] = left.granted.into();
        object["remaining_ttl_seconds"] = left.remaining.into();
    }
    object
}
