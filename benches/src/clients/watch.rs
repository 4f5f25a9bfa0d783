//! Watchers, and the writers that put what they watch: one key for all, or a key for each.
//!
//! One operation is one event at one watcher. The value carries the time of its put (when it was due, in an
//! open loop), so a watcher knows an event's latency without asking anybody. In a closed loop the writer
//! lets at most `window` puts' events be under way, which keeps the server at work without growing a queue
//! for ever. A phase ends when every watcher has every event ([`Fanout`]).

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use registry_proto::etcdserverpb::kv_client::KvClient;
use registry_proto::etcdserverpb::watch_client::WatchClient;
use registry_proto::etcdserverpb::watch_request::RequestUnion;
use registry_proto::etcdserverpb::{PutRequest, WatchCreateRequest, WatchRequest, WatchResponse};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::fanout::Fanout;
use super::{Client, MAX_ANSWER_BYTES};
use crate::BenchError;
use crate::channel::Connection;
use crate::crew::Plan;
use crate::keys::Keys;
use crate::load::MIN_WATCHED_VALUE_BYTES;
use crate::recorder::Recorder;

pub(super) const OPERATION: &str = "watch";
/// Puts that may be under way in an open loop: what is due in a tenth of a second, but no fewer than the first
/// and no more than the second. One that waited for another's answer would be late by the writer's own doing.
/// In a closed loop one writer is enough, as the window is what bounds it.
const OPEN_LOOP_WRITERS: (usize, usize) = (64, 1024);

/// Puts what is watched.
#[derive(Clone)]
pub(crate) struct Writer {
    kv: KvClient<Connection>,
    fanout: Arc<Fanout>,
    keys: Arc<Keys>,
    /// How many keys are watched; they are put in turn.
    watched: u64,
}

/// The first thread has the writers, on a connection of its own; all threads have watchers, which run as tasks
/// of their own until the thread ends.
pub(crate) async fn watches(plan: &Plan) -> Result<Vec<Writer>, BenchError> {
    for (connection, number) in plan.connect().await?.into_iter().zip(plan.client_numbers()) {
        let origin = connection.origin();
        let stub = WatchClient::with_origin(connection, origin);
        let key = |watcher: usize| plan.keys.key(if plan.load.spread { watcher as u64 } else { 0 });
        let watchers = (number..plan.load.watchers).step_by(plan.load.clients).map(key).map(watcher_of);
        let stream = open(stub.max_decoding_message_size(MAX_ANSWER_BYTES), watchers).await?;
        tokio::spawn(receive(stream, Arc::clone(&plan.fanout), Arc::clone(&plan.recorder)));
    }
    if plan.thread != 0 {
        return Ok(Vec::new());
    }
    let endpoint = &plan.endpoints[0];
    let kv = KvClient::with_origin(Connection::open(endpoint).await?, endpoint.origin());
    let (fewest, most) = OPEN_LOOP_WRITERS;
    let writers = plan.load.rate.map_or(1, |rate| ((rate / 10.0) as usize).clamp(fewest, most));
    let watched = if plan.load.spread { plan.load.watchers as u64 } else { 1 };
    let writer = Writer { kv, fanout: Arc::clone(&plan.fanout), keys: Arc::clone(&plan.keys), watched };
    Ok(std::iter::repeat_n(writer, writers).collect())
}

/// The answers of a watch stream, and what keeps the requests' side of it open.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) answers: Streaming<WatchResponse>,
    _requests: mpsc::Sender<WatchRequest>,
}

fn watcher_of(key: Bytes) -> WatchCreateRequest {
    WatchCreateRequest { key, ..WatchCreateRequest::default() }
}

/// A stream with these watchers, all confirmed. There must be one at least: a stream opens with its first request.
pub(crate) async fn open(
    mut stub: WatchClient<Connection>,
    watchers: impl IntoIterator<Item = WatchCreateRequest>,
) -> Result<Stream, BenchError> {
    let create = |watcher| WatchRequest { request_union: Some(RequestUnion::CreateRequest(watcher)) };
    let mut creates = watchers.into_iter().map(create);
    let (requests, stream) = mpsc::channel(1);
    let ended = || BenchError::answer(OPERATION, "the stream has ended");
    let first = creates.next().ok_or_else(|| BenchError::answer(OPERATION, "a stream without watchers"))?;
    requests.try_send(first).map_err(|_| ended())?;
    let failed = BenchError::operation(OPERATION);
    let mut answers = stub.watch(ReceiverStream::new(stream)).await.map_err(&failed)?.into_inner();
    loop {
        let answer = answers.message().await.map_err(&failed)?.ok_or_else(ended)?;
        if !answer.created || answer.canceled {
            return Err(BenchError::answer(OPERATION, format!("a watcher was refused: {}", answer.cancel_reason)));
        }
        let Some(next) = creates.next() else { break };
        requests.send(next).await.map_err(|_| ended())?;
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
            self.fanout.arrived((self.fanout.sent() + 1).saturating_sub(window)).await?;
            sent = Instant::now();
        }
        let value = with_time(&self.keys.value(), sent - self.fanout.epoch);
        // Counted first: its events may be there before its answer.
        let key = self.keys.key(self.fanout.send() % self.watched);
        let put = PutRequest { key, value, ..PutRequest::default() };
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
}
