//! What is listed or watched.

use bytes::Bytes;

/// A key, or a range of keys.
#[derive(Debug, Clone)]
pub(crate) struct Span {
    pub(crate) key: Bytes,
    pub(crate) end: Bytes,
}

impl Span {
    pub(crate) fn key(key: Bytes) -> Self {
        Self { key, end: Bytes::new() }
    }

    /// All keys that begin with `prefix`, which must end in a byte below 255.
    pub(crate) fn prefix(prefix: &str) -> Self {
        let mut end = prefix.as_bytes().to_vec();
        if let Some(last) = end.last_mut() {
            *last = last.wrapping_add(1);
        }
        Self { key: Bytes::copy_from_slice(prefix.as_bytes()), end: end.into() }
    }
}
