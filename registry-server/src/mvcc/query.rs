//! What a range asks and what it is answered.

use bytes::Bytes;

use super::key_range::{KeyBounds, key_bounds, key_bounds_after};
use crate::types::Revision;

/// In which direction the answer is sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SortOrder {
    /// None asked for: by key, ascending; another target is sorted ascending too.
    #[default]
    None,
    /// Smallest first.
    Ascend,
    /// Largest first.
    Descend,
}

/// By what the answer is sorted. Equals stay in the order of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SortTarget {
    /// The key.
    #[default]
    Key,
    /// The version.
    Version,
    /// The create revision.
    Create,
    /// The mod revision.
    Mod,
    /// The value.
    Value,
}

/// A range, with etcd's meaning of every field.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RangeQuery {
    /// The key, or the first key of the range.
    pub key: Bytes,
    /// Where the range ends, itself not included. Empty: `key` alone. A single zero byte: no end.
    pub range_end: Bytes,
    /// At which revision; 0 and below for the newest.
    pub revision: Revision,
    /// How many keys at most; 0 and below for all.
    pub limit: i64,
    /// Leave values out, and leases too unless the target is the value, as etcd does.
    pub keys_only: bool,
    /// Answer with nothing but the count.
    pub count_only: bool,
    /// Direction of the sort.
    pub sort_order: SortOrder,
    /// Target of the sort.
    pub sort_target: SortTarget,
    /// Only keys modified at this revision or later; 0 for all.
    pub min_mod_revision: i64,
    /// Only keys modified at this revision or earlier; 0 for all.
    pub max_mod_revision: i64,
    /// Only keys created at this revision or later; 0 for all.
    pub min_create_revision: i64,
    /// Only keys created at this revision or earlier; 0 for all.
    pub max_create_revision: i64,
}

/// The answer to a range, or to a slice of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeAnswer {
    /// The key-values as field 2 of a range answer, for `registry_proto::stored::Records::Stored`.
    pub kvs: Bytes,
    /// How many records `kvs` holds.
    pub len: usize,
    /// All keys in the range, whatever the limit and the revision filters left out. Of a slice: so far.
    pub count: i64,
    /// More keys matched than the limit let through. Of a slice: so far.
    pub more: bool,
    /// The store's revision when the range began; in a transaction that has changed something the one that
    /// it will have.
    pub revision: Revision,
    /// Nothing is left; false only for a slice.
    pub done: bool,
}

impl RangeQuery {
    /// All of one key at the newest revision.
    pub fn key(key: impl Into<Bytes>) -> Self {
        Self { key: key.into(), ..Self::default() }
    }

    /// All keys from `key` on that are below `range_end`, at the newest revision.
    pub fn range(key: impl Into<Bytes>, range_end: impl Into<Bytes>) -> Self {
        Self { key: key.into(), range_end: range_end.into(), ..Self::default() }
    }

    pub(super) fn bounds_after<'a>(&'a self, after: Option<&'a [u8]>) -> Option<KeyBounds<'a>> {
        match after {
            None => key_bounds(&self.key, &self.range_end),
            Some(after) => key_bounds_after(&self.key, &self.range_end, after),
        }
    }

    /// Whether the answer has another order than the index. Then nothing is known before all is seen.
    pub(super) fn is_sorted(&self) -> bool {
        self.sort_target != SortTarget::Key || self.sort_order == SortOrder::Descend
    }

    pub(super) fn has_filters(&self) -> bool {
        let filters =
            [self.min_mod_revision, self.max_mod_revision, self.min_create_revision, self.max_create_revision];
        filters != [0; 4]
    }

    /// How many records are taken in the order of keys, before the sort. A target without an order sorts
    /// only those, as in etcd: clients that asked so for years would otherwise see another answer.
    pub(super) fn take_limit(&self) -> i64 {
        if self.limit <= 0 || self.is_sorted() && (self.sort_order != SortOrder::None || self.has_filters()) {
            i64::MAX
        } else if self.is_sorted() {
            self.limit.saturating_add(1)
        } else {
            self.limit
        }
    }
}
