//! `leases`: every lease with what is left of it and how many keys it holds; and those that hold none, which somebody forgot.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args as ClapArgs;
use registry_proto::etcdserverpb::lease_client::LeaseClient;
use registry_proto::etcdserverpb::{LeaseLeasesRequest, LeaseRevokeRequest};
use serde_json::json;
use tonic::Code;

use super::registry::lease_times::{self, Left};
use super::registry::seconds;
use super::within;
use crate::connect::{self, Connection};
use crate::error::CtlError;
use crate::global::Global;
use crate::output::{List, print, tell};

const EXAMPLES: &str = "\
Examples:
  registryctl leases
  registryctl leases --orphans -w json
  registryctl leases --orphans --revoke

An orphan is a lease that holds no key. Deleting a key leaves its lease behind: until its TTL has passed, or for ever if
somebody still keeps it alive. A lease that has just been granted holds no key either, so orphans are looked at twice,
--grace apart; one that keeps its key elsewhere than in this registry is not known here, and would be revoked.";

const HEAD: [&str; 4] = ["LEASE", "TTL", "REMAINING", "KEYS"];

/// Tells all leases.
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Leases {
    /// Only those that hold no key.
    #[arg(long)]
    orphans: bool,
    /// And revoke them.
    #[arg(long, requires = "orphans")]
    revoke: bool,
    /// How long a lease has to be seen without a key to be an orphan, in seconds or as in 500ms.
    #[arg(long, default_value = "2s", value_parser = seconds, requires = "orphans")]
    grace: Duration,
}

impl Leases {
    pub(crate) async fn run(&self, global: &Global) -> Result<(), CtlError> {
        let connection = connect::any(global).await?;
        let mut client = LeaseClient::new(connection.clone()).max_decoding_message_size(usize::MAX);
        let all = within(global, async { Ok(client.lease_leases(LeaseLeasesRequest {}).await?.into_inner()) }).await?;
        let ids: Vec<_> = all.leases.iter().map(|lease| lease.id).collect();
        let mut leases = lease_times::look(global, &connection, ids, true).await?;
        if self.orphans {
            leases = self.orphans_of(global, &connection, leases).await?;
        }
        let mut revoked = BTreeMap::new();
        if self.revoke {
            for &id in leases.keys() {
                // Right before, as its key may have come while others were revoked.
                let left = lease_times::look(global, &connection, [id], true).await?;
                if left.get(&id).is_none_or(|left| left.keys == 0) {
                    revoked.insert(id, revoke(global, &connection, id).await?);
                }
            }
        }
        print(global, &self.list(&leases, &revoked))
    }

    /// Those without a key, now and after the grace.
    async fn orphans_of(
        &self,
        global: &Global,
        connection: &Connection,
        mut leases: BTreeMap<i64, Left>,
    ) -> Result<BTreeMap<i64, Left>, CtlError> {
        leases.retain(|_, left| left.keys == 0);
        if leases.is_empty() {
            return Ok(leases);
        }
        let grace = humantime::format_duration(self.grace);
        tell(&format!("leases that hold no key: {}; looking again in {grace}, as they may be about to", leases.len()));
        tokio::time::sleep(self.grace).await;
        let mut again = lease_times::look(global, connection, leases.into_keys(), true).await?;
        again.retain(|_, left| left.keys == 0);
        Ok(again)
    }

    fn list(&self, leases: &BTreeMap<i64, Left>, revoked: &BTreeMap<i64, bool>) -> List {
        let outcome = |id: &i64| match revoked.get(id) {
            Some(true) => "revoked",
            Some(false) => "had ended",
            None => "left, as it holds a key now",
        };
        let row = |(id, left): (&i64, &Left)| {
            let mut row =
                vec![format!("{id:016x}"), left.granted.to_string(), left.remaining.to_string(), left.keys.to_string()];
            row.extend(self.revoke.then(|| outcome(id).to_owned()));
            row
        };
        let object = |(id, left): (&i64, &Left)| {
            let mut object = json!({
                "lease": format!("{id:016x}"),
                "granted_ttl_seconds": left.granted,
                "remaining_ttl_seconds": left.remaining,
                "keys": left.keys,
            });
            if self.revoke {
                object["outcome"] = outcome(id).into();
            }
            object
        };
        let head: Vec<_> = HEAD.into_iter().chain(self.revoke.then_some("OUTCOME")).collect();
        let json = json!({"leases": leases.iter().map(object).collect::<Vec<_>>()});
        List::new(&head, leases.iter().map(row).collect(), json)
    }
}

/// Whether it still was there.
async fn revoke(global: &Global, connection: &Connection, id: i64) -> Result<bool, CtlError> {
    let mut client = LeaseClient::new(connection.clone());
    let answer = within(global, async { Ok(client.lease_revoke(LeaseRevokeRequest { id }).await?) }).await;
    match answer {
        Ok(_) => Ok(true),
        Err(CtlError::Status(status)) if status.code() == Code::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
