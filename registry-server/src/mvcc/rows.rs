//! The records that a sorted range has found, until all are there and can be sorted.

use std::cmp::Ordering;
use std::ops::Range;

use super::query::{RangeQuery, SortOrder, SortTarget};
use super::record::Record;

/// With a limit, no more rows than twice that and so many are held: the others cannot come first any more.
const SPARE_ROWS: usize = 1024;

/// What was found so far.
#[derive(Debug, Default)]
pub(super) struct Rows {
    rows: Vec<Row>,
    /// How many were found, those included that the limit leaves out.
    pub(super) found: i64,
}

/// A copy of a record, with what it is sorted by.
#[derive(Debug)]
struct Row {
    framed: Box<[u8]>,
    /// The number that is sorted by: of a key its place in the order of keys.
    number: i64,
    /// Where the value lies in `framed`, if it is sorted by.
    value: Range<usize>,
}

impl Rows {
    /// Adds a record, in the order of keys, and says how many bytes it takes.
    pub(super) fn push(&mut self, query: &RangeQuery, record: Record<'_>) -> usize {
        let number = match query.sort_target {
            SortTarget::Key => self.found,
            SortTarget::Version => record.version,
            SortTarget::Create => record.create_revision.0,
            SortTarget::Mod => record.mod_revision.0,
            SortTarget::Value => 0,
        };
        let mut framed = Vec::new();
        let by_value = query.sort_target == SortTarget::Value;
        let kept = if by_value { record } else { query.stripped(record) };
        kept.append_framed(&mut framed);
        // The value is followed by the lease alone.
        let value = if by_value { record.value_within(framed.len()) } else { 0..0 };
        let bytes = framed.len();
        self.rows.push(Row { framed: framed.into(), number, value });
        self.found += 1;
        self.prune(query);
        bytes
    }

    /// The records of the answer, in its order.
    pub(super) fn sorted(mut self, query: &RangeQuery) -> Vec<Box<[u8]>> {
        self.sort(query);
        if let Some(limit) = limit_of(query) {
            self.rows.truncate(limit);
        }
        self.rows.into_iter().map(|row| row.answer(query)).collect()
    }

    fn prune(&mut self, query: &RangeQuery) {
        let Some(limit) = limit_of(query) else { return };
        if self.rows.len() >= limit.saturating_mul(2).saturating_add(SPARE_ROWS) {
            self.sort(query);
            self.rows.truncate(limit);
        }
    }

    /// Equals stay in the order of keys.
    fn sort(&mut self, query: &RangeQuery) {
        let descends = query.sort_order == SortOrder::Descend;
        self.rows.sort_by(|left, right| {
            let order = left.cmp(right);
            if descends { order.reverse() } else { order }
        });
    }
}

fn limit_of(query: &RangeQuery) -> Option<usize> {
    usize::try_from(query.limit).ok().filter(|limit| *limit > 0)
}

impl Row {
    fn cmp(&self, other: &Self) -> Ordering {
        self.number.cmp(&other.number).then_with(|| self.value().cmp(other.value()))
    }

    fn value(&self) -> &[u8] {
        &self.framed[self.value.clone()]
    }

    /// The record as the answer has it: what was kept to sort by may not be asked for.
    fn answer(self, query: &RangeQuery) -> Box<[u8]> {
        if !(query.keys_only && query.sort_target == SortTarget::Value) {
            return self.framed;
        }
        let record = Record::parse(super::record::body_of(&self.framed)).expect("it was written from a record");
        let mut framed = Vec::new();
        query.stripped(record).append_framed(&mut framed);
        framed.into()
    }
}
