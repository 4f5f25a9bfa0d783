//! The keys that must be there before something else is measured.

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

pub(crate) const TXNS_UNDER_WAY: usize = 8;
/// Well below what servers accept in one request.
const TXN_BYTES: u64 = 512 * 1024;

/// What makes etcd commit without a put: twice is enough to empty its buffer, once more is cheap.
const SETTLING_LEASES: usize = 3;
/// Longer than etcd lets a commit wait (100 ms).
const COMMIT_WAIT: Duration = Duration::from_millis(250);

/// Puts every key of the load's key space once.
pub(crate) async fn preload(load: &Load, endpoint: &Endpoint, keys: &Keys) -> Result<(), BenchError> {
    let step = (TXN_BYTES / (load.value_bytes + load.key_bytes).max(1) as u64).clamp(1, MAX_TXN_PUTS);
    put_in_txns(endpoint, keys, load.key_space, step, &mut |_| {}).await?;
    settle(endpoint).await
}

/// Makes `revisions` key revisions, around the key space as often as that takes, in transactions of `step` puts
/// from [`TXNS_UNDER_WAY`] clients on one connection. `told` hears how many there are so far. `step` must be
/// at most the key space, as no transaction may put a key twice.
pub(crate) async fn put_in_txns(
    endpoint: &Endpoint,
    keys: &Keys,
    revisions: u64,
    step: u64,
    told: &mut (dyn FnMut(u64) + Send),
) -> Result<(), BenchError> {
    let kv = KvClient::with_origin(Connection::open(endpoint).await?, endpoint.origin());
    let firsts = (0..revisions).step_by(usize::try_from(step).unwrap_or(1));
    let puts = firsts.map(|first| {
        let end = revisions.min(first + step);
        let mut kv = kv.clone();
        async move {
            let request = put_all(keys, (first..end).map(|turn| keys.number_in(turn)));
            kv.txn(request).await.map_err(BenchError::operation("loading keys"))?;
            Ok(end - first)
        }
    });
    let mut done = 0;
    let mut answered = stream::iter(puts).buffer_unordered(TXNS_UNDER_WAY);
    while let Some(puts) = answered.try_next().await? {
        done += puts;
        told(done);
    }
    Ok(())
}

/// Lets a server settle after the burst: right after it, reads of etcd 3.4 cost several times what they cost a
/// second later, which is not what is to be measured.
pub(crate) async fn settle(endpoint: &Endpoint) -> Result<(), BenchError> {
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
