//! What the server has acknowledged, to be asked for after a crash.

use std::collections::BTreeMap;

use bytes::Bytes;
use parking_lot::Mutex;

/// An acknowledged put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledged {
    /// What was put.
    pub value: Bytes,
    /// At which revision.
    pub revision: i64,
    /// How many puts of this key are acknowledged, this one included.
    pub version: i64,
}

/// The acknowledged puts of many writers, each of which has keys of its own.
#[derive(Debug, Default)]
pub struct History(Mutex<Puts>);

#[derive(Debug, Default)]
struct Puts {
    last: BTreeMap<Bytes, Acknowledged>,
    count: usize,
    revision: i64,
}

impl History {
    /// A put was acknowledged at a revision.
    pub fn put(&self, key: impl Into<Bytes>, value: impl Into<Bytes>, revision: i64) {
        let mut puts = self.0.lock();
        let key = key.into();
        let version = puts.last.get(&key).map_or(0, |before| before.version) + 1;
        puts.last.insert(key, Acknowledged { value: value.into(), revision, version });
        puts.count += 1;
        puts.revision = puts.revision.max(revision);
    }

    /// A key is as the server told it to be: what a writer finds out after a crash about the put that was
    /// not acknowledged.
    pub fn found(&self, key: impl Into<Bytes>, put: Acknowledged) {
        self.0.lock().last.insert(key.into(), put);
    }

    /// The last put of each key.
    #[must_use]
    pub fn last(&self) -> BTreeMap<Bytes, Acknowledged> {
        self.0.lock().last.clone()
    }

    /// How many puts were acknowledged.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.lock().count
    }

    /// The newest acknowledged revision.
    #[must_use]
    pub fn revision(&self) -> i64 {
        self.0.lock().revision
    }
}
