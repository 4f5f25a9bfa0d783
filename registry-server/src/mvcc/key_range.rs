//! Which keys a request means: one key, an interval, or all keys from one on.

use std::ops::Bound;

/// Bounds as the index takes them.
pub(super) type KeyBounds<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

/// The keys that `key` and `range_end` mean: without `range_end` the key alone, with `\0` all keys from
/// `key` on, else those from `key` on that are below `range_end`; none if that is no interval.
pub(super) fn key_bounds<'a>(key: &'a [u8], range_end: &'a [u8]) -> Option<KeyBounds<'a>> {
    let end = match range_end {
        [] => Bound::Included(key),
        [0] => Bound::Unbounded,
        end if end <= key => return None,
        end => Bound::Excluded(end),
    };
    Some((Bound::Included(key), end))
}

/// The part of the range that comes after a key in it.
pub(super) fn key_bounds_after<'a>(key: &'a [u8], range_end: &'a [u8], after: &'a [u8]) -> Option<KeyBounds<'a>> {
    let (start, end) = key_bounds(key, range_end)?;
    debug_assert!(matches!(start, Bound::Included(start) if start <= after), "a range is resumed inside it");
    Some((Bound::Excluded(after), end))
}
