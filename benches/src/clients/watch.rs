//! Watchers of one key, and the writer that puts it.
//!
//! One operation is one event at one watcher. The value carries the time of its put (when it was due, in an
//! open loop), so a watcher knows an event's latency without asking anybody. In a closed loop the writer
//! lets at most `window` puts' events be under way, which keeps the server at work without growing a queue
//! for ever. A phase ends when every watcher has every event.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use registry_proto::etcdserverpb::kv_client::KvClient;
use registry_proto::etcdserverpb::watch_client::WatchClient;
use registry_proto::etcdserverpb::watch_request::RequestUnion;
use registry_proto::etcdserverpb::{PutRequest, WatchCreateRequest, WatchRequest, WatchResponse};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::{Client, MAX_ANSWER_BYTES};
use crate::BenchError;
use crate::channel::Connection;
use crate::crew::Plan;
use crate::load::MIN_WATCHED_VALUE_BYTES;
use crate::recorder::Recorder;

const OPERATION: &str = "watch";
/// Puts that may be under way in an open loop: one that waited for another's answer would be late by the
/// writer's own doing. In a closed loop one writer is enough, as the window is what bounds it.
const OPEN_LOOP_WRITERS: usize = 64;
/// How often a phase's end looks for the last events.
const POLL_EVERY: Duration = Duration::from_millis(1);
/// Events that take longer than this are taken for lost.
const EVENTS_LIMIT: Duration = Duration::from_secs(60);

/// What the writer and all watchers share.
#[derive(Debug)]
pub(crate) struct Fanout {
    /// What the times in values count from.
    epoch: Instant,
    watchers: u64,
    /// None in an open loop, whose rate is what bounds it.
    window: Option<u64>,
    sent: AtomicU64,
    delivered: AtomicU64,
    /// How many delivered events the writer waits for.
    awaited: AtomicU64,
    reached: Notify,
    failure: Mutex<Option<BenchError>>,
}

impl Fanout {
    pub(crate) fn new(watchers: usize, window: Option<u64>) -> Self {
        Self {
            epoch: Instant::now(),
            watchers: watchers as u64,
            window,
            sent: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            awaited: AtomicU64::new(u64::MAX),
            reached: Notify::new(),
            failure: Mutex::new(None),
        }
    }

    fn deliver(&self, events: u64) {
        let delivered = self.delivered.fetch_add(events, Ordering::SeqCst) + events;
        if delivered >= self.awaited.load(Ordering::SeqCst) {
            self.reached.notify_one();
        }
    }

    fn fail(&self, error: BenchError) {
        self.failure.lock().get_or_insert(error);
        self.reached.notify_one();
    }

    /// Waits until so many puts have arrived at all watchers. Only the one writer of a closed loop waits here.
    async fn arrived(&self, puts: u64) -> Result<(), BenchError> {
        let wanted = puts * self.watchers;
        self.awaited.store(wanted, Ordering::SeqCst);
        let arrival = async {
            while self.delivered.load(Ordering::SeqCst) < wanted && self.failure.lock().is_none() {
                self.reached.notified().await;
            }
        };
        let in_time = timeout(EVENTS_LIMIT, arrival).await;
        self.awaited.store(u64::MAX, Ordering::SeqCst);
        if let Some(error) = self.failure.lock().take() {
            return Err(error);
        }
        in_time.map_err(|_| self.missing(wanted))
    }

    /// Waits until all that has been sent has arrived; any number of writers may wait here.
    async fn all_arrived(&self) -> Result<(), BenchError> {
        let began = Instant::now();
        loop {
            if let Some(error) = self.failure.lock().take() {
                return Err(error);
            }
            let wanted = self.sent.load(Ordering::SeqCst) * self.watchers;
            if self.delivered.load(Ordering::SeqCst) >= wanted {
                return Ok(());
            }
            if began.elapsed() > EVENTS_LIMIT {
                return Err(self.missing(wanted));
            }
            sleep(POLL_EVERY).await;
        }
    }

    fn missing(&self, wanted: u64) -> BenchError {
        let delivered = self.delivered.load(Ordering::SeqCst);
        BenchError::answer(OPERATION, format!("{delivered} of {wanted} events after {EVENTS_LIMIT:?}"))
    }
}

/// Puts the watched key.
#[derive(Clone)]
pub(crate) struct Writer {
    kv: KvClient<Connection>,
    fanout: Arc<Fanout>,
    key: Bytes,
    value: Bytes,
}

/// The first thread has the writers, on a connection of its own; all threads have watchers, which run as tasks
/// of their own until the thread ends.
pub(crate) async fn watches(plan: &Plan) -> Result<Vec<Writer>, BenchError> {
    for (connection, number) in plan.connect().await?.into_iter().zip(plan.client_numbers()) {
        let stub = WatchClient::with_origin(connection, plan.endpoint.origin());
        let watchers = (number..plan.load.watchers).step_by(plan.load.clients).count();
        let stream = open(stub.max_decoding_message_size(MAX_ANSWER_BYTES), plan.keys.key(0), watchers).await?;
        tokio::spawn(receive(stream, Arc::clone(&plan.fanout), Arc::clone(&plan.recorder)));
    }
    if plan.thread != 0 {
        return Ok(Vec::new());
    }
    let kv = KvClient::with_origin(Connection::open(&plan.endpoint).await?, plan.endpoint.origin());
    let (key, value) = (plan.keys.key(0), plan.keys.value());
    let writers = if plan.load.rate.is_some() { OPEN_LOOP_WRITERS } else { 1 };
    let writer = Writer { kv, fanout: Arc::clone(&plan.fanout), key, value };
    Ok(std::iter::repeat_n(writer, writers).collect())
}

/// The answers, and what keeps the requests' side of the stream open.
struct Stream {
    answers: Streaming<WatchResponse>,
    _requests: mpsc::Sender<WatchRequest>,
}

/// A stream with so many watchers of the key, all confirmed.
async fn open(mut stub: WatchClient<Connection>, key: Bytes, watchers: usize) -> Result<Stream, BenchError> {
    let create = WatchCreateRequest { key, ..WatchCreateRequest::default() };
    let create = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
    let (requests, stream) = mpsc::channel(1);
    let ended = || BenchError::answer(OPERATION, "the stream has ended");
    requests.try_send(create.clone()).map_err(|_| ended())?;
    let failed = BenchError::operation(OPERATION);
    let mut answers = stub.watch(ReceiverStream::new(stream)).await.map_err(&failed)?.into_inner();
    for confirmed in 1..=watchers {
        let answer = answers.message().await.map_err(&failed)?.ok_or_else(ended)?;
        if !answer.created || answer.canceled {
            return Err(BenchError::answer(OPERATION, format!("a watcher was refused: {}", answer.cancel_reason)));
        }
        if confirmed < watchers {
            requests.send(create.clone()).await.map_err(|_| ended())?;
        }
    }
    Ok(Stream { answers, _requests: requests })
}

async fn receive(mut stream: Stream, fanout: Arc<Fanout>, recorder: Arc<Recorder>) {
    loop {
        let events = match stream.answers.message().await {
            Ok(Some(answer)) => take_events(answer, &fanout, &recorder),
            Ok(None) => Err(BenchError::answer(OPERATION, "the stream has ended")),
            Err(status) => Err(BenchError::operation(OPERATION)(status)),
        };
        match events {
            Ok(events) => fanout.deliver(events),
            Err(error) => return fanout.fail(error),
        }
    }
}

fn take_events(answer: WatchResponse, fanout: &Fanout, recorder: &Recorder) -> Result<u64, BenchError> {
    if answer.canceled {
        return Err(BenchError::answer(OPERATION, format!("a watcher was cancelled: {}", answer.cancel_reason)));
    }
    let now = fanout.epoch.elapsed();
    let events = answer.events.into_messages().map_err(|error| BenchError::answer(OPERATION, error.to_string()))?;
    for event in &events {
        let sent = event.kv.as_ref().and_then(|kv| time_in(&kv.value));
        let sent = sent.ok_or_else(|| BenchError::answer(OPERATION, "an event of somebody else's put"))?;
        recorder.record(now.saturating_sub(sent));
    }
    Ok(events.len() as u64)
}

impl Client for Writer {
    const TIMED: bool = false;

    async fn act(&mut self, due: Instant) -> Result<(), BenchError> {
        let mut sent = due;
        if let Some(window) = self.fanout.window {
            let puts = self.fanout.sent.load(Ordering::SeqCst);
            self.fanout.arrived((puts + 1).saturating_sub(window)).await?;
            sent = Instant::now();
        }
        let value = with_time(&self.value, sent - self.fanout.epoch);
        let put = PutRequest { key: self.key.clone(), value, ..PutRequest::default() };
        // Counted first: its events may be there before its answer.
        self.fanout.sent.fetch_add(1, Ordering::SeqCst);
        self.kv.put(put).await.map_err(BenchError::operation("put"))?;
        Ok(())
    }

    async fn settle(&mut self) -> Result<(), BenchError> {
        self.fanout.all_arrived().await
    }
}

fn with_time(value: &[u8], time: Duration) -> Bytes {
    let mut stamped = BytesMut::from(value);
    let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    stamped[..MIN_WATCHED_VALUE_BYTES].copy_from_slice(&nanoseconds.to_be_bytes());
    stamped.freeze()
}

fn time_in(value: &[u8]) -> Option<Duration> {
    value.first_chunk().map(|stamp| Duration::from_nanos(u64::from_be_bytes(*stamp)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_carries_the_time_of_its_put() {
        let time = Duration::from_nanos(123_456_789_012);
        let value = with_time(&[7; 256], time);
        assert_eq!((value.len(), time_in(&value)), (256, Some(time)));
        assert_eq!(time_in(&[1, 2, 3]), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_writer_waits_for_the_last_watcher_and_not_for_ever() {
        let fanout = Fanout::new(2, Some(1));
        fanout.deliver(2);
        fanout.arrived(1).await.unwrap();
        let fanout = Arc::new(fanout);
        let waiting = tokio::spawn({
            let fanout = Arc::clone(&fanout);
            async move { fanout.arrived(2).await }
        });
        fanout.deliver(1);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        fanout.deliver(1);
        waiting.await.unwrap().unwrap();
        assert!(fanout.arrived(3).await.unwrap_err().to_string().contains("4 of 6 events"));
    }
}
