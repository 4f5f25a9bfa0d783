//! The watch stream: one a connection, shared by every watch of the client.
//!
//! Each watch has a bounded queue of its own; whoever does not take its messages holds the stream up, so
//! watches only ever take and go on. When the stream is lost every watch is told so once and is over; it is
//! up to its owner to ask for another from where it stands. So it is when the stream's token is no good any more:
//! a stream carries the token that it was opened with, and servers check it for each watch that is created.
//!
//! A stream that says nothing is asked for its progress. The answer is a sign of life and nothing else: an etcd
//! below 3.4.25 or 3.5.8 may name a revision in it whose events are still to come, so that no watch ever goes on
//! from there.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use registry_proto::etcdserverpb::watch_client::WatchClient;
use registry_proto::etcdserverpb::watch_request::RequestUnion;
use registry_proto::etcdserverpb::{
    WatchCancelRequest, WatchCreateRequest, WatchProgressRequest, WatchRequest, WatchResponse,
};
use registry_proto::mvccpb::Event;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::span::Span;
use crate::channel::{Channel, OPEN_LIMIT, failure, refuses_token};
use crate::error::Error;
use crate::meters;

/// Messages that wait for one watch.
const WATCH_LIMIT: usize = 16;
/// Watches that wait to be created.
const CREATE_LIMIT: usize = 64;
/// Requests that wait for the stream.
const REQUEST_LIMIT: usize = 256;
/// The largest answer that is taken; a server splits bigger ones, as it is asked to.
const ANSWER_LIMIT_BYTES: usize = 64 << 20;
/// How often it is looked whether the stream has said something.
const QUIET_CHECK: Duration = Duration::from_secs(5);
/// A stream that was silent between so many looks, though it was asked after the first, is lost. It is the looks that
/// are counted, as a process that was stopped for a minute has heard nothing for as long, which is not the stream's fault.
const QUIET_LIMIT: u32 = 4;
/// What a server calls a watch that it did not create, and all watches of a stream.
const NO_WATCH: i64 = -1;

/// What a watch is told.
#[derive(Debug)]
pub(crate) enum Message {
    Created {
        cluster_id: u64,
        revision: i64,
    },
    /// `whole` unless the rest of the answer, and maybe of its last revision, is still to come.
    Events {
        events: Vec<Event>,
        whole: bool,
    },
    /// Ended by the server; nothing follows.
    Cancelled {
        reason: Error,
        /// It never began.
        refused: bool,
    },
    /// The stream is gone; nothing follows.
    Lost(Error),
    /// The stream has given way to one with another token: nothing is wrong, and nothing follows.
    Moved,
}

/// Why a stream is over.
enum End {
    Lost(Error),
    Moved,
}

struct Create {
    id: i64,
    span: Span,
    start_revision: i64,
    route: mpsc::Sender<Message>,
}

/// Where watches begin. Clones share the stream.
#[derive(Debug, Clone)]
pub(crate) struct WatchHub {
    creates: mpsc::Sender<Create>,
    dropped: Arc<Dropped>,
}

/// Watches whose owner has gone, for the stream to cancel. It holds no more than there were watches since the stream
/// was opened.
#[derive(Debug, Default)]
struct Dropped {
    ids: Mutex<Vec<i64>>,
    wake: Notify,
    next_id: std::sync::atomic::AtomicI64,
}

/// One watch; dropping it cancels it.
pub(crate) struct Watch {
    id: i64,
    messages: mpsc::Receiver<Message>,
    dropped: Arc<Dropped>,
}

impl Watch {
    /// The next message; nothing after the last one.
    pub(crate) async fn next(&mut self) -> Option<Message> {
        self.messages.recv().await
    }

    /// Nothing waits to be taken.
    pub(crate) fn is_drained(&self) -> bool {
        self.messages.is_empty()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.dropped.ids.lock().push(self.id);
        self.dropped.wake.notify_one();
    }
}

impl WatchHub {
    /// Also gives what has to run on the SDK's thread.
    pub(crate) fn new(channel: Channel) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (creates, asked) = mpsc::channel(CREATE_LIMIT);
        let dropped = Arc::new(Dropped::default());
        let stream = WatchStream {
            channel,
            asked,
            dropped: Arc::clone(&dropped),
            watches: BTreeMap::new(),
            unanswered: VecDeque::new(),
            token: None,
        };
        (Self { creates, dropped }, stream.run())
    }

    /// Watches from `start_revision` on. A watch that cannot be created ends at once.
    pub(crate) async fn watch(&self, span: Span, start_revision: i64) -> Watch {
        let (route, messages) = mpsc::channel(WATCH_LIMIT);
        let id = 1 + self.dropped.next_id.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let watch = Watch { id, messages, dropped: Arc::clone(&self.dropped) };
        // Without a hub the route is dropped, and the watch has no messages.
        drop(self.creates.send(Create { id, span, start_revision, route }).await);
        watch
    }
}

type Requests = mpsc::Sender<WatchRequest>;

struct WatchStream {
    channel: Channel,
    asked: mpsc::Receiver<Create>,
    dropped: Arc<Dropped>,
    /// In order, as all are told when the stream is lost.
    watches: BTreeMap<i64, mpsc::Sender<Message>>,
    /// Those of which the server has not said yet that it created them, in the order in which it was asked.
    unanswered: VecDeque<i64>,
    /// What the stream was opened with.
    token: Option<u64>,
}

impl WatchStream {
    async fn run(mut self) {
        while let Some(first) = self.asked.recv().await {
            let opened_at = Instant::now();
            let end = match self.open(first).await {
                Ok((requests, answers)) => self.follow(requests, answers).await,
                Err(error) => Some(End::Lost(error)),
            };
            let Some(end) = end else { return };
            if let End::Lost(error) = &end {
                tracing::debug!(%error, "the watch stream is lost");
                meters::watch_stream_lost();
                self.channel.condemn(opened_at);
            }
            while let Ok(create) = self.asked.try_recv() {
                self.watches.insert(create.id, create.route);
            }
            self.unanswered.clear();
            for route in std::mem::take(&mut self.watches).into_values() {
                let message = match &end {
                    End::Lost(error) => Message::Lost(error.clone()),
                    End::Moved => Message::Moved,
                };
                drop(route.send(message).await);
            }
            // There is nothing left to cancel, and streams that do not open must not gather ids. A watch that has yet to
            // be created is found to have no owner by its route.
            self.dropped.ids.lock().clear();
        }
    }

    /// Opens the stream with its first watch, as a server may answer only then.
    async fn open(&mut self, first: Create) -> Result<(Requests, Streaming<WatchResponse>), Error> {
        let (requests, outgoing) = mpsc::channel(REQUEST_LIMIT);
        self.create(first, requests.try_reserve().ok());
        let mut client = WatchClient::new(self.channel.clone()).max_decoding_message_size(ANSWER_LIMIT_BYTES);
        match timeout(OPEN_LIMIT, client.watch(ReceiverStream::new(outgoing))).await {
            Ok(Ok(answers)) => {
                self.token = Channel::token_of(answers.extensions());
                Ok((requests, answers.into_inner()))
            }
            Ok(Err(status)) => Err(failure(&status).error),
            Err(_) => Err(Error::Unavailable { message: "the watch stream does not open".to_owned() }),
        }
    }

    /// Carries watches out and events back until the stream is lost, and says why; nothing when the client
    /// has gone.
    async fn follow(&mut self, requests: Requests, mut answers: Streaming<WatchResponse>) -> Option<End> {
        let mut quiet = Quiet::new();
        let mut cancelling = false;
        loop {
            if !self.unanswered.is_empty() && self.channel.is_outdated(self.token) {
                return Some(End::Moved);
            }
            // A server that is not read from may stop reading, so that answers go before watches that are to
            // be created; one of those follows each answer, so that a flood of answers does not keep them away.
            // Nothing is asked for without a place for it, as a server that takes nothing must be heard, and found out.
            tokio::select! {
                biased;
                permit = requests.reserve(), if cancelling => cancelling = self.cancel_dropped(permit.ok()),
                () = self.dropped.wake.notified(), if !cancelling => cancelling = true,
                answer = answers.message() => match answer {
                    Ok(Some(answer)) => {
                        quiet.heard();
                        self.route(answer).await;
                        if let Ok(permit) = requests.try_reserve()
                            && let Ok(create) = self.asked.try_recv()
                        {
                            self.create(create, Some(permit));
                        }
                    }
                    Ok(None) => return Some(End::Lost(Error::Unavailable { message: "the watch stream ended".to_owned() })),
                    Err(status) => return Some(End::Lost(failure(&status).error)),
                },
                (permit, create) = next_create(&requests, &mut self.asked) => {
                    quiet.heard();
                    self.create(create?, permit);
                }
                // Without a watch a server has nothing to say, but it has to take what is asked.
                _ = quiet.check.tick(), if !self.watches.is_empty() || requests.capacity() == 0 => match quiet.looked() {
                    0 | 1 => {}
                    QUIET_LIMIT.. => {
                        return Some(End::Lost(Error::Unavailable { message: "the watch stream is silent".to_owned() }));
                    }
                    _ => ask_for_life(&requests),
                },
            }
        }
    }

    /// Without a place the stream takes nothing any more, and is about to be found lost.
    fn create(&mut self, create: Create, permit: Option<mpsc::Permit<'_, WatchRequest>>) {
        // Its owner has gone already, and told `dropped` so before there was anything to cancel.
        if create.route.is_closed() {
            return;
        }
        self.watches.insert(create.id, create.route);
        self.unanswered.push_back(create.id);
        let request = WatchCreateRequest {
            key: create.span.key,
            range_end: create.span.end,
            start_revision: create.start_revision,
            watch_id: create.id,
            fragment: true,
            ..Default::default()
        };
        if let Some(permit) = permit {
            permit.send(WatchRequest { request_union: Some(RequestUnion::CreateRequest(request)) });
        }
    }

    /// Cancels one; says whether there may be more.
    fn cancel_dropped(&mut self, permit: Option<mpsc::Permit<'_, WatchRequest>>) -> bool {
        let mut ids = self.dropped.ids.lock();
        while let Some(watch_id) = ids.pop() {
            if self.watches.remove(&watch_id).is_some() {
                let request = RequestUnion::CancelRequest(WatchCancelRequest { watch_id });
                if let Some(permit) = permit {
                    permit.send(WatchRequest { request_union: Some(request) });
                }
                return true;
            }
        }
        false
    }

    /// The watch that is meant; none for all of them together.
    fn subject(&mut self, answer: &WatchResponse) -> Option<i64> {
        if !answer.created {
            return (answer.watch_id != NO_WATCH).then_some(answer.watch_id);
        }
        if answer.watch_id == NO_WATCH {
            // Creates are answered in their order, and one that is refused without its name.
            return self.unanswered.pop_front();
        }
        self.unanswered.retain(|id| *id != answer.watch_id);
        Some(answer.watch_id)
    }

    async fn route(&mut self, answer: WatchResponse) {
        let Some(id) = self.subject(&answer) else { return };
        if answer.canceled && refuses_token(&answer.cancel_reason) && self.channel.refuse_token(self.token) {
            // All watches move to a stream with another token, this one among them.
            self.unanswered.push_front(id);
            return;
        }
        let ended = answer.canceled;
        let Some(route) = self.watches.get(&id) else { return };
        // An owner that has gone is cancelled through `dropped`.
        drop(route.send(message(answer)).await);
        if ended {
            self.watches.remove(&id);
        }
    }
}

/// The next watch to create, once there is a place for it; no place if the stream takes nothing any more. Dropping the
/// future loses nothing.
async fn next_create<'a>(
    requests: &'a Requests,
    asked: &mut mpsc::Receiver<Create>,
) -> (Option<mpsc::Permit<'a, WatchRequest>>, Option<Create>) {
    let permit = requests.reserve().await.ok();
    (permit, asked.recv().await)
}

/// Whether the stream says something.
struct Quiet {
    check: Interval,
    /// Looks since it said something.
    looks: u32,
}

impl Quiet {
    fn new() -> Self {
        let mut check = interval_at(Instant::now() + QUIET_CHECK, QUIET_CHECK);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { check, looks: 0 }
    }

    fn heard(&mut self) {
        self.looks = 0;
    }

    /// Counts a look; says how many there were since something was heard.
    fn looked(&mut self) -> u32 {
        self.looks += 1;
        self.looks
    }
}

fn ask_for_life(requests: &Requests) {
    let request = RequestUnion::ProgressRequest(WatchProgressRequest {});
    // A stream that takes nothing any more is silent, and found out by that.
    drop(requests.try_send(WatchRequest { request_union: Some(request) }));
}

fn message(answer: WatchResponse) -> Message {
    let (cluster_id, revision) = answer.header.map_or((0, 0), |header| (header.cluster_id, header.revision));
    if answer.canceled {
        let reason = if answer.compact_revision > 0 {
            Error::Unavailable { message: format!("history before {} is compacted", answer.compact_revision) }
        } else {
            Error::Refused { code: "Cancelled".to_owned(), message: answer.cancel_reason }
        };
        return Message::Cancelled { reason, refused: answer.created };
    }
    if answer.created {
        return Message::Created { cluster_id, revision };
    }
    match answer.events.into_messages() {
        Ok(events) => Message::Events { events, whole: !answer.fragment },
        Err(error) => Message::Cancelled { reason: Error::Unavailable { message: error.to_string() }, refused: false },
    }
}

#[cfg(test)]
mod tests;
