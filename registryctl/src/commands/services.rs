//! `services`: all services, with how many instances of each there are.

use std::collections::BTreeMap;

use clap::Args as ClapArgs;
use registry_client::{Instance, Status};
use registry_proto::mvccpb::KeyValue;
use serde_json::json;

use super::registry::{Namespace, records};
use crate::connect::{self, Connection};
use crate::error::CtlError;
use crate::global::Global;
use crate::output::{List, print};

const EXAMPLES: &str = "\
Examples:
  registryctl services
  registryctl services -w table
  registryctl services --namespace /prod -w json

UNKNOWN counts statuses that a newer SDK wrote, UNREADABLE records that are none.";

const HEAD: [&str; 8] = ["SERVICE", "INSTANCES", "UP", "STARTING", "DRAINING", "DOWN", "UNKNOWN", "UNREADABLE"];

/// Tells all services, with the numbers of their instances by status.
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Services {
    #[command(flatten)]
    namespace: Namespace,
}

/// Of one service.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Counts {
    all: usize,
    up: usize,
    starting: usize,
    draining: usize,
    down: usize,
    unknown: usize,
    unreadable: usize,
}

impl Counts {
    fn add(&mut self, status: Option<Status>) {
        self.all += 1;
        *match status {
            Some(Status::Up) => &mut self.up,
            Some(Status::Starting) => &mut self.starting,
            Some(Status::Draining) => &mut self.draining,
            Some(Status::Down) => &mut self.down,
            Some(_) => &mut self.unknown,
            None => &mut self.unreadable,
        } += 1;
    }

    /// In the order of the head.
    fn numbers(&self) -> [usize; 7] {
        [self.all, self.up, self.starting, self.draining, self.down, self.unknown, self.unreadable]
    }
}

type Counted = BTreeMap<String, Counts>;

impl Services {
    pub(crate) async fn run(&self, global: &Global) -> Result<(), CtlError> {
        let counted = counted(global, &connect::any(global).await?, &self.namespace).await?;
        print(global, &list(&counted))
    }
}

async fn counted(global: &Global, connection: &Connection, namespace: &Namespace) -> Result<Counted, CtlError> {
    let prefix = namespace.services();
    let add = |counted: &mut Counted, kv: KeyValue| {
        let Some((service, id)) = parts(&kv.key, &prefix) else { return };
        let status = Instance::from_record(&service, id, &kv.value).ok().map(|instance| instance.status());
        counted.entry(service).or_default().add(status);
    };
    Ok(records::fold(global, connection, &prefix, add).await?.0)
}

/// Service and id of a key; none if it has no place for an id.
fn parts<'a>(key: &'a [u8], prefix: &str) -> Option<(String, &'a [u8])> {
    let rest = key.strip_prefix(prefix.as_bytes())?;
    let slash = rest.iter().position(|&byte| byte == b'/')?;
    Some((String::from_utf8_lossy(&rest[..slash]).into_owned(), &rest[slash + 1..]))
}

/// The names of all services that have an instance.
pub(super) async fn names(
    global: &Global,
    connection: &Connection,
    namespace: &Namespace,
) -> Result<Vec<String>, CtlError> {
    Ok(counted(global, connection, namespace).await?.into_keys().collect())
}

fn list(counted: &Counted) -> List {
    let row = |(service, counts): (&String, &Counts)| {
        [service.clone()].into_iter().chain(counts.numbers().map(|number| number.to_string())).collect()
    };
    let object = |(service, counts): (&String, &Counts)| {
        let mut object = json!({"service": service});
        for (name, number) in HEAD[1..].iter().zip(counts.numbers()) {
            object[name.to_lowercase()] = number.into();
        }
        object
    };
    List::new(
        &HEAD,
        counted.iter().map(row).collect(),
        json!({"services": counted.iter().map(object).collect::<Vec<_>>()}),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_names_service_and_id() {
        assert_eq!(parts(b"/services/pay/7", "/services/"), Some(("pay".to_owned(), &b"7"[..])));
        assert_eq!(parts(b"/services/pay/7/x", "/services/"), Some(("pay".to_owned(), &b"7/x"[..])));
        assert_eq!(parts(b"/services/pay", "/services/"), None);
    }

    #[test]
    fn every_status_has_its_column() {
        let mut counts = Counts::default();
        let statuses = [Status::Up, Status::Starting, Status::Draining, Status::Down, Status::Unknown];
        statuses.into_iter().map(Some).chain([None]).for_each(|status| counts.add(status));
        assert_eq!(counts.numbers(), [6, 1, 1, 1, 1, 1, 1]);
    }
}
