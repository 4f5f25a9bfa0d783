//! The calls that a registration makes, each ending in the event that tells how it went.

use std::time::Duration;

use bytes::Bytes;
use registry_proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use registry_proto::etcdserverpb::kv_client::KvClient;
use registry_proto::etcdserverpb::lease_client::LeaseClient;
use registry_proto::etcdserverpb::request_op::Request;
use registry_proto::etcdserverpb::response_op::Response;
use registry_proto::etcdserverpb::{
    Compare, LeaseGrantRequest, LeaseRevokeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest, TxnResponse,
};
use registry_proto::mvccpb::KeyValue;
use tokio::time::Instant;
use tonic::{Code, Status};

use super::machine::{Event, Expect, Found, Holder, KeyPut, LeaseId, PutOutcome, RevokeOutcome};
use crate::channel::{CALL_LIMIT, Channel, Failure, failure};

/// What stands in the way of 64 keys fits, unless somebody has written records of a megabyte there.
const ANSWER_LIMIT_BYTES: usize = 64 << 20;

pub(super) async fn grant(channel: Channel, id: LeaseId, ttl: Duration) -> Event {
    let seconds = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
    let request = LeaseGrantRequest { id, ttl: i64::try_from(seconds).unwrap_or(i64::MAX) };
    let answer = limited(&channel, LeaseClient::new(channel.clone()).lease_grant(request)).await;
    match answer {
        Ok(granted) => Event::Granted { id, ttl: seconds_of(granted.ttl) },
        Err(Refusal::Status(status)) if exists(&status) => Event::GrantExists { id },
        Err(refusal) => Event::GrantFailed { id, failure: refusal.into() },
    }
}

pub(super) async fn revoke(channel: Channel, id: LeaseId) -> Event {
    let answer = limited(&channel, LeaseClient::new(channel.clone()).lease_revoke(LeaseRevokeRequest { id })).await;
    let outcome = match answer {
        Ok(_) => RevokeOutcome::Revoked,
        Err(Refusal::Status(status)) if status.code() == Code::NotFound => RevokeOutcome::NotFound,
        Err(refusal) => {
            let error = Failure::from(refusal).error;
            tracing::warn!(lease = id, %error, "a lease is not revoked yet; trying again");
            RevokeOutcome::Failed
        }
    };
    Event::Revoke { id, outcome }
}

/// Puts the records if every key is as expected and no tombstone stands; otherwise says what is there.
pub(super) async fn put(channel: Channel, lease: LeaseId, puts: Vec<KeyPut>) -> Event {
    let places: Vec<_> = puts.iter().map(|put| put.place).collect();
    let request = put_request(lease, puts);
    // The answer to a conflict holds all records that were in the way.
    let mut client = KvClient::new(channel.clone()).max_decoding_message_size(ANSWER_LIMIT_BYTES);
    let outcome = match limited(&channel, client.txn(request)).await {
        Ok(answer) => settled(answer, places),
        Err(Refusal::Status(status)) if status.code() == Code::NotFound => PutOutcome::NoLease,
        Err(refusal) => PutOutcome::Failed(refusal.into()),
    };
    Event::Put(outcome)
}

fn put_request(lease: LeaseId, puts: Vec<KeyPut>) -> TxnRequest {
    let operation = |request| RequestOp { request: Some(request) };
    let range = |key: &Bytes| operation(Request::RequestRange(RangeRequest { key: key.clone(), ..Default::default() }));
    let mut request = TxnRequest::default();
    for KeyPut { keys, expect, value, .. } in puts {
        let (target, union) = match expect {
            Expect::Absent => (CompareTarget::Create, TargetUnion::CreateRevision(0)),
            Expect::ModRevision(revision) => (CompareTarget::Mod, TargetUnion::ModRevision(revision)),
        };
        request.compare.push(equal(&keys.instance, target, union));
        request.compare.push(equal(&keys.tombstone, CompareTarget::Create, TargetUnion::CreateRevision(0)));
        request.failure.extend([range(&keys.instance), range(&keys.tombstone)]);
        let put = PutRequest { key: keys.instance, value, lease, ..Default::default() };
        request.success.push(operation(Request::RequestPut(put)));
    }
    request
}

fn equal(key: &Bytes, target: CompareTarget, union: TargetUnion) -> Compare {
    Compare {
        result: CompareResult::Equal.into(),
        target: target.into(),
        key: key.clone(),
        target_union: Some(union),
        range_end: Bytes::new(),
    }
}

/// Reads the instance's key as it stands now.
pub(crate) async fn read(channel: &Channel, key: &Bytes) -> Result<(i64, Option<Holder>), Failure> {
    let request = RangeRequest { key: key.clone(), ..Default::default() };
    let answer = limited(channel, KvClient::new(channel.clone()).range(request)).await.map_err(Failure::from)?;
    let revision = answer.header.map_or(0, |header| header.revision);
    let kvs = answer.kvs.into_messages().unwrap_or_default();
    Ok((revision, kvs.into_iter().next().map(holder)))
}

pub(super) fn holder(kv: KeyValue) -> Holder {
    Holder { lease: kv.lease, mod_revision: kv.mod_revision, value: kv.value }
}

pub(super) fn seconds_of(ttl: i64) -> Duration {
    Duration::from_secs(u64::try_from(ttl).unwrap_or(0))
}

fn settled(answer: TxnResponse, places: Vec<usize>) -> PutOutcome {
    let revision = answer.header.map_or(0, |header| header.revision);
    if answer.succeeded {
        return PutOutcome::Stored { revision };
    }
    let mut ranges = answer.responses.into_iter().map(|response| match response.response {
        Some(Response::ResponseRange(range)) => range.kvs.into_messages().unwrap_or_default().into_iter().next(),
        _ => None,
    });
    let mut next = || ranges.next().flatten();
    let found = |place| Found { place, holder: next().map(holder), tombstone: next().is_some() };
    PutOutcome::Conflict { revision, found: places.into_iter().map(found).collect() }
}

fn exists(status: &Status) -> bool {
    // etcd's code for an existing lease is FailedPrecondition; only the text tells it from others.
    matches!(status.code(), Code::FailedPrecondition | Code::AlreadyExists)
        && status.message().contains("lease already exists")
}

pub(super) enum Refusal {
    Status(Status),
    Timeout,
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Status(status) => failure(&status),
            Refusal::Timeout => Self::timeout(),
        }
    }
}

/// Gives a call its time, and leaves a connection on which calls are not answered or not served.
pub(super) async fn limited<T>(
    channel: &Channel,
    call: impl Future<Output = Result<tonic::Response<T>, Status>>,
) -> Result<T, Refusal> {
    let called_at = Instant::now();
    let refusal = match tokio::time::timeout(CALL_LIMIT, call).await {
        Ok(Ok(response)) => return Ok(response.into_inner()),
        Ok(Err(status)) if status.code() != Code::Unavailable => return Err(Refusal::Status(status)),
        Ok(Err(status)) => Refusal::Status(status),
        Err(_) => Refusal::Timeout,
    };
    channel.condemn(called_at);
    Err(refusal)
}
