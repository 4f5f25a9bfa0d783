//! The keys that must be there before reads are measured.

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use registry_proto::etcdserverpb::kv_client::KvClient;
use registry_proto::etcdserverpb::lease_client::LeaseClient;
use registry_proto::etcdserverpb::{LeaseGrantRequest, LeaseRevokeRequest};
use tokio::time::sleep;

use crate::BenchError;
use crate::channel::{Connection, Endpoint};
use crate::clients::put_all;
use crate::keys::Keys;
use crate::load::{Load, MAX_TXN_PUTS};

const TXNS_UNDER_WAY: usize = 8;
/// Well below what servers accept in one request.
const TXN_BYTES: u64 = 512 * 1024;

/// What makes etcd commit without a put: twice is enough to empty its buffer, once more is cheap.
const SETTLING_LEASES: usize = 3;
/// Longer than etcd lets a commit wait (100 ms).
const COMMIT_WAIT: Duration = Duration::from_millis(250);

/// Puts every key of the load's key space once.
pub(crate) async fn preload(load: &Load, endpoint: &Endpoint, keys: &Keys) -> Result<(), BenchError> {
    let kv = KvClient::with_origin(Connection::open(endpoint).await?, endpoint.origin());
    let step = (TXN_BYTES / (load.value_bytes + load.key_bytes).max(1) as u64).clamp(1, MAX_TXN_PUTS);
    let firsts = (0..load.key_space).step_by(usize::try_from(step).unwrap_or(1));
    let puts = firsts.map(|first| {
        let (mut kv, request) = (kv.clone(), put_all(keys, first..load.key_space.min(first + step)));
        async move { kv.txn(request).await.map_err(BenchError::operation("loading keys")) }
    });
    stream::iter(puts).buffer_unordered(TXNS_UNDER_WAY).try_for_each(|_| std::future::ready(Ok(()))).await?;
    settle(endpoint).await
}

/// Lets a server settle after the burst: right after it, reads of etcd 3.4 cost several times what they cost a
/// second later, which is not what is to be measured.
async fn settle(endpoint: &Endpoint) -> Result<(), BenchError> {
    let mut leases = LeaseClient::with_origin(Connection::open(endpoint).await?, endpoint.origin());
    let failed = BenchError::operation("settling");
    for _ in 0..SETTLING_LEASES {
        let grant = LeaseGrantRequest { ttl: 60, id: 0 };
        let id = leases.lease_grant(grant).await.map_err(&failed)?.into_inner().id;
        sleep(COMMIT_WAIT).await;
        leases.lease_revoke(LeaseRevokeRequest { id }).await.map_err(&failed)?;
    }
    sleep(COMMIT_WAIT).await;
    Ok(())
}
