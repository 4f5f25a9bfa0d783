//! What is left of leases, and how many keys live under each: asked a few at a time, as there is no request for many.

use std::collections::BTreeMap;

use registry_proto::etcdserverpb::LeaseTimeToLiveRequest;
use registry_proto::etcdserverpb::lease_client::LeaseClient;
use tokio::task::JoinSet;

use crate::commands::within;
use crate::connect::Connection;
use crate::error::CtlError;
use crate::global::Global;

/// Requests under way at once.
const AT_ONCE: usize = 32;

/// One lease that lives.
#[derive(Debug, Clone, Copy)]
pub(in crate::commands) struct Left {
    /// Seconds.
    pub(in crate::commands) granted: i64,
    /// Seconds.
    pub(in crate::commands) remaining: i64,
    /// How many keys live under it; 0 if they were not asked for.
    pub(in crate::commands) keys: usize,
}

/// Those of the leases that live, by id.
pub(in crate::commands) async fn look(
    global: &Global,
    connection: &Connection,
    leases: impl IntoIterator<Item = i64>,
    keys: bool,
) -> Result<BTreeMap<i64, Left>, CtlError> {
    let mut found = BTreeMap::new();
    let mut asked = JoinSet::new();
    for id in leases {
        if asked.len() >= AT_ONCE {
            take(&mut asked, &mut found).await?;
        }
        let (global, connection) = (global.clone(), connection.clone());
        asked.spawn(async move { Ok((id, one(&global, connection, id, keys).await?)) });
    }
    while !asked.is_empty() {
        take(&mut asked, &mut found).await?;
    }
    Ok(found)
}

type Asked = JoinSet<Result<(i64, Option<Left>), CtlError>>;

async fn take(asked: &mut Asked, found: &mut BTreeMap<i64, Left>) -> Result<(), CtlError> {
    let Some(ended) = asked.join_next().await else { return Ok(()) };
    let (id, left) = ended.map_err(|error| CtlError::Answer(error.to_string()))??;
    found.extend(left.map(|left| (id, left)));
    Ok(())
}

async fn one(global: &Global, connection: Connection, id: i64, keys: bool) -> Result<Option<Left>, CtlError> {
    let mut client = LeaseClient::new(connection).max_decoding_message_size(usize::MAX);
    let request = LeaseTimeToLiveRequest { id, keys };
    let answer = within(global, async { Ok(client.lease_time_to_live(request).await?.into_inner()) }).await?;
    // -1 is etcd's word for one that has ended.
    Ok((answer.ttl >= 0).then_some(Left {
        granted: answer.granted_ttl,
        remaining: answer.ttl,
        keys: answer.keys.len(),
    }))
}
