//! Sets of keys, as spans that are sorted and do not touch each other.

use std::collections::BTreeSet;
use std::ops::Bound;

use bytes::Bytes;

/// An end that no key reaches.
const OPEN_END: &[u8] = b"\0";

/// A range of keys in etcd's words: no end for the one key, a zero byte for all from the key on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asked<'a> {
    pub(super) key: &'a [u8],
    pub(super) range_end: &'a [u8],
}

/// Some of all keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Spans(Vec<Span>);

/// The keys from `start` up to `end`, or up to the last one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Span {
    start: Vec<u8>,
    end: End,
}

/// Where a span ends; past every key there is `Open`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum End {
    Before(Vec<u8>),
    Open,
}

impl Spans {
    /// The keys of all these ranges.
    pub(super) fn of<'a>(ranges: impl Iterator<Item = (&'a Bytes, &'a Bytes)>) -> Self {
        let mut spans: Vec<_> = ranges
            .map(|(key, range_end)| Span { start: key.to_vec(), end: Asked { key, range_end }.end() })
            .filter(|span| span.end.is_after(&span.start))
            .collect();
        spans.sort();
        let mut merged: Vec<Span> = Vec::new();
        for span in spans {
            match merged.last_mut() {
                Some(last) if last.end.reaches(&span.start) => last.end = last.end.clone().max(span.end),
                _ => merged.push(span),
            }
        }
        Self(merged)
    }

    /// Where the span ends that holds `key`.
    fn end_around(&self, key: &[u8]) -> Option<&End> {
        let after = self.0.partition_point(|span| span.start.as_slice() <= key);
        let span = &self.0[after.checked_sub(1)?];
        span.end.is_after(key).then_some(&span.end)
    }
}

/// Whether these together hold all that is asked for. Steps from span to span, so its cost does not depend on how many keys
/// there are.
pub(super) fn cover<'a>(sets: &(impl Iterator<Item = &'a Spans> + Clone), asked: Asked<'_>) -> bool {
    let wanted = asked.end();
    let mut at: &[u8] = asked.key;
    loop {
        let Some(end) = sets.clone().filter_map(|spans| spans.end_around(at)).max() else { return false };
        match end {
            End::Open => return true,
            End::Before(_) if *end >= wanted => return true,
            // Further than `at` in each step, as a span that holds it ends behind it.
            End::Before(next) => at = next,
        }
    }
}

/// Whether these together hold each of some keys. Between two steps all keys are passed over that one span holds, so the cost
/// depends on how many spans there are, not on how many keys: each step ends behind another span.
pub(super) fn cover_each<'a>(sets: &(impl Iterator<Item = &'a Spans> + Clone), keys: &BTreeSet<Bytes>) -> bool {
    let mut next = keys.first();
    while let Some(key) = next {
        let Some(end) = sets.clone().filter_map(|spans| spans.end_around(key)).max() else { return false };
        next = match end {
            End::Open => None,
            End::Before(end) => keys.range::<[u8], _>((Bound::Included(end.as_slice()), Bound::Unbounded)).next(),
        };
    }
    true
}

impl Asked<'_> {
    fn end(self) -> End {
        match self.range_end {
            [] => End::Before([self.key, b"\0"].concat()),
            OPEN_END => End::Open,
            end => End::Before(end.to_vec()),
        }
    }
}

impl End {
    fn is_after(&self, key: &[u8]) -> bool {
        matches!(self, Self::Open) || matches!(self, Self::Before(end) if end.as_slice() > key)
    }

    /// Whether a span that starts at `key` goes on where this one ends.
    fn reaches(&self, key: &[u8]) -> bool {
        matches!(self, Self::Open) || matches!(self, Self::Before(end) if end.as_slice() >= key)
    }
}

/// Whether a permission can be for this range.
pub(super) fn is_range(key: &[u8], range_end: &[u8]) -> bool {
    !key.is_empty() && (range_end.is_empty() || range_end == OPEN_END || key < range_end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn spans(ranges: &[(&'static str, &'static str)]) -> Spans {
        let ranges: Vec<_> = ranges.iter().map(|(key, end)| (Bytes::from(*key), Bytes::from(*end))).collect();
        Spans::of(ranges.iter().map(|(key, end)| (key, end)))
    }

    fn covers(sets: &[&Spans], key: &str, range_end: &str) -> bool {
        let asked = Asked { key: key.as_bytes(), range_end: range_end.as_bytes() };
        cover(&sets.iter().copied(), asked)
    }

    #[test]
    fn a_key_a_prefix_and_all_from_a_key_on() {
        let some = spans(&[("a", ""), ("b/", "b0"), ("x", "\0")]);
        for (key, end) in [("a", ""), ("b/", ""), ("b/1", ""), ("b/", "b0"), ("x", ""), ("x", "\0"), ("y", "z")] {
            assert!(covers(&[&some], key, end), "{key} {end:?}");
        }
        for (key, end) in [("a0", ""), ("a", "b"), ("b0", ""), ("b", "b0"), ("w", "\0"), ("w", "y"), ("b/", "\0")] {
            assert!(!covers(&[&some], key, end), "{key} {end:?}");
        }
        assert!(!covers(&[], "a", ""));
    }

    #[test]
    fn what_touches_is_one_span_also_over_several_sets() {
        let (left, right) = (spans(&[("a", "c"), ("c", "e")]), spans(&[("e", "g"), ("m", "n")]));
        assert!(covers(&[&left], "a", "e"));
        assert!(covers(&[&left, &right], "b", "g"));
        assert!(!covers(&[&left, &right], "b", "h"));
        assert!(!covers(&[&left, &right], "b", "n"));
    }

    #[test]
    fn ranges_that_hold_nothing_permit_nothing() {
        assert_eq!(spans(&[("c", "a"), ("c", "c")]), Spans::default());
        assert!(!is_range(b"", b"a") && !is_range(b"b", b"a") && !is_range(b"b", b"b"));
        assert!(is_range(b"a", b"") && is_range(b"a", b"b") && is_range(b"b", b"\0"));
    }

    /// Filling a lease with keys asks about all of them for each.
    #[test]
    fn a_hundred_thousand_keys_under_one_permission_cost_one_look() {
        let looks = std::cell::Cell::new(0);
        let set = spans(&[("a/", "a0"), ("b", "")]);
        let counted = std::iter::once(&set).inspect(|_| looks.set(looks.get() + 1));
        let mut keys: BTreeSet<_> = (0..100_000).map(|number| Bytes::from(format!("a/{number}"))).collect();
        assert!(cover_each(&counted, &keys));
        assert_eq!(looks.get(), 1);
        keys.insert(Bytes::from_static(b"b"));
        assert!(cover_each(&counted, &keys));
        for stranger in ["0", "a", "a0", "b0"] {
            keys.insert(Bytes::from(stranger));
            assert!(!cover_each(&counted, &keys), "{stranger}");
            keys.remove(stranger.as_bytes());
        }
    }

    proptest! {
        /// Keys anywhere among the ranges: looking at some is looking at each.
        #[test]
        fn covering_each_key_is_asking_for_each(
            ranges in prop::collection::vec((0_u8..12, 0_u8..13, 0_usize..3), 0..12),
            keys in prop::collection::btree_set(0_u8..14, 0..8),
        ) {
            let text = |at: &u8| Bytes::from(vec![b'a' + at]);
            let set = |number: usize| {
                let of: Vec<_> = ranges.iter().filter(|range| range.2 == number)
                    .map(|(from, to, _)| (text(from), text(to))).collect();
                Spans::of(of.iter().map(|(key, end)| (key, end)))
            };
            let sets = [set(0), set(1), set(2)];
            let keys: BTreeSet<_> = keys.iter().map(text).collect();
            let expected = keys.iter().all(|key| cover(&sets.iter(), Asked { key, range_end: b"" }));
            prop_assert_eq!(cover_each(&sets.iter(), &keys), expected);
        }

        /// Keys of one letter, of which a set of ranges permits some: the walk agrees with asking for each.
        #[test]
        fn covering_is_permitting_each_key(
            ranges in prop::collection::vec((0_u8..12, 0_u8..13, 0_usize..3), 0..12),
            (from, to) in (0_u8..12, 0_u8..13),
        ) {
            let text = |at: u8| Bytes::from(vec![b'a' + at]);
            let set = |number: usize| {
                let of: Vec<_> = ranges.iter().filter(|range| range.2 == number)
                    .map(|(from, to, _)| (text(*from), text(*to))).collect();
                Spans::of(of.iter().map(|(key, end)| (key, end)))
            };
            let sets = [set(0), set(1), set(2)];
            prop_assume!(from < to);
            let permitted = |at: u8| ranges.iter().any(|(from, to, _)| (*from..*to).contains(&at));
            let expected = (from..to).all(permitted);
            let (key, range_end) = (text(from), text(to));
            let asked = Asked { key: &key, range_end: &range_end };
            prop_assert_eq!(cover(&sets.iter(), asked), expected);
        }
    }
}
