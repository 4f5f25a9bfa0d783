//! Watching a registration's own keys: a keep-alive that succeeds does not prove that they are there.
//!
//! Keys that are neighbours in one service share a watch of all that lies between them, as a watch for each of
//! ten thousand would cost the registry more than the keys; what others have there is passed over.

use bytes::Bytes;
use registry_proto::mvccpb::event::EventType;
use tokio::sync::mpsc;

use super::machine::Event;
use super::rpc::holder;
use crate::backoff::Delays;
use crate::channel::Channel;
use crate::watch::hub::{Message, WatchHub};
use crate::watch::list::list;
use crate::watch::span::Span;

/// Keys of one service, at least one, in order, and the place of the first.
#[derive(Debug)]
pub(super) struct Run {
    first: usize,
    keys: Vec<Bytes>,
}

/// Parts keys that are in order by their services.
pub(super) fn runs(keys: impl Iterator<Item = Bytes>) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (place, key) in keys.enumerate() {
        match runs.last_mut() {
            Some(run) if service(&run.keys[0]) == service(&key) => run.keys.push(key),
            _ => runs.push(Run { first: place, keys: vec![key] }),
        }
    }
    runs
}

/// All of a key but the instance's id.
fn service(key: &Bytes) -> &[u8] {
    let end = key.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
    &key[..end]
}

impl Run {
    fn span(&self) -> Span {
        let (first, last) = (&self.keys[0], &self.keys[self.keys.len() - 1]);
        if first == last {
            return Span::key(first.clone());
        }
        Span { key: first.clone(), end: [last, &[0][..]].concat().into() }
    }

    /// Where the key's instance stands, if it is one of ours.
    fn place(&self, key: &Bytes) -> Option<usize> {
        self.keys.binary_search(key).ok().map(|index| self.first + index)
    }
}

/// Tells what becomes of the keys after `revision`, until it is dropped.
pub(super) async fn watch(channel: Channel, hub: WatchHub, run: Run, revision: i64, route: mpsc::Sender<Event>) {
    let mut next = revision + 1;
    let mut pauses = Delays::random();
    loop {
        let mut watch = hub.watch(run.span(), next).await;
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
                        let Some(place) = run.place(&kv.key) else { continue };
                        let holder = put.then(|| holder(kv));
                        if route.send(Event::Key { place, revision, holder }).await.is_err() {
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
        if read_again && let Some(revision) = tell_all(&channel, &run, &route).await {
            next = revision + 1;
        }
    }
}

/// Tells what stands under each key now; says at which revision that is.
async fn tell_all(channel: &Channel, run: &Run, route: &mpsc::Sender<Event>) -> Option<i64> {
    let listing = list(channel, &run.span()).await.ok()?;
    let revision = listing.revision;
    let mut kvs = listing.kvs.into_iter().peekable();
    for (index, key) in run.keys.iter().enumerate() {
        // Both are in the order of keys.
        while kvs.next_if(|kv| kv.key < *key).is_some() {}
        let holder = kvs.next_if(|kv| kv.key == *key).map(holder);
        route.send(Event::KeyRead { place: run.first + index, revision, holder }).await.ok()?;
    }
    Some(revision)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g06_neighbours_of_one_service_share_a_watch_that_ends_with_the_last() {
        let keys = ["/services/a/1", "/services/a/2", "/services/a/7", "/services/b/1", "/services/b-c/1"];
        let runs = runs(keys.iter().map(|key| Bytes::from_static(key.as_bytes())));
        assert_eq!(runs.iter().map(|run| (run.first, run.keys.len())).collect::<Vec<_>>(), [(0, 3), (3, 1), (4, 1)]);
        let span = runs[0].span();
        assert_eq!((&span.key[..], &span.end[..]), (&b"/services/a/1"[..], &b"/services/a/7\0"[..]));
        assert_eq!(runs[1].span().end, Bytes::new());
        assert_eq!(runs[0].place(&Bytes::from_static(b"/services/a/7")), Some(2));
        assert_eq!(runs[0].place(&Bytes::from_static(b"/services/a/5")), None);
    }
}
