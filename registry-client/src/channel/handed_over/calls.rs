//! The calls with one answer: a message of ours into the client's options. Answers need no translation.
//!
//! Messages are taken apart without a rest, so that no field of a later version is lost in silence.

use std::sync::Arc;

use etcd_client::proto::{
    PbDeleteResponse, PbLeaseGrantResponse, PbLeaseRevokeResponse, PbLeaseTimeToLiveResponse, PbRangeResponse,
    PbTxnResponse,
};
use etcd_client::{
    Client, Compare, CompareOp, DeleteOptions, GetOptions, KvClient, LeaseGrantOptions, LeaseTimeToLiveOptions,
    PutOptions, SortOrder, SortTarget, Txn, TxnOp,
};
use registry_proto::etcdserverpb::compare::TargetUnion;
use registry_proto::etcdserverpb::request_op::Request;
use registry_proto::etcdserverpb::{self as wire, RequestOp};
use tonic::Status;

use super::{ANSWER_LIMIT_BYTES, status};

pub(super) async fn range(client: Arc<Client>, request: wire::RangeRequest) -> Result<PbRangeResponse, Status> {
    let (key, options) = get(request)?;
    Ok(kv(&client).get(key, Some(options)).await.map_err(status)?.0)
}

pub(super) async fn delete_range(
    client: Arc<Client>,
    request: wire::DeleteRangeRequest,
) -> Result<PbDeleteResponse, Status> {
    let (key, options) = delete(request);
    Ok(kv(&client).delete(key, Some(options)).await.map_err(status)?.0)
}

pub(super) async fn txn(client: Arc<Client>, request: wire::TxnRequest) -> Result<PbTxnResponse, Status> {
    Ok(kv(&client).txn(transaction(request)?).await.map_err(status)?.0)
}

pub(super) async fn lease_grant(
    client: Arc<Client>,
    request: wire::LeaseGrantRequest,
) -> Result<PbLeaseGrantResponse, Status> {
    let wire::LeaseGrantRequest { ttl, id } = request;
    let options = LeaseGrantOptions::new().with_id(id);
    Ok(client.lease_client().grant(ttl, Some(options)).await.map_err(status)?.0)
}

pub(super) async fn lease_revoke(
    client: Arc<Client>,
    request: wire::LeaseRevokeRequest,
) -> Result<PbLeaseRevokeResponse, Status> {
    let wire::LeaseRevokeRequest { id } = request;
    Ok(client.lease_client().revoke(id).await.map_err(status)?.0)
}

pub(super) async fn lease_time_to_live(
    client: Arc<Client>,
    request: wire::LeaseTimeToLiveRequest,
) -> Result<PbLeaseTimeToLiveResponse, Status> {
    let wire::LeaseTimeToLiveRequest { id, keys } = request;
    let options = if keys { LeaseTimeToLiveOptions::new().with_keys() } else { LeaseTimeToLiveOptions::new() };
    Ok(client.lease_client().time_to_live(id, Some(options)).await.map_err(status)?.0)
}

fn kv(client: &Client) -> KvClient {
    client.kv_client().max_decoding_message_size(ANSWER_LIMIT_BYTES)
}

fn get(request: wire::RangeRequest) -> Result<(Vec<u8>, GetOptions), Status> {
    let wire::RangeRequest {
        key,
        range_end,
        limit,
        revision,
        sort_order,
        sort_target,
        serializable,
        keys_only,
        count_only,
        min_mod_revision,
        max_mod_revision,
        min_create_revision,
        max_create_revision,
    } = request;
    let target = SortTarget::try_from(sort_target).map_err(|error| unknown(&error))?;
    let order = SortOrder::try_from(sort_order).map_err(|error| unknown(&error))?;
    let options = GetOptions::new()
        .with_range(range_end)
        .with_limit(limit)
        .with_revision(revision)
        .with_sort(target, order)
        .with_min_mod_revision(min_mod_revision)
        .with_max_mod_revision(max_mod_revision)
        .with_min_create_revision(min_create_revision)
        .with_max_create_revision(max_create_revision);
    let options = if serializable { options.with_serializable() } else { options };
    let options = if keys_only { options.with_keys_only() } else { options };
    let options = if count_only { options.with_count_only() } else { options };
    Ok((key.into(), options))
}

fn put(request: wire::PutRequest) -> TxnOp {
    let wire::PutRequest { key, value, lease, prev_kv, ignore_value, ignore_lease } = request;
    let options = PutOptions::new().with_lease(lease);
    let options = if prev_kv { options.with_prev_key() } else { options };
    let options = if ignore_value { options.with_ignore_value() } else { options };
    let options = if ignore_lease { options.with_ignore_lease() } else { options };
    TxnOp::put(key, value, Some(options))
}

fn delete(request: wire::DeleteRangeRequest) -> (Vec<u8>, DeleteOptions) {
    let wire::DeleteRangeRequest { key, range_end, prev_kv } = request;
    let options = DeleteOptions::new().with_range(range_end);
    (key.into(), if prev_kv { options.with_prev_key() } else { options })
}

fn transaction(request: wire::TxnRequest) -> Result<Txn, Status> {
    let wire::TxnRequest { compare, success, failure } = request;
    let compares: Vec<_> = compare.into_iter().map(comparison).collect::<Result<_, _>>()?;
    Ok(Txn::new().when(compares).and_then(operations(success)?).or_else(operations(failure)?))
}

fn comparison(compare: wire::Compare) -> Result<Compare, Status> {
    // The value names its target.
    let wire::Compare { result, target: _, key, range_end, target_union } = compare;
    let result = CompareOp::try_from(result).map_err(|error| unknown(&error))?;
    let compare = match target_union.ok_or_else(|| Status::invalid_argument("a comparison with nothing"))? {
        TargetUnion::Version(version) => Compare::version(key, result, version),
        TargetUnion::CreateRevision(revision) => Compare::create_revision(key, result, revision),
        TargetUnion::ModRevision(revision) => Compare::mod_revision(key, result, revision),
        TargetUnion::Value(value) => Compare::value(key, result, value),
        TargetUnion::Lease(lease) => Compare::lease(key, result, lease),
    };
    Ok(compare.with_range(range_end))
}

fn operations(operations: Vec<RequestOp>) -> Result<Vec<TxnOp>, Status> {
    let operation = |RequestOp { request }| match request {
        Some(Request::RequestRange(request)) => get(request).map(|(key, options)| TxnOp::get(key, Some(options))),
        Some(Request::RequestPut(request)) => Ok(put(request)),
        Some(Request::RequestDeleteRange(request)) => {
            let (key, options) = delete(request);
            Ok(TxnOp::delete(key, Some(options)))
        }
        Some(Request::RequestTxn(request)) => transaction(request).map(TxnOp::txn),
        None => Err(Status::invalid_argument("an operation of a transaction that is none")),
    };
    operations.into_iter().map(operation).collect()
}

fn unknown(error: &impl ToString) -> Status {
    Status::invalid_argument(error.to_string())
}
