//! A store's history in memory, and a client that reads a stream's answers.

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use prost::Message;
use registry_proto::etcdserverpb::watch_request::RequestUnion;
use registry_proto::etcdserverpb::{
    ResponseHeader, WatchCancelRequest, WatchCreateRequest, WatchProgressRequest, WatchRequest, WatchResponse,
};
use registry_proto::mvccpb::{self, KeyValue};

use crate::mvcc::{Event, EventKind, RevisionEvents};
use crate::types::Revision;
use crate::watch::{Compacted, History, Hub, Limits, WatchStream};

/// A double of the store.
#[derive(Default)]
pub(super) struct Store(Mutex<Contents>, Mutex<Option<AfterRead>>);

/// Runs once, when history has been read and before the reader goes on.
type AfterRead = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Contents {
    batches: Vec<Arc<RevisionEvents>>,
    compacted: i64,
}

impl History for Store {
    fn revision(&self) -> Revision {
        Revision(1 + self.0.lock().batches.len() as i64)
    }

    fn events(&self, from: Revision, prev_kv: bool, max_bytes: usize) -> Result<Vec<RevisionEvents>, Compacted> {
        let mut batches = self.read(from, max_bytes);
        if !prev_kv && let Ok(batches) = &mut batches {
            batches.iter_mut().flat_map(|batch| &mut batch.events).for_each(|event| event.prev_kv = None);
        }
        if let Some(after_read) = self.1.lock().take() {
            after_read();
        }
        batches
    }
}

impl Store {
    fn read(&self, from: Revision, max_bytes: usize) -> Result<Vec<RevisionEvents>, Compacted> {
        let contents = self.0.lock();
        if from.0 <= contents.compacted {
            return Err(Compacted(Revision(contents.compacted)));
        }
        let mut bytes = 0;
        let mut batches = Vec::new();
        for batch in contents.batches.iter().filter(|batch| batch.revision >= from) {
            batches.push((**batch).clone());
            bytes += batch.events.iter().map(|event| event.kv.len()).sum::<usize>();
            if bytes >= max_bytes {
                break;
            }
        }
        Ok(batches)
    }

    /// Writes one revision of puts (a value) and deletions (none), without publishing it.
    pub(super) fn write(&self, changes: &[(&str, Option<&str>)]) -> Arc<RevisionEvents> {
        let mut contents = self.0.lock();
        let revision = Revision(2 + contents.batches.len() as i64);
        let events = changes.iter().map(|(key, value)| event(key, *value, revision.0)).collect();
        let batch = Arc::new(RevisionEvents { revision, events });
        contents.batches.push(Arc::clone(&batch));
        batch
    }

    pub(super) fn batch(&self, revision: i64) -> Arc<RevisionEvents> {
        Arc::clone(&self.0.lock().batches[revision as usize - 2])
    }

    pub(super) fn compact(&self, revision: i64) {
        let mut contents = self.0.lock();
        contents.compacted = contents.compacted.max(revision);
    }
}

fn event(key: &str, value: Option<&str>, revision: i64) -> Event {
    let encode = |mod_revision, value: &str, version| {
        let key = Bytes::copy_from_slice(key.as_bytes());
        let value = Bytes::copy_from_slice(value.as_bytes());
        let kv = KeyValue { key, mod_revision, value, version, ..KeyValue::default() };
        Bytes::from(kv.encode_to_vec())
    };
    Event {
        kind: if value.is_some() { EventKind::Put } else { EventKind::Delete },
        key: Bytes::copy_from_slice(key.as_bytes()),
        kv: encode(revision, value.unwrap_or_default(), i64::from(value.is_some())),
        prev_kv: Some(encode(revision - 1, "before", 1)),
    }
}

/// Tells a hub of what was written.
pub(super) fn publish(hub: &Hub, batch: &RevisionEvents) {
    hub.publish(batch.revision, || batch.events.clone());
}

/// A hub over a store.
pub(super) struct Bench {
    pub(super) store: Arc<Store>,
    pub(super) hub: Arc<Hub>,
}

impl Bench {
    pub(super) fn new() -> Self {
        let store = Arc::new(Store::default());
        Self { hub: Hub::new(Arc::clone(&store) as Arc<dyn History>), store }
    }

    /// Writes and publishes one revision.
    pub(super) fn write(&self, changes: &[(&str, Option<&str>)]) {
        publish(&self.hub, &self.store.write(changes));
    }

    pub(super) fn put(&self, key: &str) {
        self.write(&[(key, Some("value"))]);
    }

    /// Writes and publishes one revision between the next read of history and what comes of it.
    pub(super) fn put_at_next_read(&self, key: &'static str) {
        let (store, hub) = (Arc::clone(&self.store), Arc::clone(&self.hub));
        let put = move || publish(&hub, &store.write(&[(key, Some("value"))]));
        *self.store.1.lock() = Some(Box::new(put));
    }

    pub(super) fn client(&self) -> Client {
        self.client_with(Limits::default())
    }

    pub(super) fn client_with(&self, limits: Limits) -> Client {
        let headers = |revision: Revision| ResponseHeader { revision: revision.0, ..ResponseHeader::default() };
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&wakes));
        Client { stream: self.hub.open(limits, Arc::new(headers)), wakes, waker }
    }
}

/// Counts how often a stream was woken.
#[derive(Default)]
pub(super) struct Wakes {
    count: Mutex<usize>,
    changed: Condvar,
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        *self.count.lock() += 1;
        self.changed.notify_all();
    }
}

/// The client's side of a stream.
pub(super) struct Client {
    pub(super) stream: WatchStream,
    wakes: Arc<Wakes>,
    waker: Waker,
}

impl Client {
    pub(super) fn create(&mut self, create: WatchCreateRequest) {
        self.stream.request(WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) });
    }

    pub(super) fn cancel(&mut self, watch_id: i64) {
        let cancel = WatchCancelRequest { watch_id };
        self.stream.request(WatchRequest { request_union: Some(RequestUnion::CancelRequest(cancel)) });
    }

    pub(super) fn ask_progress(&mut self) {
        let progress = WatchProgressRequest {};
        self.stream.request(WatchRequest { request_union: Some(RequestUnion::ProgressRequest(progress)) });
    }

    /// Polls; rests take no time.
    pub(super) fn poll(&mut self) -> Option<WatchResponse> {
        loop {
            let answer = self.poll_once();
            if answer.is_some() || !self.stream.is_resting() {
                return answer;
            }
            self.stream.rested();
        }
    }

    /// Polls once.
    pub(super) fn poll_once(&mut self) -> Option<WatchResponse> {
        match self.stream.poll_answer(&Context::from_waker(&self.waker)) {
            Poll::Ready(answer) => Some(answer),
            Poll::Pending => None,
        }
    }

    /// How often the stream was woken so far.
    pub(super) fn wakes(&self) -> usize {
        *self.wakes.count.lock()
    }

    /// Waits until the stream was woken more than so often.
    pub(super) fn wait_for_more_wakes(&self, than: usize) {
        let mut count = self.wakes.count.lock();
        while *count <= than {
            let waited = self.wakes.changed.wait_for(&mut count, Duration::from_secs(20));
            assert!(!waited.timed_out(), "nobody woke the stream");
        }
    }

    /// All answers until the stream neither has one nor has woken itself.
    pub(super) fn answers(&mut self) -> Vec<WatchResponse> {
        let mut answers = Vec::new();
        loop {
            let before = self.wakes();
            match self.poll() {
                Some(answer) => answers.push(answer),
                None if self.wakes() == before => return answers,
                None => {}
            }
        }
    }

    /// Creates a watcher and reads the answer that says so.
    pub(super) fn created(&mut self, create: WatchCreateRequest) -> i64 {
        self.create(create);
        let answer = self.poll().unwrap();
        assert!(answer.created && !answer.canceled, "{answer:?}");
        answer.watch_id
    }
}

/// A request for one key.
pub(super) fn key(key: &str) -> WatchCreateRequest {
    WatchCreateRequest { key: Bytes::copy_from_slice(key.as_bytes()), ..WatchCreateRequest::default() }
}

/// A request for the keys from `start` up to `end`.
pub(super) fn range(start: &str, end: &str) -> WatchCreateRequest {
    WatchCreateRequest { range_end: Bytes::copy_from_slice(end.as_bytes()), ..key(start) }
}

/// The decoded events of an answer.
pub(super) fn decoded(answer: &WatchResponse) -> Vec<mvccpb::Event> {
    answer.events.clone().into_messages().unwrap()
}

/// Key and revision of each event, as `key@revision`.
pub(super) fn seen(answer: &WatchResponse) -> Vec<String> {
    let name = |event: &mvccpb::Event| {
        let kv = event.kv.as_ref().unwrap();
        format!("{}@{}", String::from_utf8_lossy(&kv.key), kv.mod_revision)
    };
    decoded(answer).iter().map(name).collect()
}

pub(super) fn revision(answer: &WatchResponse) -> i64 {
    answer.header.as_ref().unwrap().revision
}
