//! Random writes, publications, polls, requests and compactions, against a plain list of events.

use std::collections::BTreeMap;

use proptest::prelude::*;
use registry_proto::etcdserverpb::{WatchCreateRequest, WatchResponse};

use super::kit::{Bench, Client, publish, range, revision, seen};
use crate::types::Revision;
use crate::watch::{History, Limits};

const KEYS: [&str; 5] = ["a", "b", "c", "d", "e"];

#[derive(Debug, Clone)]
enum Step {
    /// Writes these keys in one revision.
    Write(Vec<usize>),
    /// Publishes up to so many of the written revisions.
    Publish(usize),
    /// A stream creates a watcher from a key up to another, starting so far from the current revision.
    Create {
        stream: usize,
        from: usize,
        to: usize,
        offset: Option<i64>,
        fragment: bool,
    },
    /// A stream cancels one of its watchers.
    Cancel {
        stream: usize,
        nth: usize,
    },
    AskProgress {
        stream: usize,
    },
    Tick {
        stream: usize,
    },
    Poll {
        stream: usize,
        times: usize,
    },
    /// Compacts so far below the current revision.
    Compact(i64),
}

fn step() -> impl Strategy<Value = Step> {
    let create = (0..2_usize, 0..5_usize, 1..6_usize, prop::option::of(-12..6_i64), any::<bool>()).prop_map(
        |(stream, from, to, offset, fragment)| Step::Create { stream, from, to: from + to, offset, fragment },
    );
    prop_oneof![
        8 => prop::collection::btree_set(0..5_usize, 1..4).prop_map(|keys| Step::Write(keys.into_iter().collect())),
        8 => (1..6_usize).prop_map(Step::Publish),
        3 => create,
        1 => (0..2_usize, 0..8_usize).prop_map(|(stream, nth)| Step::Cancel { stream, nth }),
        1 => (0..2_usize).prop_map(|stream| Step::AskProgress { stream }),
        1 => (0..2_usize).prop_map(|stream| Step::Tick { stream }),
        8 => (0..2_usize, 1..8_usize).prop_map(|(stream, times)| Step::Poll { stream, times }),
        1 => (0..8_i64).prop_map(Step::Compact),
    ]
}

/// What a client expects of one watcher.
#[derive(Debug)]
struct Watched {
    from: usize,
    to: usize,
    /// The revision that is wanted next.
    next: i64,
    /// Events of a revision that is still to be completed by fragments.
    partial: Vec<String>,
    over: bool,
}

struct Reader {
    client: Client,
    watchers: BTreeMap<i64, Watched>,
    /// Creations that were not answered yet.
    creating: Vec<Watched>,
}

struct World {
    bench: Bench,
    readers: Vec<Reader>,
    published: i64,
}

impl World {
    fn current(&self) -> i64 {
        self.bench.store.revision().0
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Write(keys) => {
                let changes: Vec<_> = keys.iter().map(|key| (KEYS[*key], Some("value"))).collect();
                self.bench.store.write(&changes);
            }
            Step::Publish(count) => {
                for _ in 0..count {
                    if self.published < self.current() {
                        self.published += 1;
                        publish(&self.bench.hub, &self.bench.store.batch(self.published));
                    }
                }
            }
            Step::Create { stream, from, to, offset, fragment } => self.create(stream, from, to, offset, fragment),
            Step::Cancel { stream, nth } => {
                let reader = &mut self.readers[stream];
                if let Some(id) = reader.watchers.keys().nth(nth).copied() {
                    reader.client.cancel(id);
                }
            }
            Step::AskProgress { stream } => self.readers[stream].client.ask_progress(),
            Step::Tick { stream } => self.readers[stream].client.stream.tick(),
            Step::Poll { stream, times } => {
                for _ in 0..times {
                    self.poll(stream);
                }
            }
            Step::Compact(distance) => self.bench.store.compact(self.current() - distance),
        }
    }

    fn create(&mut self, stream: usize, from: usize, to: usize, offset: Option<i64>, fragment: bool) {
        let start = offset.map_or(0, |offset| (self.current() + offset).max(1));
        let end = KEYS.get(to).copied().unwrap_or("\0");
        let create =
            WatchCreateRequest { start_revision: start, fragment, progress_notify: true, ..range(KEYS[from], end) };
        let next = if start == 0 { self.current() + 1 } else { start };
        let reader = &mut self.readers[stream];
        reader.client.create(create);
        reader.creating.push(Watched { from, to, next, partial: Vec::new(), over: false });
    }

    fn poll(&mut self, stream: usize) -> bool {
        let woken = self.readers[stream].client.wakes();
        let Some(answer) = self.readers[stream].client.poll() else {
            return self.readers[stream].client.wakes() != woken;
        };
        self.check(stream, &answer);
        true
    }

    fn check(&mut self, stream: usize, answer: &WatchResponse) {
        let reader = &mut self.readers[stream];
        if answer.created {
            let watched = reader.creating.remove(0);
            let before = reader.watchers.insert(answer.watch_id, watched);
            assert!(before.is_none_or(|before| before.over));
            return;
        }
        if answer.watch_id == -1 {
            for watched in reader.watchers.values_mut().filter(|watched| !watched.over) {
                expect(&self.bench, watched, revision(answer), &[]);
            }
            return;
        }
        let watched = reader.watchers.get_mut(&answer.watch_id).unwrap();
        assert!(!watched.over, "an answer after the end: {answer:?}");
        if answer.canceled {
            watched.over = true;
            // Told why, and rightly so; a compaction may come after the events were taken out.
            assert!(answer.compact_revision == 0 || watched.next <= answer.compact_revision);
            return;
        }
        watched.partial.extend(seen(answer));
        if !answer.fragment {
            let events = std::mem::take(&mut watched.partial);
            expect(&self.bench, watched, revision(answer), &events);
        }
    }
}

/// The events must be exactly those from what the watcher wants up to `up_to`.
fn expect(bench: &Bench, watched: &mut Watched, up_to: i64, events: &[String]) {
    let mut expected = Vec::new();
    // Revision 1 is the empty store.
    for revision in watched.next.max(2)..=up_to {
        for event in &bench.store.batch(revision).events {
            let index = KEYS.iter().position(|key| key.as_bytes() == &event.key[..]).unwrap();
            if (watched.from..watched.to).contains(&index) {
                expected.push(format!("{}@{revision}", KEYS[index]));
            }
        }
    }
    assert_eq!(events, expected, "{watched:?} up to {up_to}");
    watched.next = watched.next.max(up_to + 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn every_watcher_gets_exactly_its_events_or_is_cancelled(
        steps in prop::collection::vec(step(), 1..150),
        queue_items in 1..4_usize,
        slice_bytes in 1..200_usize,
        slice_items in 1..5_usize,
        answer_bytes in 1..300_usize,
        fragment_bytes in 70..200_usize,
    ) {
        let limits =
            Limits { queue_items, slice_bytes, slice_items, answer_bytes, fragment_bytes, ..Limits::default() };
        let bench = Bench::new();
        let reader = || Reader {
            client: bench.client_with(limits.clone()),
            watchers: BTreeMap::new(),
            creating: Vec::new(),
        };
        let readers = vec![reader(), reader()];
        let mut world = World { bench, readers, published: 1 };
        for step in steps {
            world.step(step);
        }
        world.step(Step::Publish(1000));
        for stream in 0..2 {
            while world.poll(stream) {}
        }
        // One more write to everybody, so that nobody who missed something goes unnoticed.
        let wakes: Vec<_> = world.readers.iter().map(|reader| reader.client.wakes()).collect();
        world.bench.store.write(&KEYS.map(|key| (key, Some("last"))));
        world.step(Step::Publish(1000));
        for (stream, before) in wakes.into_iter().enumerate() {
            let reader = &world.readers[stream];
            let is_watching = reader.watchers.values().any(|one| !one.over && one.next <= world.published);
            prop_assert!(!is_watching || reader.client.wakes() > before, "nobody woke stream {}", stream);
            while world.poll(stream) {}
        }
        let current = world.current();
        for watched in world.readers.iter().flat_map(|reader| reader.watchers.values()) {
            prop_assert!(watched.over || watched.next > current, "{:?} is stuck below {}", watched, current);
        }
        prop_assert_eq!(world.bench.store.revision(), Revision(current));
    }
}
