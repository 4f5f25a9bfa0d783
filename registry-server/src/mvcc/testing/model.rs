//! A store as simple as it can be, with which the real one is compared.
//!
//! It keeps everything for ever and scans all of it for each answer; compaction only moves a number.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;
use registry_proto::mvccpb::KeyValue;
use registry_proto::stored::put_record;

use crate::mvcc::{Event, EventKind, MvccError, RangeQuery, RevisionEvents, SortOrder, SortTarget};
use crate::types::Revision;

/// What the model answers to a range.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ModelAnswer {
    pub(super) kvs: Vec<KeyValue>,
    pub(super) count: i64,
    pub(super) more: bool,
}

/// Every change ever made, in order. A deletion is a `KeyValue` of version 0.
#[derive(Debug, Clone)]
pub(super) struct Model {
    pub(super) revision: i64,
    pub(super) compacted: i64,
    changes: Vec<KeyValue>,
    in_txn: bool,
}

impl Model {
    pub(super) fn new() -> Self {
        Self { revision: 1, compacted: -1, changes: Vec::new(), in_txn: false }
    }

    pub(super) fn put(&mut self, key: &[u8], value: &[u8], lease: i64) {
        let prev = self.state(key, i64::MAX);
        let at = self.begin();
        self.changes.push(KeyValue {
            key: Bytes::copy_from_slice(key),
            create_revision: prev.as_ref().map_or(at, |prev| prev.create_revision),
            mod_revision: at,
            version: prev.map_or(1, |prev| prev.version + 1),
            value: Bytes::copy_from_slice(value),
            lease,
        });
    }

    pub(super) fn delete_range(&mut self, key: &[u8], end: &[u8]) -> Vec<KeyValue> {
        let found: Vec<_> = self.live(i64::MAX).into_values().filter(|kv| is_in(&kv.key, key, end)).collect();
        for kv in &found {
            let mod_revision = self.begin();
            self.changes.push(KeyValue { key: kv.key.clone(), mod_revision, ..KeyValue::default() });
        }
        found
    }

    pub(super) fn end_txn(&mut self) {
        self.in_txn = false;
    }

    fn begin(&mut self) -> i64 {
        self.revision += i64::from(!self.in_txn);
        self.in_txn = true;
        self.revision
    }

    /// The newest state of every key that is there at a revision.
    pub(super) fn live(&self, at: i64) -> BTreeMap<Bytes, KeyValue> {
        let mut live = BTreeMap::new();
        for kv in self.changes.iter().filter(|kv| kv.mod_revision <= at) {
            live.insert(kv.key.clone(), kv.clone());
        }
        live.retain(|_, kv| kv.version > 0);
        live
    }

    fn state(&self, key: &[u8], at: i64) -> Option<KeyValue> {
        self.live(at).remove(key)
    }

    /// A range by etcd's own steps: fetch, filter, sort, cut.
    pub(super) fn range(&self, query: &RangeQuery) -> Result<ModelAnswer, MvccError> {
        let at = self.readable(query.revision.0)?;
        let all: Vec<_> =
            self.live(at).into_values().filter(|kv| is_in(&kv.key, &query.key, &query.range_end)).collect();
        let count = all.len() as i64;
        if query.count_only {
            return Ok(ModelAnswer { kvs: Vec::new(), count, more: false });
        }
        let default_order = query.sort_order == SortOrder::None
            || query.sort_order == SortOrder::Ascend && query.sort_target == SortTarget::Key;
        let filters = [
            (query.max_mod_revision, query.max_create_revision, 1),
            (query.min_mod_revision, query.min_create_revision, -1),
        ];
        let filtered = filters.iter().any(|(modified, created, _)| *modified != 0 || *created != 0);
        let fetch = if query.limit <= 0 || !default_order || filtered { usize::MAX } else { query.limit as usize + 1 };
        let mut kvs: Vec<_> = all.into_iter().take(fetch).collect();
        for (modified, created, sign) in filters {
            kvs.retain(|kv| modified == 0 || (kv.mod_revision - modified) * sign <= 0);
            kvs.retain(|kv| created == 0 || (kv.create_revision - created) * sign <= 0);
        }
        sort(&mut kvs, query.sort_target, query.sort_order == SortOrder::Descend);
        let more = query.limit > 0 && kvs.len() as i64 > query.limit;
        if more {
            kvs.truncate(query.limit as usize);
        }
        if query.keys_only {
            for kv in &mut kvs {
                kv.value = Bytes::new();
                kv.lease = if query.sort_target == SortTarget::Value { kv.lease } else { 0 };
            }
        }
        Ok(ModelAnswer { kvs, count, more })
    }

    fn readable(&self, asked: i64) -> Result<i64, MvccError> {
        match if asked <= 0 { self.revision } else { asked } {
            at if at > self.revision => Err(MvccError::FutureRevision),
            at if at < self.compacted => Err(MvccError::Compacted),
            at => Ok(at),
        }
    }

    pub(super) fn compact(&mut self, at: i64) -> Result<(), MvccError> {
        if at <= self.compacted {
            return Err(MvccError::Compacted);
        }
        if at > self.revision {
            return Err(MvccError::FutureRevision);
        }
        self.compacted = at;
        Ok(())
    }

    /// Events from a revision on; those of the write itself when `prev_from` is 0.
    pub(super) fn events(&self, from: i64, prev_from: i64) -> Vec<RevisionEvents> {
        let mut revisions: Vec<RevisionEvents> = Vec::new();
        for kv in self.changes.iter().filter(|kv| kv.mod_revision >= from) {
            let before = kv.mod_revision - 1;
            let prev = self.state(&kv.key, before).filter(|_| before >= prev_from);
            let event = Event {
                kind: if kv.version > 0 { EventKind::Put } else { EventKind::Delete },
                key: kv.key.clone(),
                kv: kv.encode_to_vec().into(),
                prev_kv: prev.map(|prev| prev.encode_to_vec().into()),
            };
            let revision = Revision(kv.mod_revision);
            match revisions.last_mut() {
                Some(last) if last.revision == revision => last.events.push(event),
                _ => revisions.push(RevisionEvents { revision, events: vec![event] }),
            }
        }
        revisions
    }

    fn is_kept(&self, kv: &KeyValue) -> bool {
        kv.mod_revision >= self.compacted || self.state(&kv.key, self.compacted).as_ref() == Some(kv)
    }

    pub(super) fn snapshot(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for kv in self.changes.iter().filter(|kv| self.is_kept(kv)) {
            put_record(2, &kv.encode_to_vec(), &mut bytes);
        }
        bytes
    }

    pub(super) fn hash(&self, at: i64) -> u32 {
        let counts = |kv: &&KeyValue| kv.mod_revision > self.compacted || kv.version > 0;
        let mut kept: Vec<_> =
            self.changes.iter().filter(|kv| kv.mod_revision <= at && self.is_kept(kv)).filter(counts).collect();
        kept.sort_by(|left, right| left.key.cmp(&right.key));
        let mut bytes = Vec::new();
        for kv in kept {
            put_record(2, &kv.encode_to_vec(), &mut bytes);
        }
        crc32c::crc32c(&bytes)
    }

    pub(super) fn keys(&self) -> usize {
        self.live(i64::MAX).len()
    }
}

pub(super) fn is_in(key: &[u8], start: &[u8], end: &[u8]) -> bool {
    match end {
        [] => key == start,
        [0] => key >= start,
        end => key >= start && key < end,
    }
}

fn sort(kvs: &mut [KeyValue], target: SortTarget, descend: bool) {
    kvs.sort_by(|left, right| {
        let order = match target {
            SortTarget::Key => left.key.cmp(&right.key),
            SortTarget::Version => left.version.cmp(&right.version),
            SortTarget::Create => left.create_revision.cmp(&right.create_revision),
            SortTarget::Mod => left.mod_revision.cmp(&right.mod_revision),
            SortTarget::Value => left.value.cmp(&right.value),
        };
        if descend { order.reverse() } else { order }
    });
}
