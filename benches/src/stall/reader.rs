//! A watcher of all keys that reads nothing until it is told to, and then checks every event.

use registry_proto::etcdserverpb::watch_client::WatchClient;
use registry_proto::etcdserverpb::{WatchCreateRequest, WatchResponse};
use registry_proto::mvccpb::Event;
use serde::Serialize;
use tokio::runtime;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use crate::BenchError;
use crate::channel::{Connection, Endpoint};
use crate::clients::watch::{self, Stream};
use crate::clients::{EVENTS_LIMIT, MAX_ANSWER_BYTES};

const OPERATION: &str = "stalled watch";
/// Put after all others, so that a reader knows that there is no more. Outside of the key space of a load, which
/// is of digits.
pub(super) const LAST_KEY: &[u8] = b"stall-end";

/// What is added to a thread's niceness.
const LOWEST_PRIORITY: i32 = 19;

/// What a stalled watcher got in the end.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Caught {
    /// Events, each of the revision after the one before: one for each put.
    pub events: u64,
    /// Seconds from when it began to read to when it had all that had been put until then; none if it was
    /// cancelled before.
    pub up_to_date_seconds: Option<f64>,
    /// How it ended.
    pub end: End,
    /// When, in seconds from when it began to read.
    pub end_seconds: f64,
}

/// How a stalled watcher ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// It had every event of the run.
    Complete,
    /// It was cancelled and told the compacted revision, up to which it had not got all events.
    Compacted {
        /// As told.
        revision: i64,
    },
}

/// A stalled watcher on a thread of its own, which gives way to all others: elsewhere, where a client has a machine of its
/// own, what it does when it reads would take no time from the server or from those whose lag is measured.
#[derive(Debug)]
pub(super) struct Stalled {
    /// Has it read, and tells it at which revision the store is now.
    go: oneshot::Sender<i64>,
    caught: oneshot::Receiver<Result<Caught, BenchError>>,
}

impl Stalled {
    /// Opens the watch.
    pub(super) async fn start(endpoint: &Endpoint) -> Result<Self, BenchError> {
        let (go, told) = oneshot::channel();
        let (done, caught) = oneshot::channel();
        let (opened, opening) = oneshot::channel();
        let endpoint = endpoint.clone();
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(BenchError::system("a stalled watcher's runtime"))?;
        let watch = async move {
            match Watcher::open_aside(&endpoint).await {
                Ok(watcher) => {
                    // Whoever is gone wants nothing any more.
                    drop(opened.send(Ok(())));
                    if let Ok(behind) = told.await {
                        drop(done.send(watcher.read(behind).await));
                    }
                }
                Err(error) => drop(opened.send(Err(error))),
            }
        };
        let thread = std::thread::Builder::new().name("stalled".to_owned());
        thread.spawn(move || runtime.block_on(watch)).map_err(BenchError::system("a stalled watcher's thread"))?;
        opening.await.map_err(|_| ended())??;
        Ok(Self { go, caught })
    }

    /// Begins to read. `behind` is the revision at which the store is now.
    pub(super) fn read(self, behind: i64) -> Reading {
        // One that has ended tells why below.
        self.go.send(behind).ok();
        Reading(self.caught)
    }
}

/// A watcher that reads.
#[derive(Debug)]
pub(super) struct Reading(oneshot::Receiver<Result<Caught, BenchError>>);

impl Reading {
    /// Waits until it has read all, or was cancelled.
    pub(super) async fn caught(self) -> Result<Caught, BenchError> {
        self.0.await.map_err(|_| ended())?
    }
}

fn ended() -> BenchError {
    BenchError::Load("a stalled watcher's thread has ended".to_owned())
}

/// The watcher.
#[derive(Debug)]
struct Watcher {
    stream: Stream,
}

impl Watcher {
    /// As [`Self::open`], once the thread has given way to all others.
    async fn open_aside(endpoint: &Endpoint) -> Result<Self, BenchError> {
        // Linux lowers the calling thread alone.
        let lowered = rustix::process::nice(LOWEST_PRIORITY).map_err(std::io::Error::from);
        lowered.map_err(BenchError::system("a stalled watcher's priority"))?;
        Self::open(endpoint).await
    }

    /// Opens the watch. What the client's windows hold arrives without being read.
    async fn open(endpoint: &Endpoint) -> Result<Self, BenchError> {
        let stub = WatchClient::with_origin(Connection::open(endpoint).await?, endpoint.origin());
        let from_the_first = b"\0".as_slice();
        let (key, range_end) = (from_the_first.into(), from_the_first.into());
        let all = WatchCreateRequest { key, range_end, ..WatchCreateRequest::default() };
        Ok(Self { stream: watch::open(stub.max_decoding_message_size(MAX_ANSWER_BYTES), [all]).await? })
    }

    /// Reads until the last key comes, or until it is cancelled. `behind` is the revision at which the store is now.
    async fn read(mut self, behind: i64) -> Result<Caught, BenchError> {
        let (mut account, began) = (Account::default(), Instant::now());
        let mut up_to_date_seconds = None;
        loop {
            let answer = timeout(EVENTS_LIMIT, self.stream.answers.message()).await;
            let answer = answer.map_err(|_| account.fault(format!("nothing came for {EVENTS_LIMIT:?}")))?;
            let answer = answer.map_err(BenchError::operation(OPERATION))?;
            let answer = answer.ok_or_else(|| account.fault("the stream has ended"))?;
            let end = account.take(answer)?;
            let seconds = began.elapsed().as_secs_f64();
            if account.next.is_some_and(|next| next > behind) {
                up_to_date_seconds.get_or_insert(seconds);
            }
            if let Some(end) = end {
                return Ok(Caught { events: account.events, up_to_date_seconds, end, end_seconds: seconds });
            }
        }
    }
}

/// What it has got so far, checked.
#[derive(Debug, Default)]
struct Account {
    /// The revision that must come next; none before the first event.
    next: Option<i64>,
    events: u64,
}

impl Account {
    fn take(&mut self, answer: WatchResponse) -> Result<Option<End>, BenchError> {
        if answer.canceled {
            return self.cancelled(answer.compact_revision, &answer.cancel_reason).map(Some);
        }
        let events = answer.events.into_messages().map_err(|error| self.fault(error.to_string()))?;
        for event in &events {
            if self.take_event(event)? {
                return Ok(Some(End::Complete));
            }
        }
        Ok(None)
    }

    /// Whether it was the last.
    fn take_event(&mut self, event: &Event) -> Result<bool, BenchError> {
        let kv = event.kv.as_ref().ok_or_else(|| self.fault("an event without a key"))?;
        let revision = kv.mod_revision;
        if self.next.is_some_and(|next| next != revision) {
            return Err(self.fault(format!("revision {revision} came")));
        }
        self.next = Some(revision + 1);
        if kv.key == LAST_KEY {
            return Ok(true);
        }
        self.events += 1;
        Ok(false)
    }

    /// A cancellation is in order only for events that are compacted and were not yet sent. Those of the compacted
    /// revision itself are still there.
    fn cancelled(&self, compacted: i64, reason: &str) -> Result<End, BenchError> {
        if compacted == 0 {
            return Err(self.fault(format!("it was cancelled without a compacted revision: {reason}")));
        }
        if self.next.is_some_and(|next| next >= compacted) {
            return Err(self.fault(format!("it was cancelled although history begins at {compacted}")));
        }
        Ok(End::Compacted { revision: compacted })
    }

    fn fault(&self, what: impl Into<String>) -> BenchError {
        let wanted = self.next.map_or_else(|| "its first event".to_owned(), |next| format!("revision {next}"));
        BenchError::answer(OPERATION, format!("after {} events, when {wanted} was due: {}", self.events, what.into()))
    }
}

#[cfg(test)]
mod tests {
    use registry_proto::mvccpb::KeyValue;
    use registry_proto::stored::Events;

    use super::*;

    fn answer(revisions: &[i64], key: &'static [u8]) -> WatchResponse {
        let event = |revision: &i64| {
            let kv = KeyValue { key: key.into(), mod_revision: *revision, ..KeyValue::default() };
            Event { kv: Some(kv), ..Event::default() }
        };
        WatchResponse { events: Events::Decoded(revisions.iter().map(event).collect()), ..WatchResponse::default() }
    }

    fn cancelled(compact_revision: i64) -> WatchResponse {
        WatchResponse { canceled: true, compact_revision, ..WatchResponse::default() }
    }

    #[test]
    fn events_of_one_revision_after_the_other_are_counted_up_to_the_last_key() {
        let mut account = Account::default();
        assert_eq!(account.take(answer(&[5, 6, 7], b"1")).unwrap(), None);
        assert_eq!(account.take(answer(&[8], b"1")).unwrap(), None);
        assert_eq!(account.take(answer(&[9], LAST_KEY)).unwrap(), Some(End::Complete));
        assert_eq!(account.events, 4);
    }

    #[test]
    fn a_gap_and_a_repetition_are_faults() {
        for second in [4, 5, 7] {
            let mut account = Account::default();
            account.take(answer(&[5], b"1")).unwrap();
            let fault = account.take(answer(&[second], b"1")).unwrap_err().to_string();
            assert!(fault.contains("when revision 6 was due"), "{fault}");
        }
    }

    #[test]
    fn a_cancellation_must_tell_the_compacted_revision_and_be_for_what_is_missing() {
        for (compacted, is_in_order) in [(0, false), (5, false), (6, false), (7, true)] {
            let mut account = Account::default();
            account.take(answer(&[5], b"1")).unwrap();
            let end = account.take(cancelled(compacted));
            assert_eq!(end.is_ok_and(|end| end == Some(End::Compacted { revision: compacted })), is_in_order);
        }
    }
}
