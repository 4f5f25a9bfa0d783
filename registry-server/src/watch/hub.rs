//! The hub: every live watcher of the member, and the way of a revision to their queues.
//!
//! The apply thread calls [`Hub::publish`]; the tasks of streams join, leave and come back from catch-up.
//! Long lists of watchers are worked off in pieces, so that the apply thread never waits long for the lock.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Waker;

use parking_lot::Mutex;

use super::catch_up::CatchUp;
use super::counts::Counts;
use super::encode::BatchEncoder;
use super::groups::{Group, Groups, Matched};
use super::history::History;
use super::limits::Limits;
use super::members::{Members, Serial};
use super::queue::{Behind, Item, StreamId, StreamQueue};
use super::range::Interest;
use super::stream::{Headers, WatchStream};
use crate::mvcc::{Event, RevisionEvents};
use crate::types::Revision;
use crate::types::planted::{Bug, planted};

/// How many groups are worked off at once under the lock.
const GROUPS_AT_ONCE: usize = 256;

/// Where revisions are published and watchers found.
pub struct Hub {
    history: Arc<dyn History>,
    state: Mutex<State>,
    counts: Arc<Counts>,
}

#[derive(Debug)]
struct State {
    /// All that was up to here has been put into the queues of those who want it.
    published: Revision,
    groups: Groups<Subscribers>,
    next_stream: u64,
    /// Streams that are to be woken once a revision is published, whether or not it concerns them.
    sleepers: BTreeMap<StreamId, (Revision, Arc<StreamQueue>)>,
    counts: Arc<Counts>,
}

/// The streams with watchers in a group.
type Subscribers = BTreeMap<StreamId, Subscriber>;

/// The live watchers of one stream in a group.
#[derive(Debug)]
struct Subscriber {
    queue: Arc<StreamQueue>,
    members: Members,
}

/// What became of a new watcher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Joined {
    /// The store's revision when it was created.
    pub(super) current: Revision,
    /// The first revision it gets.
    pub(super) next: Revision,
    /// It is not live: events from `next` on have been published already.
    pub(super) behind: bool,
}

impl Hub {
    /// A hub over the store's history. To be made before anything is published.
    #[must_use]
    pub fn new(history: Arc<dyn History>) -> Arc<Self> {
        let counts = Arc::<Counts>::default();
        let state = State {
            published: history.revision(),
            groups: Groups::default(),
            next_stream: 0,
            sleepers: BTreeMap::new(),
            counts: Arc::clone(&counts),
        };
        Arc::new(Self { history, state: Mutex::new(state), counts })
    }

    /// What it has to do.
    #[must_use]
    pub fn counts(&self) -> &Arc<Counts> {
        &self.counts
    }

    /// Opens the watch stream of one client; `headers` makes the header of its answers.
    #[must_use]
    pub fn open(self: &Arc<Self>, limits: Limits, headers: Headers) -> WatchStream {
        let id = {
            let mut state = self.state.lock();
            state.next_stream += 1;
            StreamId(state.next_stream)
        };
        WatchStream::new(Arc::clone(self), id, limits, headers)
    }

    /// Hands a revision to all who watch it; `events` is called only if somebody watches anything. To be called
    /// once a revision, in order, by one thread, when the store already has it, and with no lock held that
    /// [`History`] or `events` need. A revision that is not above the last one is taken for known.
    pub fn publish(&self, revision: Revision, events: impl FnOnce() -> Vec<Event>) {
        let mut wakers = Vec::new();
        if !self.publish_unwatched(revision, &mut wakers) {
            // Without the lock. Who joins meanwhile and wants this revision is there when it is distributed.
            let batch = RevisionEvents { revision, events: events() };
            let mut state = self.state.lock();
            state.published = revision;
            state.distribute(&batch, &mut wakers);
            state.wake_sleepers(&mut wakers);
        }
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Publishes a revision that nobody watches, or that is known; false if somebody watches something.
    fn publish_unwatched(&self, revision: Revision, wakers: &mut Vec<Waker>) -> bool {
        let mut state = self.state.lock();
        if revision <= state.published {
            return true;
        }
        if !state.groups.is_empty() {
            return false;
        }
        state.published = revision;
        state.wake_sleepers(wakers);
        true
    }

    /// Tells the hub that the store's content was replaced by a snapshot's, at its current revision. Every
    /// watcher goes on from history, or is cancelled if what it wants has been compacted.
    pub fn restored(&self) {
        let mut wakers = Vec::new();
        {
            let mut state = self.state.lock();
            let revision = self.history.revision();
            if revision <= state.published {
                return;
            }
            state.set_all_behind(revision, &mut wakers);
            state.published = revision;
            state.wake_sleepers(&mut wakers);
        }
        wakers.into_iter().for_each(Waker::wake);
    }

    pub(super) fn history(&self) -> &dyn History {
        &*self.history
    }

    /// Adds a watcher from `start` on, or from the next revision on. It becomes live unless part of what it
    /// wants has been published.
    pub(super) fn join(
        &self,
        queue: &Arc<StreamQueue>,
        interest: &Arc<Interest>,
        serial: Serial,
        start: Option<Revision>,
    ) -> Joined {
        let mut state = self.state.lock();
        let current = self.history.revision();
        let next = start.unwrap_or_else(|| current.next());
        let misses = next == state.published && planted(Bug::JoinLosesOne);
        let behind = next <= state.published && !misses;
        if !behind {
            state.subscriber(queue, interest).members.insert(serial, next);
        }
        Joined { current, next, behind }
    }

    /// Removes a live watcher.
    pub(super) fn leave(&self, queue: &StreamQueue, interest: &Interest, serial: Serial) {
        self.state.lock().groups.change(interest, |subscribers| {
            let Some(subscriber) = subscribers.get_mut(&queue.id) else { return false };
            subscriber.members.remove(serial);
            if subscriber.members.is_empty() {
                subscribers.remove(&queue.id);
            }
            subscribers.is_empty()
        });
    }

    /// Removes a stream from the groups of all its interests.
    pub(super) fn close(&self, queue: &StreamQueue, interests: &[Arc<Interest>]) {
        self.state.lock().sleepers.remove(&queue.id);
        for chunk in interests.chunks(GROUPS_AT_ONCE) {
            let mut state = self.state.lock();
            for interest in chunk {
                state.groups.change(interest, |subscribers| {
                    subscribers.remove(&queue.id);
                    subscribers.is_empty()
                });
            }
        }
    }

    /// Makes watchers that caught up live again, until a publication comes in between; returns who is live.
    pub(super) fn rejoin(&self, queue: &Arc<StreamQueue>, catch_up: &mut CatchUp) -> Vec<Serial> {
        let mut live = Vec::new();
        while !catch_up.is_empty() {
            let mut state = self.state.lock();
            if state.published >= catch_up.position() {
                break;
            }
            for _ in 0..GROUPS_AT_ONCE {
                let Some((interest, watchers)) = catch_up.take_group() else { break };
                let members = &mut state.subscriber(queue, &interest).members;
                for (serial, next) in watchers {
                    let next = if planted(Bug::RejoinLosesOne) { next.next() } else { next };
                    members.insert(serial, next);
                    live.push(serial);
                }
            }
        }
        live
    }

    /// The published revision: all up to it is in the queues. The stream is woken when `target` is published,
    /// if that is still to come.
    pub(super) fn published(&self, queue: &Arc<StreamQueue>, target: Option<Revision>) -> Revision {
        let mut state = self.state.lock();
        match target.filter(|target| *target > state.published) {
            Some(target) => state.sleepers.insert(queue.id, (target, Arc::clone(queue))),
            None => state.sleepers.remove(&queue.id),
        };
        state.published
    }

    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        let state = self.state.lock();
        state.groups.is_empty() && state.sleepers.is_empty()
    }
}

impl State {
    fn subscriber(&mut self, queue: &Arc<StreamQueue>, interest: &Arc<Interest>) -> &mut Subscriber {
        let new = || Subscriber { queue: Arc::clone(queue), members: Members::default() };
        self.groups.entry(interest).entry(queue.id).or_insert_with(new)
    }

    fn distribute(&mut self, batch: &RevisionEvents, wakers: &mut Vec<Waker>) {
        let mut encoder = BatchEncoder::new(batch);
        for (id, matched) in self.groups.matching(batch) {
            let Some(group) = self.groups.get_mut(id) else { continue };
            group.distribute(&matched, batch.revision, &mut encoder, &self.counts, wakers);
            if group.members.is_empty() {
                self.groups.remove(id);
            }
        }
    }

    fn set_all_behind(&mut self, up_to: Revision, wakers: &mut Vec<Waker>) {
        let next = self.published.next();
        let next = if planted(Bug::SnapshotLosesOne) { next.next() } else { next };
        for group in self.groups.iter_mut() {
            for subscriber in group.members.values_mut() {
                wakers.extend(subscriber.set_behind(&group.interest, next, &self.counts));
                for (serial, wanted) in subscriber.members.take_waiting(up_to) {
                    // Whatever it wanted before and was published did not concern it.
                    let behind = Behind::new(&group.interest, vec![serial], wanted.max(next), &self.counts);
                    wakers.extend(subscriber.queue.push_behind(behind));
                }
            }
            group.members.retain(|_, subscriber| !subscriber.members.is_empty());
        }
        self.groups.prune(BTreeMap::is_empty);
    }

    fn wake_sleepers(&mut self, wakers: &mut Vec<Waker>) {
        let published = self.published;
        self.sleepers.retain(|_, (target, queue)| {
            let sleeps_on = *target > published;
            if !sleeps_on {
                wakers.extend(queue.take_waker());
            }
            sleeps_on
        });
    }
}

impl Group<Subscribers> {
    fn distribute(
        &mut self,
        matched: &Matched,
        revision: Revision,
        encoder: &mut BatchEncoder<'_>,
        counts: &Arc<Counts>,
        wakers: &mut Vec<Waker>,
    ) {
        let prev_kv = self.interest.options.prev_kv;
        let mut events = None;
        let mut anyone_behind = false;
        for subscriber in self.members.values_mut() {
            let Some(serials) = subscriber.members.wanting(revision) else { continue };
            let events = events.get_or_insert_with(|| encoder.records(matched, prev_kv)).clone();
            match subscriber.queue.push(Item { serials, revision, events, count: matched.len() as u64 }) {
                Ok(waker) => wakers.extend(waker),
                Err(_) if planted(Bug::FullQueueSkipped) => {}
                Err(_) => {
                    wakers.extend(subscriber.set_behind(&self.interest, revision, counts));
                    anyone_behind = true;
                }
            }
        }
        if anyone_behind {
            self.members.retain(|_, subscriber| !subscriber.members.is_empty());
        }
    }
}

impl Subscriber {
    /// Hands the live watchers over to their stream, which feeds them from `next` on.
    fn set_behind(&mut self, interest: &Arc<Interest>, next: Revision, counts: &Arc<Counts>) -> Option<Waker> {
        let serials = self.members.take_live();
        if serials.is_empty() {
            return None;
        }
        self.queue.push_behind(Behind::new(interest, serials, next, counts))
    }
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub").finish_non_exhaustive()
    }
}
