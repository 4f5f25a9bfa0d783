//! What a watcher watches: a range of keys and the options that change what is encoded.
//!
//! Watchers with equal [`Interest`] share one group, and so one encoding of each batch of events.

use bytes::Bytes;

use crate::mvcc::{Event, EventKind};
use crate::types::planted::{Bug, planted};

/// Where a range ends; the end itself is not in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum End {
    /// Before this key.
    Key(Bytes),
    /// Never. Greater than every key: keep this variant last.
    Open,
}

/// The keys a watcher watches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum KeyRange {
    /// One key.
    Point(Bytes),
    /// `start` and what follows it, up to `end`.
    Span {
        /// In the range.
        start: Bytes,
        /// Above `start`.
        end: End,
    },
}

/// The options of a watcher that change what is encoded for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Options {
    /// Events carry the key-value before the change.
    pub(super) prev_kv: bool,
    /// Puts are left out.
    pub(super) no_put: bool,
    /// Deletions are left out.
    pub(super) no_delete: bool,
}

/// What makes watchers equal to the hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Interest {
    pub(super) range: KeyRange,
    pub(super) options: Options,
}

/// `range_end` is not above the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("mvcc: watcher range is empty")]
pub(super) struct EmptyRange;

impl KeyRange {
    /// Reads the fields of a request as etcd does: an empty key is `\0`, no end means one key, the end `\0`
    /// means everything from the key on. Keys are copied, as they would pin the received buffer.
    pub(super) fn from_request(key: &[u8], range_end: &[u8]) -> Result<Self, EmptyRange> {
        let key = Bytes::copy_from_slice(if key.is_empty() { b"\0" } else { key });
        match range_end {
            b"" => Ok(Self::Point(key)),
            b"\0" => Ok(Self::Span { start: key, end: End::Open }),
            end if end <= &key[..] => Err(EmptyRange),
            end => Ok(Self::Span { start: key, end: End::Key(Bytes::copy_from_slice(end)) }),
        }
    }

    /// How many bytes of keys are held.
    pub(super) fn key_bytes(&self) -> usize {
        match self {
            Self::Point(key) | Self::Span { start: key, end: End::Open } => key.len(),
            Self::Span { start, end: End::Key(end) } => start.len() + end.len(),
        }
    }
}

impl Options {
    /// Whether the filters let the event through.
    pub(super) fn admit(self, event: &Event) -> bool {
        match event.kind {
            EventKind::Put => !self.no_put || planted(Bug::FilterTurnedRound),
            EventKind::Delete => !(self.no_delete || self.no_put && planted(Bug::FilterTurnedRound)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_fields_mean_what_they_mean_in_etcd() {
        let point = |key: &'static [u8]| KeyRange::Point(Bytes::from_static(key));
        assert_eq!(KeyRange::from_request(b"a", b""), Ok(point(b"a")));
        assert_eq!(KeyRange::from_request(b"", b""), Ok(point(b"\0")));
        let all = KeyRange::Span { start: Bytes::from_static(b"\0"), end: End::Open };
        assert_eq!(KeyRange::from_request(b"", b"\0"), Ok(all));
        assert_eq!(KeyRange::from_request(b"b", b"b"), Err(EmptyRange));
        assert_eq!(KeyRange::from_request(b"b", b"a"), Err(EmptyRange));
        assert!(matches!(KeyRange::from_request(b"a", b"b"), Ok(KeyRange::Span { .. })));
    }
}
