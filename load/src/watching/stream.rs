//! One watch stream with its watchers, each of which is written down as if it were alone.

use std::time::Duration;

use registry_checkers::history::WatchEnd;
use registry_proto::etcdserverpb::watch_client::WatchClient;
use registry_proto::etcdserverpb::watch_request::RequestUnion;
use registry_proto::etcdserverpb::{
    WatchCancelRequest, WatchCreateRequest, WatchProgressRequest, WatchRequest, WatchResponse,
};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::watcher::Watcher;
use crate::reach::Member;
use crate::recorder::Recorder;

/// Requests that wait for the stream.
const REQUESTS: usize = 16;
/// A stream that has not begun by then will not.
const OPEN_LIMIT: Duration = Duration::from_secs(4);
const ANSWER_LIMIT_BYTES: usize = 64 << 20;
/// An answer for all watchers of a stream.
const ALL: i64 = -1;

/// A stream that is open.
pub(super) struct Stream {
    requests: mpsc::Sender<WatchRequest>,
    answers: Streaming<WatchResponse>,
    pub(super) watchers: Vec<Watcher>,
    recorder: Recorder,
}

/// What is to be watched, and the watch that it carries on from.
pub(super) type Wanted = (WatchCreateRequest, Option<usize>);

impl Stream {
    /// Opens a stream with these watchers. They are given back, with their ends written down, if it does not open.
    pub(super) async fn open(
        client: u32,
        member: Member,
        wanted: Vec<Wanted>,
        recorder: &Recorder,
    ) -> Result<Self, Vec<Watcher>> {
        let (requests, outgoing) = mpsc::channel(REQUESTS);
        let mut watchers = Vec::new();
        let count = wanted.len();
        for (id, (request, resumes)) in wanted.into_iter().enumerate() {
            // The server chooses the name of one that is alone.
            let watch_id = if count == 1 { 0 } else { id as i64 + 1 };
            let request = WatchCreateRequest { watch_id, ..request };
            let number = recorder.watch(client, member.id, request.clone(), resumes);
            watchers.push(Watcher::new(number, request.clone()));
            drop(requests.try_send(wire(RequestUnion::CreateRequest(request))));
        }
        let mut service = WatchClient::new(member).max_decoding_message_size(ANSWER_LIMIT_BYTES);
        let why = match timeout(OPEN_LIMIT, service.watch(ReceiverStream::new(outgoing))).await {
            Ok(Ok(answers)) => {
                return Ok(Self { requests, answers: answers.into_inner(), watchers, recorder: recorder.clone() });
            }
            Ok(Err(status)) => format!("{:?}: {}", status.code(), status.message()),
            Err(_) => "it does not open".to_owned(),
        };
        for watcher in &watchers {
            recorder.end_watch(watcher.number, WatchEnd::Broken(why.clone()));
        }
        Err(watchers)
    }

    /// Takes the next answer in; says whether the stream goes on. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> bool {
        let why = match self.answers.message().await {
            Ok(Some(answer)) => {
                self.take(&answer);
                return true;
            }
            Ok(None) => "it ended".to_owned(),
            Err(status) => format!("{:?}: {}", status.code(), status.message()),
        };
        self.end(&WatchEnd::Broken(why));
        false
    }

    /// Everything below it has been seen by all watchers that are open.
    pub(super) fn next_revision(&self) -> i64 {
        self.open_watchers().map(|watcher| watcher.next).min().unwrap_or(i64::MAX)
    }

    pub(super) fn open_watchers(&self) -> impl Iterator<Item = &Watcher> {
        self.watchers.iter().filter(|watcher| watcher.is_open)
    }

    /// Asks how far it is.
    pub(super) fn ask_progress(&self) {
        // A full queue belongs to a server that does not read; it will be told soon enough.
        drop(self.requests.try_send(wire(RequestUnion::ProgressRequest(WatchProgressRequest {}))));
    }

    /// The client wants no more of one watcher.
    pub(super) fn cancel(&mut self, index: usize) {
        let Some(watcher) = self.watchers.get_mut(index).filter(|watcher| watcher.is_open) else { return };
        let Some(watch_id) = watcher.id else { return };
        watcher.is_open = false;
        self.recorder.end_watch(watcher.number, WatchEnd::Closed);
        drop(self.requests.try_send(wire(RequestUnion::CancelRequest(WatchCancelRequest { watch_id }))));
    }

    /// Ends every watcher that is open, which stays where it could be carried on.
    pub(super) fn end(&mut self, how: &WatchEnd) {
        for watcher in self.open_watchers() {
            self.recorder.end_watch(watcher.number, how.clone());
        }
    }

    fn take(&mut self, answer: &WatchResponse) {
        let is_alone = self.watchers.len() == 1;
        for watcher in self.watchers.iter_mut().filter(|watcher| watcher.is_open) {
            let is_meant = is_alone
                || answer.watch_id == watcher.id.unwrap_or(watcher.request.watch_id)
                || (answer.watch_id == ALL && watcher.id.is_some());
            if !is_meant {
                continue;
            }
            self.recorder.told(watcher.number, answer.clone());
            watcher.learn(answer);
            if !watcher.is_open {
                self.recorder.end_watch(watcher.number, WatchEnd::Cancelled);
            }
        }
    }
}

fn wire(request: RequestUnion) -> WatchRequest {
    WatchRequest { request_union: Some(request) }
}
