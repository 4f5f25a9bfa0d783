//! One client's watch stream: its watchers, its requests, and the order in which answers leave.
//!
//! A state machine without tasks or timers: the service feeds it requests and ticks and polls it for
//! answers. Per poll the order is: answers to requests, events taken out before, progress, one slice of
//! catch-up, the queue. The queue is only drained once all before it has been sent, so progress is told for
//! the revision that had been published when it was last drained.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use registry_proto::etcdserverpb::watch_request::RequestUnion;
use registry_proto::etcdserverpb::{ResponseHeader, WatchCreateRequest, WatchRequest, WatchResponse};
use registry_proto::stored::Events;

use super::backlog::{Backlog, Expansion};
use super::catch_up::{CatchUp, Slice};
use super::encode::split;
use super::hub::Hub;
use super::limits::Limits;
use super::members::Serial;
use super::queue::{Drained, StreamId, StreamQueue};
use super::request::{Create, Refusal};
use super::watchers::{Watcher, Watchers};
use crate::types::Revision;
use crate::types::planted::{Bug, planted};

/// Makes the header of an answer at a revision.
pub type Headers = Arc<dyn Fn(Revision) -> ResponseHeader + Send + Sync>;

/// The watch id of answers for the whole stream, and of watchers that were not created.
const NO_WATCHER: i64 = -1;
/// What an answer has beside its events, at most.
const ENVELOPE_BYTES: usize = 64;
/// No more requests are read while this many answers wait.
const MAX_CONTROL: usize = 16;

/// The server's side of one watch stream. Dropping it removes its watchers.
pub struct WatchStream {
    hub: Arc<Hub>,
    queue: Arc<StreamQueue>,
    limits: Limits,
    headers: Headers,
    watchers: Watchers,
    /// Answers to requests and cancellations: at most [`MAX_CONTROL`], or one a watcher that is cancelled.
    control: VecDeque<WatchResponse>,
    backlog: Backlog,
    expansion: Option<Expansion>,
    /// The rest of an answer in fragments; the last in the queue is the last fragment.
    fragments: VecDeque<Bytes>,
    catch_up: CatchUp,
    /// A slice was taken since the queue was last looked at.
    sliced: bool,
    /// No slice is taken before [`Self::rested`].
    resting: bool,
    /// The store's revision when the last slice was taken.
    sliced_at: Revision,
    progress: Progress,
}

/// Progress that is still to be told.
#[derive(Debug, Default)]
struct Progress {
    /// The client asked when the store was at this revision; answered once everybody is at it. Requests that
    /// come while one waits share its answer.
    requested: Option<Revision>,
    /// The interval is over: whoever has been idle is told where he is.
    due: bool,
    /// All events up to here were in what was last taken out of the queue; set while somebody waits for it.
    taken_up_to: Option<Revision>,
    /// Whom to tell, and the revision.
    notices: VecDeque<Serial>,
    notices_at: Revision,
}

impl WatchStream {
    pub(super) fn new(hub: Arc<Hub>, id: StreamId, limits: Limits, headers: Headers) -> Self {
        let counts = Arc::clone(hub.counts());
        counts.streams.add(1);
        Self {
            hub,
            queue: Arc::new(StreamQueue::new(id, limits.queue_items, limits.queue_bytes)),
            limits,
            headers,
            watchers: Watchers::new(counts),
            control: VecDeque::new(),
            backlog: Backlog::default(),
            expansion: None,
            fragments: VecDeque::new(),
            catch_up: CatchUp::default(),
            sliced: false,
            resting: false,
            sliced_at: Revision::default(),
            progress: Progress::default(),
        }
    }

    /// Whether [`Self::request`] may be called; if not, answers are to be polled first.
    #[must_use]
    pub fn takes_requests(&self) -> bool {
        self.control.len() < MAX_CONTROL
    }

    /// Carries out a request. Answers come from [`Self::poll_answer`], which is to be called next. A request
    /// without content is ignored, as in etcd.
    pub fn request(&mut self, request: WatchRequest) {
        match request.request_union {
            Some(RequestUnion::CreateRequest(create)) => {
                let answer = self.create(&create).unwrap_or_else(|refusal| self.refused(refusal));
                self.control.push_back(answer);
            }
            Some(RequestUnion::CancelRequest(cancel)) => {
                if let Some(watcher) = self.watchers.serial(cancel.watch_id).and_then(|serial| self.remove(serial)) {
                    let answer = self.answer(watcher.id, self.current());
                    self.control.push_back(WatchResponse { canceled: true, ..answer });
                }
            }
            Some(RequestUnion::ProgressRequest(_)) if !self.watchers.is_empty() => {
                self.progress.requested = Some(self.current());
            }
            Some(RequestUnion::ProgressRequest(_)) | None => {}
        }
    }

    /// Answers a create request that is not permitted, with etcd's text.
    pub fn refuse(&mut self, reason: &str) {
        let answer = self.answer(NO_WATCHER, self.current());
        let refused = WatchResponse { created: true, canceled: true, cancel_reason: reason.to_owned(), ..answer };
        self.control.push_back(refused);
    }

    /// The progress interval is over. Watchers created with `progress_notify` that had no events in it are
    /// told where they are, unless they are behind.
    pub fn tick(&mut self) {
        self.progress.due = true;
    }

    /// Whether [`Self::rested`] is to be called after [`Limits::rest`]. What a stream catches up with takes time from all
    /// others, so while something is written, and others wait for it, there is a rest after each slice.
    #[must_use]
    pub fn is_resting(&self) -> bool {
        self.resting && !self.catch_up.is_empty()
    }

    /// The rest is over.
    pub fn rested(&mut self) {
        self.resting = false;
    }

    /// The next answer. One that is not ready wakes the task when there is more to do, unless it rests.
    pub fn poll_answer(&mut self, cx: &Context<'_>) -> Poll<WatchResponse> {
        loop {
            if let Some(answer) = self.waiting_answer() {
                return Poll::Ready(answer);
            }
            if self.tell_progress() {
                continue;
            }
            if !self.catch_up.is_empty() && !self.sliced && !self.resting {
                self.sliced = true;
                self.slice();
                continue;
            }
            self.sliced = false;
            // Before the queue, so that the events up to it are in what is taken out.
            self.progress.taken_up_to = self.published_for_progress();
            if let Some(drained) = self.queue.drain(cx.waker()) {
                self.take_in(drained);
            } else if !self.tell_progress() {
                if !self.catch_up.is_empty() && !self.resting {
                    // One slice a poll: other tasks of this thread get their turn.
                    cx.waker().wake_by_ref();
                }
                return Poll::Pending;
            }
        }
    }

    fn create(&mut self, request: &WatchCreateRequest) -> Result<WatchResponse, Refusal> {
        let create = Create::from_request(request)?;
        let (id, serial) = self.watchers.reserve(&create, &self.limits)?;
        let joined = self.hub.join(&self.queue, &create.interest, serial, create.start);
        if joined.behind {
            self.catch_up.add(&create.interest, serial, joined.next);
        }
        let watcher = Watcher {
            id,
            interest: create.interest,
            start: joined.next,
            behind: joined.behind,
            fragment: create.fragment,
            idle: create.progress_notify.then_some(true),
        };
        self.watchers.insert(serial, watcher);
        Ok(WatchResponse { created: true, ..self.answer(id, joined.current) })
    }

    fn refused(&self, refusal: Refusal) -> WatchResponse {
        let answer = self.answer(NO_WATCHER, self.current());
        WatchResponse { created: true, canceled: true, cancel_reason: refusal.to_string(), ..answer }
    }

    /// Removes a watcher from wherever it is. What waits for it is skipped later.
    fn remove(&mut self, serial: Serial) -> Option<Watcher> {
        let watcher = self.watchers.remove(serial)?;
        if watcher.behind {
            self.catch_up.remove(&watcher.interest, serial);
        } else {
            self.hub.leave(&self.queue, &watcher.interest, serial);
        }
        Some(watcher)
    }

    /// An answer that needs no more than what was taken in.
    fn waiting_answer(&mut self) -> Option<WatchResponse> {
        if let Some(answer) = self.control.pop_front() {
            return Some(answer);
        }
        while let Some(expansion) = self.expansion.take().or_else(|| self.backlog.merged(self.limits.answer_bytes)) {
            if let Some(answer) = self.expand(expansion) {
                return Some(answer);
            }
        }
        while let Some(serial) = self.progress.notices.pop_front() {
            if let Some(watcher) = self.watchers.get(serial) {
                return Some(self.answer(watcher.id, self.progress.notices_at));
            }
        }
        None
    }

    /// The answer for the watcher whose turn it is, if it is still there; keeps what is left to expand.
    fn expand(&mut self, mut expansion: Expansion) -> Option<WatchResponse> {
        let serial = expansion.current()?;
        let revision = expansion.revision;
        let Some(watcher) = self.watchers.get_mut(serial) else {
            self.fragments.clear();
            expansion.advance();
            self.expansion = Some(expansion);
            return None;
        };
        watcher.idle = watcher.idle.map(|_| false);
        let id = watcher.id;
        let part_bytes = self.limits.fragment_bytes.saturating_sub(ENVELOPE_BYTES);
        if self.fragments.is_empty() && watcher.fragment && expansion.events.len() >= part_bytes {
            self.fragments = split(&expansion.events, part_bytes).into();
        }
        let events = self.fragments.pop_front().unwrap_or_else(|| expansion.events.clone());
        let fragment = !self.fragments.is_empty();
        let flagged = fragment && !planted(Bug::FragmentUnflagged);
        if !fragment {
            self.hub.counts().events.add(expansion.count);
            expansion.advance();
        }
        self.expansion = Some(expansion);
        Some(WatchResponse { fragment: flagged, events: Events::Stored(events), ..self.answer(id, revision) })
    }

    /// Sorts what waited in the queue.
    fn take_in(&mut self, drained: Drained) {
        for item in drained.items {
            self.backlog.push(item);
        }
        for behind in drained.behind {
            for serial in &behind.serials {
                // It may have been cancelled since.
                if self.watchers.set_behind(*serial, true) {
                    self.catch_up.add(&behind.interest, *serial, behind.next);
                }
            }
        }
    }

    /// Feeds those who are behind with a slice of history; if that was all, they become live.
    fn slice(&mut self) {
        let current = self.current();
        self.resting = std::mem::replace(&mut self.sliced_at, current) < current;
        match self.catch_up.slice(self.hub.history(), &self.limits) {
            Slice::Events { items, reached_end } => {
                for item in items {
                    self.backlog.push(item);
                }
                if reached_end {
                    for serial in self.hub.rejoin(&self.queue, &mut self.catch_up) {
                        self.watchers.set_behind(serial, false);
                    }
                }
            }
            Slice::Compacted { serials, revision } => {
                for serial in serials {
                    let Some(watcher) = self.watchers.remove(serial) else { continue };
                    let answer = self.answer(watcher.id, self.current());
                    self.control.push_back(WatchResponse { canceled: true, compact_revision: revision.0, ..answer });
                }
            }
        }
    }

    /// The published revision, if somebody wants to know. The stream is woken when the revision that a request
    /// waits for is published.
    fn published_for_progress(&self) -> Option<Revision> {
        if self.progress.requested.is_none() && !self.progress.due {
            return None;
        }
        Some(self.hub.published(&self.queue, self.requested_target()))
    }

    /// The revision at which a progress request can be answered. A watcher that starts later must not be told
    /// a revision before its start: its client would take it for where to resume.
    fn requested_target(&self) -> Option<Revision> {
        let requested = self.progress.requested?;
        let before_start = self.watchers.last_start().map(|start| Revision(start.0.saturating_sub(1)));
        Some(before_start.map_or(requested, |revision| revision.max(requested)))
    }

    /// Tells progress, once all that was taken out of the queue has been sent; true if there are answers.
    fn tell_progress(&mut self) -> bool {
        let Some(revision) = self.progress.taken_up_to.take() else { return false };
        if std::mem::take(&mut self.progress.due) {
            self.progress.notices = self.idle_watchers(revision).into();
            self.progress.notices_at = revision;
        }
        let is_reached = self.requested_target().is_some_and(|target| target <= revision);
        if is_reached && (self.catch_up.is_empty() || planted(Bug::ProgressBeforeEvents)) {
            self.progress.requested = None;
            if !self.watchers.is_empty() {
                self.control.push_back(self.answer(NO_WATCHER, revision));
            }
        }
        !self.control.is_empty() || !self.progress.notices.is_empty()
    }

    /// Who had no events since the last tick and may be told `published`; begins the next interval.
    fn idle_watchers(&mut self, published: Revision) -> Vec<Serial> {
        let mut serials = Vec::new();
        for (serial, watcher) in self.watchers.iter_mut() {
            let was_idle = watcher.idle.as_mut().is_some_and(|idle| std::mem::replace(idle, true));
            if was_idle && !watcher.behind && watcher.start <= published.next() {
                serials.push(serial);
            }
        }
        serials
    }

    fn answer(&self, watch_id: i64, revision: Revision) -> WatchResponse {
        WatchResponse { header: Some((self.headers)(revision)), watch_id, ..WatchResponse::default() }
    }

    fn current(&self) -> Revision {
        self.hub.history().revision()
    }
}

impl Drop for WatchStream {
    fn drop(&mut self) {
        self.hub.close(&self.queue, &self.watchers.interests());
        self.hub.counts().streams.add(-1);
    }
}

impl std::fmt::Debug for WatchStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WatchStream").field("watchers", &self.watchers).finish_non_exhaustive()
    }
}
