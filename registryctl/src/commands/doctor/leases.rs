//! Leases that hold no key: what is left of programs that granted one and forgot it.

use std::time::Duration;

use registry_proto::etcdserverpb::lease_client::LeaseClient;
use registry_proto::etcdserverpb::{LeaseLeasesRequest, LeaseTimeToLiveRequest};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::facts::{Asked, Leases};
use super::look::ask;
use crate::connect::Connection;
use crate::global::Global;

/// How many leases are asked about at the same time.
const AT_ONCE: usize = 32;
/// A key is put soon after its lease was granted: without one for longer than this a lease is an orphan.
const SECOND_LOOK: Duration = Duration::from_secs(1);

/// Looks at as many leases as the time for a request allows.
pub(super) async fn leases(global: &Global, connection: &Connection) -> Asked<Leases> {
    let mut client = LeaseClient::new(connection.clone()).max_decoding_message_size(usize::MAX);
    let all = ask(global, client.lease_leases(LeaseLeasesRequest {})).await?.leases;
    let ids: Vec<_> = all.iter().map(|lease| lease.id).collect();
    let (looked_at, mut orphans) = keyless(global, &client, &ids).await;
    if !orphans.is_empty() {
        sleep(SECOND_LOOK).await;
        (_, orphans) = keyless(global, &client, &orphans).await;
    }
    orphans.sort_unstable();
    Ok(Leases { total: ids.len(), looked_at, orphans })
}

/// How many were looked at in time, and those of them that hold no key.
async fn keyless(global: &Global, client: &LeaseClient<Connection>, ids: &[i64]) -> (usize, Vec<i64>) {
    let until = Instant::now() + global.command_timeout;
    let mut asked = JoinSet::new();
    let (mut looked_at, mut orphans) = (0, Vec::new());
    let mut ids = ids.iter().copied();
    loop {
        while asked.len() < AT_ONCE && Instant::now() < until {
            let Some(id) = ids.next() else { break };
            let (global, client) = (global.clone(), client.clone());
            asked.spawn(async move { (id, is_keyless(&global, client, id).await) });
        }
        match asked.join_next().await {
            None => return (looked_at, orphans),
            Some(Ok((id, Ok(is_keyless)))) => {
                looked_at += 1;
                orphans.extend(is_keyless.then_some(id));
            }
            // Who may not see a lease's keys knows at least that it has some; other failures leave it out.
            Some(Ok((_, Err(refusal)))) => looked_at += usize::from(refusal.is_forbidden),
            Some(Err(_)) => {}
        }
    }
}

/// One that has ended meanwhile is none.
async fn is_keyless(global: &Global, mut client: LeaseClient<Connection>, id: i64) -> Asked<bool> {
    let answer = ask(global, client.lease_time_to_live(LeaseTimeToLiveRequest { id, keys: true })).await?;
    Ok(answer.ttl >= 0 && answer.keys.is_empty())
}
