//! Following a prefix: list at a revision, watch from the next one on, and list again when history has a gap.
//!
//! What is told adds up to what the registry has: after a gap the difference is told, deletions included. While the
//! registry is away nothing is told, and the values stay as they were.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use registry_proto::etcdserverpb::kv_client::KvClient;
use registry_proto::etcdserverpb::watch_client::WatchClient;
use registry_proto::etcdserverpb::watch_request::RequestUnion;
use registry_proto::etcdserverpb::{RangeRequest, WatchCreateRequest, WatchRequest};
use registry_proto::mvccpb::event::EventType;
use registry_proto::mvccpb::{Event, KeyValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

/// Between two attempts; a service that many copies run of would add some jitter.
const PAUSE: Duration = Duration::from_secs(1);
/// A connection that says nothing for so long, pings included, is given up. etcd allows no more pings than one in 5 s.
const PING_INTERVAL: Duration = Duration::from_secs(10);
const PING_LIMIT: Duration = Duration::from_secs(5);

/// What becomes of the configuration.
#[derive(Debug)]
pub(crate) enum Change<'a> {
    /// A value is new, or another one. The name is the key without the prefix.
    Set { name: &'a str, value: &'a str },
    /// A value was deleted.
    Gone { name: &'a str },
    /// Everything up to that revision was told.
    Current { revision: i64 },
}

/// What is known of a prefix.
pub(crate) struct Follower {
    channel: Channel,
    prefix: String,
    known: BTreeMap<String, String>,
    /// Everything up to it is in.
    revision: i64,
}

impl Follower {
    /// Nothing is asked yet. Needs a tokio runtime.
    pub(crate) fn new(endpoints: &[String], prefix: &str) -> Result<Self, tonic::transport::Error> {
        let endpoint = |url: &String| {
            let endpoint = Endpoint::from_shared(url.clone())?.http2_keep_alive_interval(PING_INTERVAL);
            Ok::<_, tonic::transport::Error>(endpoint.keep_alive_timeout(PING_LIMIT).connect_timeout(PING_LIMIT))
        };
        let endpoints = endpoints.iter().map(endpoint).collect::<Result<Vec<_>, _>>()?;
        let channel = Channel::balance_list(endpoints.into_iter());
        Ok(Self { channel, prefix: prefix.to_owned(), known: BTreeMap::new(), revision: 0 })
    }

    /// Tells every change, for ever. Dropping the future loses nothing: the next call goes on from here.
    pub(crate) async fn follow(&mut self, mut tell: impl FnMut(Change<'_>)) -> Infallible {
        let mut must_list = self.revision == 0;
        loop {
            let outcome = async {
                if must_list {
                    self.list(&mut tell).await?;
                    // Not before: a list that failed is still to come.
                    must_list = false;
                }
                self.watch(&mut tell).await
            };
            // History is compacted, or the registry has less of it than we have seen: only a list tells what there is.
            let is_behind = matches!(outcome.await, Err(status) if status.code() == Code::OutOfRange);
            must_list |= is_behind;
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Everything there is, at one revision; tells how it differs from what was known.
    async fn list(&mut self, tell: &mut impl FnMut(Change<'_>)) -> Result<(), Status> {
        let request = RangeRequest {
            key: self.prefix.clone().into(),
            range_end: end_of(&self.prefix).into(),
            ..RangeRequest::default()
        };
        let answer = KvClient::new(self.channel.clone()).range(request).await?.into_inner();
        let kvs = answer.kvs.into_messages().map_err(|error| Status::internal(error.to_string()))?;
        let mut gone = std::mem::take(&mut self.known);
        for kv in kvs {
            let Some((name, value)) = self.entry(&kv) else { continue };
            if gone.remove(&name).as_ref() != Some(&value) {
                tell(Change::Set { name: &name, value: &value });
            }
            self.known.insert(name, value);
        }
        gone.keys().for_each(|name| tell(Change::Gone { name }));
        self.revision = answer.header.unwrap_or_default().revision;
        tell(Change::Current { revision: self.revision });
        Ok(())
    }

    /// Follows what comes behind the known revision until the stream ends.
    async fn watch(&mut self, tell: &mut impl FnMut(Change<'_>)) -> Result<(), Status> {
        let create = WatchCreateRequest {
            key: self.prefix.clone().into(),
            range_end: end_of(&self.prefix).into(),
            start_revision: self.revision + 1,
            ..WatchCreateRequest::default()
        };
        let request = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
        // The stream of requests stays open, or the server would end the watch.
        let requests = tokio_stream::StreamExt::chain(tokio_stream::once(request), tokio_stream::pending());
        let mut answers = WatchClient::new(self.channel.clone()).watch(requests).await?.into_inner();
        while let Some(answer) = answers.message().await? {
            if answer.created && answer.header.is_some_and(|header| header.revision < self.revision) {
                return Err(Status::out_of_range("the registry was restored from a backup, or is another one"));
            }
            if answer.canceled {
                return Err(Status::out_of_range(answer.cancel_reason));
            }
            let events = answer.events.into_messages().map_err(|error| Status::internal(error.to_string()))?;
            self.take(events, tell);
        }
        Ok(())
    }

    /// The events of whole revisions: without `fragment` an answer never ends inside one.
    fn take(&mut self, events: Vec<Event>, tell: &mut impl FnMut(Change<'_>)) {
        let Some(revision) = events.iter().filter_map(|event| Some(event.kv.as_ref()?.mod_revision)).max() else {
            return;
        };
        for event in events {
            let Some((name, value)) = event.kv.as_ref().and_then(|kv| self.entry(kv)) else { continue };
            if event.r#type() == EventType::Delete {
                self.known.remove(&name);
                tell(Change::Gone { name: &name });
            } else {
                tell(Change::Set { name: &name, value: &value });
                self.known.insert(name, value);
            }
        }
        self.revision = revision;
        tell(Change::Current { revision });
    }

    /// Name and value; none for what is no text.
    fn entry(&self, kv: &KeyValue) -> Option<(String, String)> {
        let name = std::str::from_utf8(&kv.key).ok()?.strip_prefix(&self.prefix)?;
        Some((name.to_owned(), String::from_utf8_lossy(&kv.value).into_owned()))
    }
}

/// Where the keys end that begin with a prefix whose last character is a `/`.
fn end_of(prefix: &str) -> String {
    format!("{}0", prefix.trim_end_matches('/'))
}
