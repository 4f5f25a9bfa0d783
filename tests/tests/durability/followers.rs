//! Watchers that resume after each crash at the revision after the last that they saw.

use std::sync::Arc;

use parking_lot::Mutex;
use registry_proto::etcdserverpb::WatchCreateRequest;
use registry_proto::mvccpb::Event;
use registry_tests::requests::{watch, watch_prefix};
use registry_tests::{Client, Watching};
use tokio::task::JoinSet;

use crate::compactions::Compactions;
use registry_tests::chronicle::{Chronicle, watch_everything};

/// The watchers.
#[derive(Debug)]
pub(crate) struct Followers(Vec<Arc<Mutex<Follower>>>);

/// One of them, over all its streams.
#[derive(Debug)]
struct Follower {
    /// What it watches.
    request: WatchCreateRequest,
    /// How many of ten lives of the server it sleeps through.
    sleeps: u8,
    /// Where it goes on.
    next: i64,
    /// Seen since the last check.
    seen: Vec<Event>,
    /// It was cancelled because what it wanted is compacted up to here.
    overtaken_by: Option<i64>,
    tally: Tally,
}

/// What the watchers met.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Tally {
    pub(crate) events: usize,
    /// Streams that were opened on a revision in the past.
    pub(crate) resumed: usize,
    /// Times that history was gone before it was seen, and that was told.
    pub(crate) overtaken: usize,
}

impl Followers {
    /// One of everything, one of some keys, one of a single key, and one that often sleeps.
    pub(crate) fn new() -> Self {
        let follower = |request, sleeps| {
            let tally = Tally::default();
            Arc::new(Mutex::new(Follower { request, sleeps, next: 1, seen: Vec::new(), overtaken_by: None, tally }))
        };
        Self(vec![
            follower(watch_everything(0), 0),
            follower(watch_prefix("put/"), 0),
            follower(watch("counter"), 0),
            follower(watch_everything(0), 8),
        ])
    }

    /// Has them watch until the server is gone.
    pub(crate) fn start(&self, client: &Client, random: &mut fastrand::Rng, tasks: &mut JoinSet<()>) {
        for follower in &self.0 {
            if random.u8(..10) >= follower.lock().sleeps {
                tasks.spawn(follow(follower.clone(), client.clone()));
            }
        }
    }

    /// Compares what they saw with the whole history.
    pub(crate) fn check(&self, chronicle: &Chronicle, compactions: &Compactions) {
        self.0.iter().for_each(|follower| follower.lock().check(chronicle, compactions));
    }

    /// What they met, together.
    pub(crate) fn tally(&self) -> Tally {
        let add = |sum: Tally, one: Tally| Tally {
            events: sum.events + one.events,
            resumed: sum.resumed + one.resumed,
            overtaken: sum.overtaken + one.overtaken,
        };
        self.0.iter().map(|follower| follower.lock().tally).fold(Tally::default(), add)
    }
}

async fn follow(follower: Arc<Mutex<Follower>>, client: Client) {
    let request = {
        let mut follower = follower.lock();
        follower.tally.resumed += usize::from(follower.next > 1);
        WatchCreateRequest { start_revision: follower.next, ..follower.request.clone() }
    };
    let Ok(mut watching) = Watching::try_of(&client, request).await else { return };
    while let Ok(Some(answer)) = watching.try_answer().await {
        let mut follower = follower.lock();
        if answer.canceled {
            follower.overtaken_by = Some(answer.compact_revision);
            return;
        }
        follower.seen.extend(answer.events.into_messages().expect("events decode"));
    }
}

impl Follower {
    fn check(&mut self, chronicle: &Chronicle, compactions: &Compactions) {
        let from = self.next;
        if let Some(last) = self.seen.last() {
            let last = last.kv.as_ref().expect("an event has a key").mod_revision;
            assert!(last <= chronicle.head(), "revision {last} was watched, and is not in the history");
            self.next = last + 1;
        }
        let wanted: Vec<_> =
            chronicle.between(from, self.next - 1).filter(|event| is_watched(&self.request, event)).collect();
        assert_eq!(self.seen.iter().collect::<Vec<_>>(), wanted, "not the history from {from} to {}", self.next - 1);
        self.tally.events += self.seen.len();
        self.seen.clear();
        if let Some(compacted) = self.overtaken_by.take() {
            assert!(compacted > self.next, "nothing was compacted that was still wanted from {} on", self.next);
            assert!(compactions.was_asked(compacted), "nobody compacted to {compacted}");
            self.tally.overtaken += 1;
            self.next = compacted + 1;
        }
    }
}

fn is_watched(request: &WatchCreateRequest, event: &Event) -> bool {
    let key = &event.kv.as_ref().expect("an event has a key").key;
    let is_before_end = request.range_end == "\0" || *key < request.range_end;
    if request.range_end.is_empty() { *key == request.key } else { *key >= request.key && is_before_end }
}
