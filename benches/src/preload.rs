//! The keys that must be there before reads are measured.

use futures_util::{StreamExt, TryStreamExt, stream};
use registry_proto::etcdserverpb::kv_client::KvClient;

use crate::BenchError;
use crate::channel::{Connection, Endpoint};
use crate::clients::put_all;
use crate::keys::Keys;
use crate::load::{Load, MAX_TXN_PUTS};

const TXNS_UNDER_WAY: usize = 8;
/// Well below what servers accept in one request.
const TXN_BYTES: u64 = 512 * 1024;

/// Puts every key of the load's key space once.
pub(crate) async fn preload(load: &Load, endpoint: &Endpoint, keys: &Keys) -> Result<(), BenchError> {
    let kv = KvClient::with_origin(Connection::open(endpoint).await?, endpoint.origin());
    let step = (TXN_BYTES / (load.value_bytes + load.key_bytes).max(1) as u64).clamp(1, MAX_TXN_PUTS);
    let firsts = (0..load.key_space).step_by(usize::try_from(step).unwrap_or(1));
    let puts = firsts.map(|first| {
        let (mut kv, request) = (kv.clone(), put_all(keys, first..load.key_space.min(first + step)));
        async move { kv.txn(request).await.map_err(BenchError::operation("loading keys")) }
    });
    stream::iter(puts).buffer_unordered(TXNS_UNDER_WAY).try_for_each(|_| std::future::ready(Ok(()))).await
}
