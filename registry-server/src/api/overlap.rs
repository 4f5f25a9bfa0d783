//! The rule that a transaction writes no key twice: no key is put twice, and none is put and deleted.
//!
//! The branches of one nested transaction exclude each other, so both may put a key. The rule has two gaps,
//! and clients of etcd can depend on them: a delete of a range that ends at `\0` ("from this key on") is
//! taken for an empty range, and a nested transaction's deletes are compared only with the puts of the
//! transactions after it and of the level around it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use bytes::Bytes;
use registry_proto::etcdserverpb::RequestOp;
use registry_proto::etcdserverpb::request_op::Request;

use super::status::WireError;

/// Checks one branch of a transaction, with all that is nested in it.
pub(super) fn check(ops: &[RequestOp]) -> Result<(), WireError> {
    Writes::of(ops).map(drop)
}

/// What a list of operations writes.
///
/// Sets grow by putting the smaller into the larger, so a deep and wide transaction of a whole request's
/// size is checked in milliseconds; copying each level into the one around it would take seconds.
#[derive(Default)]
struct Writes {
    puts: BTreeSet<Bytes>,
    deletes: Ranges,
}

impl Writes {
    fn of(ops: &[RequestOp]) -> Result<Self, WireError> {
        let mut writes = Self::default();
        // This level's deletes first: the puts below are compared with them, wherever they stand.
        for op in ops {
            if let Some(Request::RequestDeleteRange(delete)) = &op.request {
                writes.deletes.insert(delete.key.clone(), end_of(&delete.key, &delete.range_end));
            }
        }
        for op in ops {
            if let Some(Request::RequestTxn(txn)) = &op.request {
                writes.add_txn(Self::of(&txn.success)?, Self::of(&txn.failure)?)?;
            }
        }
        for op in ops {
            if let Some(Request::RequestPut(put)) = &op.request {
                writes.add_put(&put.key)?;
            }
        }
        Ok(writes)
    }

    fn add_txn(&mut self, success: Self, failure: Self) -> Result<(), WireError> {
        // The branches are compared with what is here already and not with each other: only one happens.
        for branch in [&success, &failure] {
            if !self.puts.is_disjoint(&branch.puts) || self.deletes.intersect(&branch.puts) {
                return Err(WireError::DuplicateKey);
            }
        }
        for branch in [success, failure] {
            self.add_puts(branch.puts);
            self.deletes.add(branch.deletes);
        }
        Ok(())
    }

    fn add_puts(&mut self, mut puts: BTreeSet<Bytes>) {
        if puts.len() > self.puts.len() {
            std::mem::swap(&mut puts, &mut self.puts);
        }
        self.puts.extend(puts);
    }

    fn add_put(&mut self, key: &Bytes) -> Result<(), WireError> {
        if self.deletes.contains(key) || !self.puts.insert(key.clone()) {
            return Err(WireError::DuplicateKey);
        }
        Ok(())
    }
}

/// Where a delete ends; a single key ends right before its successor.
fn end_of(key: &Bytes, range_end: &Bytes) -> Bytes {
    if range_end.is_empty() { [key.as_ref(), b"\0"].concat().into() } else { range_end.clone() }
}

/// Half-open ranges of keys, by their starts. None touches another, so one look tells whether a key is in.
#[derive(Default)]
struct Ranges(BTreeMap<Bytes, Bytes>);

impl Ranges {
    fn insert(&mut self, mut start: Bytes, mut end: Bytes) {
        if start >= end {
            return;
        }
        // Swallow every range that begins before this one's end and ends after its start.
        while let Some((other_start, other_end)) = self.last_from(&end)
            && *other_end >= start
        {
            let (other_start, other_end) = (other_start.clone(), other_end.clone());
            self.0.remove(&other_start);
            start = start.min(other_start);
            end = end.max(other_end);
        }
        self.0.insert(start, end);
    }

    fn add(&mut self, mut other: Self) {
        if other.0.len() > self.0.len() {
            std::mem::swap(&mut other, self);
        }
        for (start, end) in other.0 {
            self.insert(start, end);
        }
    }

    /// Whether any of the keys is in; looks up the fewer in the many.
    fn intersect(&self, keys: &BTreeSet<Bytes>) -> bool {
        if keys.len() < self.0.len() {
            return keys.iter().any(|key| self.contains(key));
        }
        self.0.iter().any(|(start, end)| keys.range::<Bytes, _>(start..end).next().is_some())
    }

    fn contains(&self, key: &Bytes) -> bool {
        self.last_from(key).is_some_and(|(_, end)| end > key)
    }

    /// The last range that begins at `key` or before it.
    fn last_from(&self, key: &Bytes) -> Option<(&Bytes, &Bytes)> {
        self.0.range::<Bytes, _>((Bound::Unbounded, Bound::Included(key))).next_back()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_merge_and_stay_apart_as_sets_of_keys_do() {
        // Every set of three ranges over a small line of keys, against the plain definition.
        let key = |number: u8| Bytes::from(vec![number]);
        let pairs: Vec<(u8, u8)> = (0..6).flat_map(|start| (0..6).map(move |end| (start, end))).collect();
        for first in &pairs {
            for second in &pairs {
                for third in [(1, 3), (2, 5), (4, 4)] {
                    let chosen = [*first, *second, third];
                    let mut ranges = Ranges::default();
                    for (start, end) in chosen {
                        ranges.insert(key(start), key(end));
                    }
                    for number in 0..7 {
                        let expected = chosen.iter().any(|(start, end)| (*start..*end).contains(&number));
                        assert_eq!(ranges.contains(&key(number)), expected, "{number} in {chosen:?}");
                    }
                }
            }
        }
    }
}
