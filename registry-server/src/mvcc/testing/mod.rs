//! Random operations on the store and on the model give the same answers.

mod model;

use bytes::Bytes;
use proptest::prelude::*;
use prost::Message;
use registry_proto::stored::KeyValues;

use self::model::{Model, ModelAnswer, is_in};
use super::budget::Budget;
use super::{
    EventCursor, HashCursor, MvccError, RangeAnswer, RangeCursor, RangeQuery, Restore, RevisionEvents, SnapshotCursor,
    SortOrder, SortTarget, Store,
};
use crate::types::{LeaseId, Revision};

/// Small, so that a handful of changes fills several chunks.
const CHUNK: usize = 150;

#[derive(Debug, Clone)]
enum Change {
    Put { key: Bytes, value: Vec<u8>, lease: i64 },
    Delete { key: Bytes, end: Bytes },
}

#[derive(Debug, Clone)]
enum Op {
    Write(Vec<Change>),
    /// A range `ago` revisions before the newest.
    Range {
        query: RangeQuery,
        ago: i64,
    },
    BeginSliced {
        query: RangeQuery,
        ago: i64,
    },
    Slice {
        max_keys: usize,
        max_bytes: usize,
    },
    Live {
        key: Bytes,
        end: Bytes,
    },
    BeginSnapshot,
    SnapshotSlice {
        records: usize,
    },
    EndSnapshot,
    Compact {
        ago: i64,
    },
    CompactStep {
        max_keys: usize,
    },
    Events {
        ago: i64,
        prev_kv: bool,
        budget: Budget,
    },
    MoreEvents {
        budget: Budget,
    },
    Hash {
        ago: i64,
    },
    BeginSlicedHash {
        ago: i64,
    },
    HashSlice {
        max_changes: usize,
    },
    Restart,
}

/// The store, the model, and what is being read slice by slice while both go on.
struct Pair {
    store: Store,
    model: Model,
    sliced: Option<(RangeCursor, Vec<RangeAnswer>, ModelAnswer)>,
    snapshot: Option<(SnapshotCursor, Vec<u8>, Model)>,
    hash: Option<(HashCursor, (u32, Revision))>,
    events: Events,
}

/// A read of history, and where it must stand.
struct Events {
    cursor: EventCursor,
    next: i64,
    prev_kv: bool,
}

impl Events {
    fn new(from: Revision, prev_kv: bool) -> Self {
        Self { cursor: EventCursor::new(from, prev_kv), next: from.0, prev_kv }
    }
}

fn key() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        prop::collection::vec(prop::sample::select(b"ab".as_slice()), 1..4),
        prop::collection::vec(prop::sample::select([0, b'a', 255].as_slice()), 1..3),
    ]
    .prop_map(Bytes::from)
}

fn range_end() -> impl Strategy<Value = Bytes> {
    prop_oneof![2 => Just(Bytes::new()), 2 => Just(Bytes::from_static(b"\0")), 4 => key()]
}

fn change() -> impl Strategy<Value = Change> {
    let value = prop::collection::vec(any::<u8>(), 0..40);
    prop_oneof![
        4 => (key(), value, 0..3_i64).prop_map(|(key, value, lease)| Change::Put { key, value, lease }),
        1 => (key(), range_end()).prop_map(|(key, end)| Change::Delete { key, end }),
        1 => key().prop_map(|key| Change::Delete { key, end: Bytes::new() }),
    ]
}

fn query() -> impl Strategy<Value = RangeQuery> {
    let orders = vec![SortOrder::None, SortOrder::Ascend, SortOrder::Descend];
    let targets = vec![SortTarget::Key, SortTarget::Version, SortTarget::Create, SortTarget::Mod, SortTarget::Value];
    let filter = || prop_oneof![6 => Just(0), 1 => -1..30_i64];
    let keys = (key(), range_end(), -1..6_i64, prop::bool::weighted(0.2), prop::bool::weighted(0.2));
    let order = (prop::sample::select(orders), prop::sample::select(targets));
    (keys, order, (filter(), filter(), filter(), filter())).prop_map(|(keys, order, filters)| RangeQuery {
        key: keys.0,
        range_end: keys.1,
        revision: Revision(0),
        limit: keys.2,
        keys_only: keys.3,
        count_only: keys.4,
        sort_order: order.0,
        sort_target: order.1,
        min_mod_revision: filters.0,
        max_mod_revision: filters.1,
        min_create_revision: filters.2,
        max_create_revision: filters.3,
    })
}

fn op() -> impl Strategy<Value = Op> {
    let ago = || -2..25_i64;
    let budget = || (1..9_usize, 0..400_usize).prop_map(|(records, bytes)| Budget { records, bytes });
    prop_oneof![
        30 => prop::collection::vec(change(), 0..6).prop_map(Op::Write),
        20 => (query(), ago()).prop_map(|(query, ago)| Op::Range { query, ago }),
        3 => (query(), ago()).prop_map(|(query, ago)| Op::BeginSliced { query, ago }),
        6 => (1..4_usize, 1..100_usize).prop_map(|(max_keys, max_bytes)| Op::Slice { max_keys, max_bytes }),
        5 => (key(), range_end()).prop_map(|(key, end)| Op::Live { key, end }),
        2 => Just(Op::BeginSnapshot),
        4 => (1..8_usize).prop_map(|records| Op::SnapshotSlice { records }),
        2 => Just(Op::EndSnapshot),
        6 => ago().prop_map(|ago| Op::Compact { ago }),
        12 => (0..8_usize).prop_map(|max_keys| Op::CompactStep { max_keys }),
        8 => (ago(), any::<bool>(), budget()).prop_map(|(ago, prev_kv, budget)| Op::Events { ago, prev_kv, budget }),
        8 => budget().prop_map(|budget| Op::MoreEvents { budget }),
        5 => ago().prop_map(|ago| Op::Hash { ago }),
        2 => ago().prop_map(|ago| Op::BeginSlicedHash { ago }),
        6 => (1..6_usize).prop_map(|max_changes| Op::HashSlice { max_changes }),
        2 => Just(Op::Restart),
    ]
}

fn decoded(answers: &[RangeAnswer]) -> ModelAnswer {
    let messages = |answer: &RangeAnswer| {
        let messages = KeyValues::Stored(answer.kvs.clone()).into_messages().unwrap();
        assert_eq!(messages.len(), answer.len);
        messages
    };
    let last = answers.last().unwrap();
    ModelAnswer { kvs: answers.iter().flat_map(messages).collect(), count: last.count, more: last.more }
}

impl Pair {
    fn new() -> Self {
        let events = Events::new(Revision::FIRST, false);
        let (store, model) = (Store::with_chunk_bytes(CHUNK), Model::new());
        Self { store, model, sliced: None, snapshot: None, hash: None, events }
    }

    fn ago(&self, ago: i64) -> Revision {
        Revision(self.model.revision - ago)
    }

    fn run(&mut self, op: Op) {
        match op {
            Op::Write(changes) => self.write(changes),
            Op::Range { query, ago } => self.range(&RangeQuery { revision: self.ago(ago), ..query }),
            Op::BeginSliced { query, ago } => self.begin_sliced(&RangeQuery { revision: self.ago(ago), ..query }),
            Op::Slice { max_keys, max_bytes } => self.slice(max_keys, max_bytes),
            Op::Live { key, end } => self.live(&key, &end),
            Op::BeginSnapshot => self.begin_snapshot(),
            Op::SnapshotSlice { records } => self.snapshot_slice(records),
            Op::EndSnapshot => drop(self.end_snapshot()),
            Op::Compact { ago } => {
                let at = self.ago(ago);
                assert_eq!(self.store.compact(at), self.model.compact(at.0));
            }
            Op::CompactStep { max_keys } => {
                self.store.compact_step(max_keys);
            }
            Op::Events { ago, prev_kv, budget } => {
                self.events = Events::new(self.ago(ago), prev_kv);
                self.more_events(budget);
            }
            Op::MoreEvents { budget } => self.more_events(budget),
            Op::Hash { ago } => self.hash(self.ago(ago)),
            Op::BeginSlicedHash { ago } => self.begin_sliced_hash(self.ago(ago)),
            Op::HashSlice { max_changes } => self.hash_slice(max_changes),
            Op::Restart => {
                self.begin_snapshot();
                self.store = self.end_snapshot().unwrap();
                self.sliced = None;
                self.hash = None;
            }
        }
        assert_eq!(self.store.revision().0, self.model.revision);
        assert_eq!(self.store.compacted().0, self.model.compacted);
        assert_eq!(self.store.keys(), self.model.keys());
    }

    fn write(&mut self, changes: Vec<Change>) {
        let before = self.model.revision;
        let mut changed: Vec<Bytes> = Vec::new();
        let mut txn = self.store.write();
        for change in changes {
            match change {
                Change::Put { key, .. } if changed.contains(&key) => {}
                Change::Put { key, value, lease } => {
                    let prev = txn.get(&key).map(|prev| prev.lease);
                    assert_eq!(txn.put(&key, &value, LeaseId(lease)), prev.unwrap_or_default());
                    self.model.put(&key, &value, lease);
                    changed.push(key);
                }
                Change::Delete { key, end } if changed.iter().any(|changed| is_in(changed, &key, &end)) => {}
                Change::Delete { key, end } => {
                    let deleted = txn.delete_range(&key, &end);
                    let expected = self.model.delete_range(&key, &end);
                    let brief = |key: &Bytes, lease| (key.clone(), lease);
                    assert_eq!(
                        deleted.iter().map(|deleted| brief(&deleted.key, deleted.lease.0)).collect::<Vec<_>>(),
                        expected.iter().map(|kv| brief(&kv.key, kv.lease)).collect::<Vec<_>>()
                    );
                    changed.extend(deleted.into_iter().map(|deleted| deleted.key));
                }
            }
            let all = RangeQuery::range("\0", "\0");
            let answer = txn.range(&all).unwrap();
            assert_eq!(answer.revision.0, self.model.revision);
            assert_eq!(decoded(&[answer]), self.model.range(&all).unwrap());
        }
        let committed = txn.end();
        self.model.end_txn();
        let expected = self.model.events(before + 1, 0).pop().map_or(Vec::new(), |last| last.events);
        assert_eq!(self.store.events_of(&committed), expected);
        assert_eq!(committed.revision.0, self.model.revision);
    }

    fn range(&self, query: &RangeQuery) {
        let answer = self.store.range(query);
        assert!(answer.as_ref().is_ok_and(|answer| answer.done) || answer.is_err());
        assert_eq!(answer.map(|answer| decoded(&[answer])), self.model.range(query), "{query:?}");
    }

    fn begin_sliced(&mut self, query: &RangeQuery) {
        match (self.store.range_cursor(query.clone()), self.model.range(query)) {
            (Ok(cursor), Ok(expected)) => self.sliced = Some((cursor, Vec::new(), expected)),
            (refused, expected) => assert_eq!(refused.err(), expected.err()),
        }
    }

    fn slice(&mut self, max_keys: usize, max_bytes: usize) {
        let Some((cursor, answers, expected)) = &mut self.sliced else { return };
        answers.push(self.store.range_slice(cursor, max_keys, max_bytes).unwrap());
        if answers.last().unwrap().done {
            if cursor.is_sorted() {
                answers.push(cursor.sorted());
            }
            assert_eq!(decoded(answers), *expected);
            self.sliced = None;
        }
    }

    fn live(&self, key: &Bytes, end: &Bytes) {
        let live: Vec<_> = self.store.live(key, end).map(|record| record.to_body()).collect();
        let expected = self.model.live(i64::MAX).into_values().filter(|kv| is_in(&kv.key, key, end));
        assert_eq!(live, expected.map(|kv| Bytes::from(kv.encode_to_vec())).collect::<Vec<_>>());
    }

    fn begin_snapshot(&mut self) {
        self.snapshot = Some((self.store.snapshot(), Vec::new(), self.model.clone()));
    }

    fn snapshot_slice(&mut self, records: usize) {
        let Some((cursor, bytes, _)) = &mut self.snapshot else { return };
        let block = self.store.snapshot_slice(cursor, Budget { records, bytes: usize::MAX });
        bytes.extend(block.unwrap_or_default());
    }

    fn end_snapshot(&mut self) -> Option<Store> {
        let (mut cursor, mut bytes, model) = self.snapshot.take()?;
        while let Some(block) = self.store.snapshot_block(&mut cursor) {
            bytes.extend(block);
        }
        assert_eq!(bytes, model.snapshot());
        let mut restore = Restore::into(Store::with_chunk_bytes(CHUNK));
        restore.block(bytes.into()).unwrap();
        let store = restore.finish(cursor.revision(), cursor.compacted()).unwrap();
        assert_eq!(store.hash_kv(Revision(0)), Ok((model.hash(i64::MAX), Revision(model.compacted))));
        assert_eq!(store.keys(), model.keys());
        Some(store)
    }

    fn more_events(&mut self, budget: Budget) {
        let Events { cursor, next, prev_kv } = &mut self.events;
        let events = self.store.events_within(cursor, budget);
        if *next < self.model.compacted {
            assert_eq!(events, Err(MvccError::Compacted));
            return;
        }
        let mut expected = self.model.events(*next, self.model.compacted);
        if !*prev_kv {
            expected.iter_mut().flat_map(|revision| &mut revision.events).for_each(|event| event.prev_kv = None);
        }
        let events = events.unwrap();
        assert_eq!(events, expected[..events.len()]);
        let bytes: usize = events.iter().map(RevisionEvents::bytes).sum();
        let told = |revisions: &[RevisionEvents]| revisions.iter().map(|revision| revision.events.len()).sum::<usize>();
        let is_spent = bytes >= budget.bytes || told(&events) >= budget.records;
        assert!(events.len() == expected.len() || !events.is_empty() && is_spent);
        if let [before @ .., _] = events.as_slice() {
            assert!(told(before) < budget.records, "the last revision was begun with nothing left");
        }
        *next = match events.last() {
            Some(last) if events.len() < expected.len() => last.revision.0 + 1,
            _ => self.model.revision.max(*next - 1) + 1,
        };
        let all = self.store.events(&mut EventCursor::new(Revision(*next), *prev_kv), usize::MAX);
        assert_eq!(all.unwrap(), expected[events.len()..]);
    }

    fn hash(&self, at: Revision) {
        let refused = self.model.range(&RangeQuery { revision: at, ..RangeQuery::key("a") }).err();
        let newest = if at.0 <= 0 { self.model.revision } else { at.0 };
        let expected = refused.map_or(Ok((self.model.hash(newest), Revision(self.model.compacted))), Err);
        assert_eq!(self.store.hash_kv(at), expected);
    }

    fn begin_sliced_hash(&mut self, at: Revision) {
        let Ok(cursor) = self.store.hash_cursor(at) else { return };
        self.hash = Some((cursor, self.store.hash_kv(at).unwrap()));
    }

    fn hash_slice(&mut self, max_changes: usize) {
        let Some((cursor, expected)) = &mut self.hash else { return };
        if let Some(hash) = self.store.hash_slice(cursor, max_changes).unwrap() {
            assert_eq!(hash, *expected);
            self.hash = None;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_store_answers_as_the_model_does(ops in prop::collection::vec(op(), 1..80)) {
        let mut pair = Pair::new();
        for op in ops {
            pair.run(op);
        }
        pair.sliced = None;
        pair.snapshot = None;
        pair.hash = None;
        while !pair.store.compact_step(3) {}
        pair.range(&RangeQuery::range("\0", "\0"));
        for prev_kv in [false, true] {
            pair.events = Events::new(Revision(pair.model.compacted.max(1)), prev_kv);
            pair.more_events(Budget::SLICE);
        }
        pair.hash(Revision(0));
        let kept = pair.model.snapshot().len() as u64;
        prop_assert_eq!(pair.store.chunks.live_bytes(), kept);
        prop_assert!(pair.store.chunks.held_bytes() <= kept * 2 + 300);
    }

    #[test]
    fn no_bytes_make_a_restore_panic(blocks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..4)) {
        let mut restore = Store::restore();
        let taken = blocks.iter().try_for_each(|block| restore.block(block.clone().into()));
        prop_assert!(taken.is_err() || blocks.iter().all(Vec::is_empty));
    }
}
