//! `drain`: instances are shown as draining, so that balancers take no new requests there.
//!
//! The record is changed under the lease it has, and only as it was read: whoever changes it meanwhile is not overwritten.

use std::collections::BTreeMap;

use bytes::Bytes;
use clap::Args as ClapArgs;
use registry_client::Status;
use registry_proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use registry_proto::etcdserverpb::kv_client::KvClient;
use registry_proto::etcdserverpb::request_op::Request;
use registry_proto::etcdserverpb::{Compare, PutRequest, RequestOp, TxnRequest};
use registry_proto::mvccpb::KeyValue;
use serde_json::json;

use super::instances::{Found, found};
use super::registry::{Namespace, name_of};
use super::within;
use crate::connect::{self, Connection};
use crate::error::CtlError;
use crate::global::Global;
use crate::output::{List, plain, print, tell};

const EXAMPLES: &str = "\
Examples:
  registryctl drain pay 7f3a
  registryctl drain pay
  registryctl drain pay 7f3a --undo

It holds until the process says something else of itself: when a health check of its own turns, when it sets its status,
or when it registers anew. Instances that are not up stay as they are. To keep one away whatever its process does:
`registryctl remove`.";

/// How often a record that somebody changes meanwhile is read again.
const ATTEMPTS: usize = 5;

/// Shows instances as draining: they finish what they have, and get no new requests.
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Drain {
    /// The service's name.
    service: String,
    /// The instance's id; all of the service's instances unless given.
    instance: Option<String>,
    /// Show those that are draining as up again.
    #[arg(long)]
    undo: bool,
    #[command(flatten)]
    namespace: Namespace,
}

/// What became of each instance: how it was, and how it is.
type Done = BTreeMap<String, (Status, Status)>;

impl Drain {
    pub(crate) async fn run(&self, global: &Global) -> Result<(), CtlError> {
        let connection = connect::any(global).await?;
        let mut done = Done::new();
        let mut open = None;
        for _ in 0..ATTEMPTS {
            let found = self.asked_for(global, &connection).await?;
            open = None;
            for found in found.iter().filter(|found| !done.contains_key(&found.id)).collect::<Vec<_>>() {
                match self.change(global, &connection, found).await? {
                    Some(changed) => drop(done.insert(found.id.clone(), changed)),
                    None => open = Some(found.id.clone()),
                }
            }
            if open.is_none() {
                break;
            }
        }
        print(global, &self.list(&done))?;
        open.map_or(Ok(()), |id| {
            let text = format!("{}/{id} is changed by others all the time: try again", self.service);
            Err(CtlError::Registry(text))
        })
    }

    async fn asked_for(&self, global: &Global, connection: &Connection) -> Result<Vec<Found>, CtlError> {
        let mut found = found(global, connection, &self.namespace, &self.service).await?;
        let Some(wanted) = &self.instance else { return Ok(found) };
        let Some(place) = found.iter().position(|found| found.id == *wanted) else {
            let ids: Vec<_> = found.iter().take(10).map(|found| plain(&found.id)).collect();
            let text = format!("{} has no instance {wanted}; among those it has are {}", self.service, ids.join(", "));
            return Err(CtlError::Registry(text));
        };
        Ok(vec![found.swap_remove(place)])
    }

    /// None if somebody else has changed it meanwhile.
    async fn change(
        &self,
        global: &Global,
        connection: &Connection,
        found: &Found,
    ) -> Result<Option<(Status, Status)>, CtlError> {
        let Ok(instance) = &found.read else {
            tell(&format!("{}/{} is left alone: its record cannot be read", self.service, plain(&found.id)));
            return Ok(Some((Status::Unknown, Status::Unknown)));
        };
        let before = instance.status();
        let now = match (self.undo, before) {
            // Nothing is sent to the others anyway, and an end of the draining must not have it sent.
            (false, Status::Up) => Status::Draining,
            (true, Status::Draining) => Status::Up,
            (_, other) => other,
        };
        let stored = before == now || {
            let mut instance = instance.clone();
            instance.set_status(now);
            put(global, connection, &found.kv, instance.to_record().into()).await?
        };
        Ok(stored.then_some((before, now)))
    }

    fn list(&self, done: &Done) -> List {
        let named = done.iter().map(|(id, (before, now))| (id, name_of(*before), name_of(*now)));
        let rows = named.clone().map(|(id, before, now)| vec![id.clone(), before.to_owned(), now.to_owned()]).collect();
        let objects: Vec<_> = named.map(|(id, before, now)| json!({"id": id, "was": before, "status": now})).collect();
        List::new(&["ID", "WAS", "STATUS"], rows, json!({"service": self.service, "instances": objects}))
    }
}

/// Puts the value if nobody has changed the key, under the lease that it has; says whether it did.
async fn put(global: &Global, connection: &Connection, kv: &KeyValue, value: Bytes) -> Result<bool, CtlError> {
    let unchanged = Compare {
        key: kv.key.clone(),
        target: CompareTarget::Mod.into(),
        result: CompareResult::Equal.into(),
        target_union: Some(TargetUnion::ModRevision(kv.mod_revision)),
        ..Compare::default()
    };
    let put = PutRequest { key: kv.key.clone(), value, ignore_lease: true, ..PutRequest::default() };
    let success = vec![RequestOp { request: Some(Request::RequestPut(put)) }];
    let request = TxnRequest { compare: vec![unchanged], success, ..TxnRequest::default() };
    let mut client = KvClient::new(connection.clone());
    let answer = within(global, async { Ok(client.txn(request).await?.into_inner()) }).await?;
    Ok(answer.succeeded)
}
