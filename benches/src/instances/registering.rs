//! Putting the instances of a service, as the SDK writes them.

use registry_proto::etcdserverpb::kv_client::KvClient;
use registry_proto::etcdserverpb::lease_client::LeaseClient;
use registry_proto::etcdserverpb::request_op::Request;
use registry_proto::etcdserverpb::{LeaseGrantRequest, PutRequest, RequestOp, TxnRequest};

use crate::BenchError;
use crate::channel::{Connection, Endpoint};

/// The service that all instances are of.
pub(super) const SERVICE: &str = "bench";
/// etcd's bound of a transaction.
const TXN_OPS: usize = 128;
/// The lease of the bulk outlives every measurement.
const BULK_TTL_SECONDS: i64 = 3_600;

pub(super) fn id(number: usize) -> String {
    format!("instance-{number:06}")
}

/// The put of one instance, with as much in it as is usual.
pub(super) fn put(number: usize, weight: usize, lease: i64) -> PutRequest {
    let address = format!("10.{}.{}.{}:9000", number >> 16 & 255, number >> 8 & 255, number & 255);
    let value = format!(
        r#"{{"version":1,"status":"up","endpoints":{{"grpc":{{"url":"http://{address}"}}}},"app_version":"1.4.0","zone":"a","weight":{weight},"tags":["stable"],"metadata":{{"node":"node-{number}"}}}}"#
    );
    let key = format!("/services/{SERVICE}/{}", id(number)).into();
    PutRequest { key, value: value.into(), lease, ..PutRequest::default() }
}

/// All instances under one lease, in as few transactions as etcd takes.
pub(super) async fn bulk(endpoint: &Endpoint, instances: usize) -> Result<(), BenchError> {
    let connection = Connection::open(endpoint).await?;
    let mut leases = LeaseClient::with_origin(connection.clone(), endpoint.origin());
    let grant = LeaseGrantRequest { ttl: BULK_TTL_SECONDS, id: 0 };
    let lease = leases.lease_grant(grant).await.map_err(BenchError::operation("grant"))?.into_inner().id;
    let mut kv = KvClient::with_origin(connection, endpoint.origin());
    let numbers: Vec<usize> = (0..instances).collect();
    for some in numbers.chunks(TXN_OPS) {
        let op = |number: &usize| RequestOp { request: Some(Request::RequestPut(put(*number, 100, lease))) };
        let txn = TxnRequest { success: some.iter().map(op).collect(), ..TxnRequest::default() };
        kv.txn(txn).await.map_err(BenchError::operation("txn"))?;
    }
    Ok(())
}
