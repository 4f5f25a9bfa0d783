//! The feed of tonic's own balancer. Feature `tonic`; its limits stand at
//! [`ServiceWatchExt::drive_tonic_with`](crate::ServiceWatchExt::drive_tonic_with).
//!
//! What tonic has not taken yet waits in its bounded queue; the feed waits when that is full, and takes the newest
//! snapshot afterwards, so an idle channel holds no more than its queue.

use futures_util::StreamExt;
use tokio::sync::mpsc;
use tonic::transport::Endpoint;
use tonic::transport::channel::Change as TonicChange;

use crate::diff::Change;
use crate::resolve::Resolve;
use crate::target::{Key, Target};

/// The sending half of a [`balance_channel`](tonic::transport::Channel::balance_channel).
pub type TonicSender = mpsc::Sender<TonicChange<Key, Endpoint>>;

/// Passes changes on until the channel is dropped or discovery ends.
pub(crate) async fn feed<F>(mut resolve: Resolve, sender: TonicSender, mut configure: F)
where
    F: FnMut(&Target, Endpoint) -> Endpoint,
{
    loop {
        let batch = tokio::select! {
            () = sender.closed() => return,
            batch = resolve.next() => batch,
        };
        let Some(batch) = batch else { return };
        for change in batch.into_iter().filter_map(|change| translated(change, &mut configure)) {
            if sender.send(change).await.is_err() {
                return;
            }
        }
    }
}

/// What tonic is told; nothing of a changed weight, which it has no use for.
fn translated<F>(change: Change, configure: &mut F) -> Option<TonicChange<Key, Endpoint>>
where
    F: FnMut(&Target, Endpoint) -> Endpoint,
{
    match change {
        Change::Remove(key) => Some(TonicChange::Remove(key)),
        Change::Update(_) => None,
        Change::Insert(target) => match Endpoint::from_shared(target.endpoint().uri()) {
            Ok(endpoint) => Some(TonicChange::Insert(target.key().clone(), configure(&target, endpoint))),
            Err(error) => {
                tracing::warn!(%target, %error, "tonic cannot read the address; the endpoint is left out");
                None
            }
        },
    }
}
