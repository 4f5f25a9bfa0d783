//! Tombstones: an operator's word that an instance is not to come back.
//!
//! A tombstone is a key beside the instance's, under a lease of its own that nobody keeps alive, so that none
//! is forgotten for ever. A registration that finds one does not put its key; see the machine. What always
//! holds: the tombstone and the deletion of the instance's key are one txn, so that no registration can put
//! its key between them; a tombstone that is not there leaves no lease.

use std::time::Duration;

use bytes::Bytes;
use registry_proto::etcdserverpb::kv_client::KvClient;
use registry_proto::etcdserverpb::lease_client::LeaseClient;
use registry_proto::etcdserverpb::request_op::Request;
use registry_proto::etcdserverpb::response_op::Response;
use registry_proto::etcdserverpb::{
    DeleteRangeRequest, LeaseTimeToLiveRequest, PutRequest, RequestOp, TxnRequest, TxnResponse,
};
use registry_proto::mvccpb::KeyValue;
use serde::{Deserialize, Serialize};

use super::machine::{Event, Keys, LeaseId, RevokeOutcome};
use super::rpc::{grant, limited, revoke};
use crate::backoff::Delays;
use crate::channel::{Channel, Failure};
use crate::error::Error;
use crate::watch::list::list;
use crate::watch::span::Span;

/// How often the lease of a tombstone that is not to be is tried to be revoked; then its TTL is the bound.
const REVOKE_TRIES: usize = 6;

/// What stands under a tombstone's key. Others may put there what they like: the key alone counts.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// An instance that an operator has removed; see [`crate::Registry::removed`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Removed {
    /// The instance's id.
    pub id: String,
    /// Why, if somebody said so.
    pub reason: Option<String>,
}

/// How a call has ended, and a lease that is to be [released](release) when that has been told.
pub(crate) struct Ended<T> {
    pub(crate) answer: Result<T, Error>,
    pub(crate) leftover: Option<LeaseId>,
}

impl<T> From<Result<T, Error>> for Ended<T> {
    fn from(answer: Result<T, Error>) -> Self {
        Self { answer, leftover: None }
    }
}

/// Removes the instance for so long; says whether it stood there.
pub(crate) async fn remove(channel: Channel, keys: Keys, lasting: Duration, reason: Option<String>) -> Ended<bool> {
    let id = fastrand::i64(1..);
    let removed = match grant(channel.clone(), id, lasting).await {
        Event::Granted { .. } => bury(&channel, &keys, id, reason).await,
        Event::GrantFailed { failure, .. } if failure.maybe_done => Err(failure.error),
        Event::GrantFailed { failure, .. } => return Err(failure.error).into(),
        _ => return Err(Error::Unavailable { message: "a lease of that id exists; try again".to_owned() }).into(),
    };
    // Whether or not the calls were carried out, nothing stays of those that failed.
    let leftover = removed.is_err().then_some(id);
    if let Ok((_, Some(old))) = &removed {
        release_alone(channel, *old, &keys.tombstone).await;
    }
    Ended { answer: removed.map(|(stood, _)| stood), leftover }
}

/// Puts the tombstone and deletes the key; says whether the key was there, and the lease of an older tombstone.
async fn bury(
    channel: &Channel,
    keys: &Keys,
    lease: LeaseId,
    reason: Option<String>,
) -> Result<(bool, Option<LeaseId>), Error> {
    let record = Record { version: 1, reason };
    let value = serde_json::to_vec(&record).expect("a record has string keys only, which JSON can always hold");
    let put =
        PutRequest { key: keys.tombstone.clone(), value: value.into(), lease, prev_kv: true, ..Default::default() };
    let delete = DeleteRangeRequest { key: keys.instance.clone(), ..Default::default() };
    let operation = |request| RequestOp { request: Some(request) };
    let success = vec![operation(Request::RequestPut(put)), operation(Request::RequestDeleteRange(delete))];
    let request = TxnRequest { success, ..Default::default() };
    let answer = limited(channel, KvClient::new(channel.clone()).txn(request)).await;
    Ok(buried(answer.map_err(|refusal| Failure::from(refusal).error)?))
}

fn buried(answer: TxnResponse) -> (bool, Option<LeaseId>) {
    let (mut stood, mut old) = (false, None);
    for response in answer.responses {
        match response.response {
            Some(Response::ResponsePut(put)) => old = put.prev_kv.and_then(|kv| lease_of_ours(&kv)),
            Some(Response::ResponseDeleteRange(deleted)) => stood = deleted.deleted > 0,
            _ => {}
        }
    }
    (stood, old)
}

/// Takes the tombstone away; says whether there was one.
pub(crate) async fn restore(channel: Channel, keys: Keys) -> Result<bool, Error> {
    let request = DeleteRangeRequest { key: keys.tombstone.clone(), prev_kv: true, ..Default::default() };
    let answer = limited(&channel, KvClient::new(channel.clone()).delete_range(request)).await;
    let answer = answer.map_err(|refusal| Failure::from(refusal).error)?;
    if let Some(lease) = answer.prev_kvs.first().and_then(lease_of_ours) {
        release_alone(channel, lease, &keys.tombstone).await;
    }
    Ok(answer.deleted > 0)
}

/// The lease of a tombstone that this SDK may have written.
fn lease_of_ours(kv: &KeyValue) -> Option<LeaseId> {
    (kv.lease != 0 && serde_json::from_slice::<Record>(&kv.value).is_ok()).then_some(kv.lease)
}

/// Revokes the lease of a tombstone that has gone, unless more stands under it: then somebody else made it, whatever the
/// tombstone looked like. What cannot be found out is left to the TTL.
async fn release_alone(channel: Channel, id: LeaseId, tombstone: &Bytes) {
    let mut pauses = Delays::random();
    for _ in 0..REVOKE_TRIES {
        let request = LeaseTimeToLiveRequest { id, keys: true };
        let mut client = LeaseClient::new(channel.clone());
        if let Ok(lease) = limited(&channel, client.lease_time_to_live(request)).await {
            // The member that answers may not have heard yet that the tombstone has gone.
            if lease.ttl > 0 && lease.keys.iter().all(|key| key == tombstone) {
                release(channel, id).await;
            }
            return;
        }
        tokio::time::sleep(pauses.next()).await;
    }
}

/// Revokes a lease, within a few tries.
pub(crate) async fn release(channel: Channel, id: LeaseId) {
    let mut pauses = Delays::random();
    for _ in 0..REVOKE_TRIES {
        let Event::Revoke { outcome, .. } = revoke(channel.clone(), id).await else { return };
        if matches!(outcome, RevokeOutcome::Revoked) {
            return;
        }
        // Not found may be said of a grant that is still on its way.
        tokio::time::sleep(pauses.next()).await;
    }
}

/// The tombstones below a prefix.
pub(crate) async fn removed(channel: Channel, prefix: String) -> Result<Vec<Removed>, Error> {
    let listing = list(&channel, &Span::prefix(&prefix)).await?;
    let id = |key: &Bytes| String::from_utf8_lossy(&key[prefix.len()..]).into_owned();
    let reason = |value: &Bytes| serde_json::from_slice::<Record>(value).ok().and_then(|record| record.reason);
    Ok(listing.kvs.iter().map(|kv| Removed { id: id(&kv.key), reason: reason(&kv.value) }).collect())
}
