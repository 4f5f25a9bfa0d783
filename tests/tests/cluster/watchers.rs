//! Watchers that go from member to member, and resume after the last revision that they saw.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use registry_proto::etcdserverpb::WatchCreateRequest;
use registry_proto::mvccpb::Event;
use registry_tests::budget::SOON;
use registry_tests::chronicle::{Chronicle, watch_everything};
use registry_tests::requests::{watch, watch_prefix};
use registry_tests::{Client, Watching, eventually};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::workers::COUNTER;

/// How long a stream may tell nothing before its watcher tries another member: this one may be cut off.
const SILENCE: Duration = Duration::from_secs(2);
/// Before the next stream, if one did not open.
const PAUSE: Duration = Duration::from_millis(50);

/// The watchers of a test, from its begin to its end.
#[derive(Debug)]
pub(crate) struct Watchers {
    watchers: Vec<Arc<Mutex<Watcher>>>,
    /// The history up to here was compared.
    checked: i64,
    _tasks: JoinSet<()>,
}

/// One of them, over all its streams.
#[derive(Debug)]
struct Watcher {
    request: WatchCreateRequest,
    /// Where it goes on.
    next: i64,
    /// Seen since the last check.
    seen: Vec<Event>,
    /// Streams that were opened on a revision in the past.
    resumed: usize,
}

impl Watchers {
    /// One of everything for each member, which is loyal to it, and three that go about.
    pub(crate) fn start(clients: &[Client], random: &mut fastrand::Rng) -> Self {
        let mut watchers = Self::start_roaming(clients, random);
        for client in clients {
            watchers.add(watch_everything(0), vec![client.clone()], random.fork());
        }
        watchers
    }

    /// Those that go about only: members come and go.
    pub(crate) fn start_roaming(clients: &[Client], random: &mut fastrand::Rng) -> Self {
        let mut watchers = Self { watchers: Vec::new(), checked: 1, _tasks: JoinSet::new() };
        for request in [watch_everything(0), watch_prefix("put/"), watch(COUNTER)] {
            watchers.add(request, clients.to_vec(), random.fork());
        }
        watchers
    }

    fn add(&mut self, request: WatchCreateRequest, clients: Vec<Client>, random: fastrand::Rng) {
        // From the first revision on, and not from whenever the stream opens.
        let watcher = Arc::new(Mutex::new(Watcher { request, next: 2, seen: Vec::new(), resumed: 0 }));
        self.watchers.push(watcher.clone());
        self._tasks.spawn(keep_watching(watcher, clients, random));
    }

    /// Waits until all have seen the history as far as it is known, and compares what they saw.
    pub(crate) async fn check(&mut self, chronicle: &Chronicle) {
        for (number, watcher) in self.watchers.iter().enumerate() {
            let request = watcher.lock().request.clone();
            let known = chronicle.between(self.checked + 1, chronicle.head());
            let wanted: Vec<_> = known.filter(|event| is_watched(&request, event)).collect();
            let has_all = async || watcher.lock().seen.len() >= wanted.len();
            eventually(SOON, &format!("watcher {number} has seen {} events", wanted.len()), has_all).await;
            let seen: Vec<_> = watcher.lock().seen.drain(..wanted.len()).collect();
            assert_eq!(seen.iter().collect::<Vec<_>>(), wanted, "watcher {number} after {}", self.checked);
        }
        self.checked = chronicle.head();
    }

    /// How many streams resumed.
    pub(crate) fn resumed(&self) -> usize {
        self.watchers.iter().map(|watcher| watcher.lock().resumed).sum()
    }
}

async fn keep_watching(watcher: Arc<Mutex<Watcher>>, clients: Vec<Client>, mut random: fastrand::Rng) {
    loop {
        let client = &clients[random.usize(..clients.len())];
        let request = {
            let watcher = watcher.lock();
            WatchCreateRequest { start_revision: watcher.next, ..watcher.request.clone() }
        };
        if let Ok(Ok(watching)) = timeout(SILENCE, Watching::try_of(client, request)).await {
            follow(&watcher, watching).await;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Takes what a stream tells until it ends or is silent.
async fn follow(watcher: &Mutex<Watcher>, mut watching: Watching) {
    watcher.lock().count_resumption();
    while let Ok(Ok(Some(answer))) = timeout(SILENCE, watching.try_answer()).await {
        assert!(answer.compact_revision == 0, "nobody compacts: {answer:?}");
        if answer.canceled {
            return;
        }
        watcher.lock().take(answer.events.into_messages().expect("events decode"));
    }
}

impl Watcher {
    fn count_resumption(&mut self) {
        self.resumed += usize::from(self.next > 2);
    }

    /// A revision comes in one answer, and after those before it.
    fn take(&mut self, events: Vec<Event>) {
        let Some(last) = events.last() else { return };
        let revision = |event: &Event| event.kv.as_ref().expect("an event has a key").mod_revision;
        let first = revision(&events[0]);
        assert!(first >= self.next, "time went back: revision {first} after {} was seen", self.next - 1);
        self.next = revision(last) + 1;
        self.seen.extend(events);
    }
}

fn is_watched(request: &WatchCreateRequest, event: &Event) -> bool {
    let key = &event.kv.as_ref().expect("an event has a key").key;
    let is_before_end = request.range_end == "\0" || *key < request.range_end;
    if request.range_end.is_empty() { *key == request.key } else { *key >= request.key && is_before_end }
}
