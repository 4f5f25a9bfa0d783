//! Watching the registration's own key: a keep-alive that succeeds does not prove that the key is there.

use bytes::Bytes;
use tokio::sync::mpsc;

use super::machine::Event;
use super::rpc::{holder, read};
use crate::backoff::Delays;
use crate::channel::Channel;
use crate::watch::hub::{Message, WatchHub};
use crate::watch::span::Span;
use registry_proto::mvccpb::event::EventType;

/// Tells what becomes of `key` after `revision`, until it is dropped.
pub(super) async fn watch_key(channel: Channel, hub: WatchHub, key: Bytes, revision: i64, route: mpsc::Sender<Event>) {
    let mut next = revision + 1;
    let mut pauses = Delays::random();
    loop {
        let mut watch = hub.watch(Span::key(key.clone()), next).await;
        let mut read_again = false;
        while let Some(message) = watch.next().await {
            match message {
                // The registry has less history than we have seen: another one, or a member that lags.
                Message::Created { revision, .. } if revision + 1 < next => {
                    read_again = true;
                    break;
                }
                Message::Created { .. } => pauses = Delays::random(),
                Message::Events { events, .. } => {
                    for event in events {
                        let put = event.r#type() == EventType::Put;
                        let Some(kv) = event.kv else { continue };
                        let revision = kv.mod_revision;
                        next = next.max(revision + 1);
                        let holder = put.then(|| holder(kv));
                        if route.send(Event::Key { revision, holder }).await.is_err() {
                            return;
                        }
                    }
                }
                Message::Cancelled { .. } => {
                    read_again = true;
                    break;
                }
                Message::Lost(_) | Message::Moved => break,
            }
        }
        drop(watch);
        tokio::time::sleep(pauses.next()).await;
        if read_again && let Ok((revision, holder)) = read(&channel, &key).await {
            next = revision + 1;
            if route.send(Event::Key { revision, holder }).await.is_err() {
                return;
            }
        }
    }
}
