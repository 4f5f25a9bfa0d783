//! What linearizable reads told, to be compared with the history: each must be what its revision says.

use registry_proto::mvccpb::KeyValue;
use registry_tests::chronicle::Chronicle;

/// One read of one key.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) key: String,
    /// The store's, as the answer told it.
    pub(crate) revision: i64,
    pub(crate) found: Option<KeyValue>,
}

/// The reads that are not checked yet, and how many were.
#[derive(Debug, Default)]
pub(crate) struct Readings {
    open: Vec<Reading>,
    pub(crate) checked: usize,
}

impl Readings {
    pub(crate) fn keep(&mut self, reading: Reading) {
        self.open.push(reading);
    }

    /// All clients that read have ended, and the history was read after that.
    pub(crate) fn check(&mut self, chronicle: &Chronicle) {
        for reading in self.open.drain(..) {
            assert!(reading.revision <= chronicle.head(), "read, and not in the history: {reading:?}");
            let then = chronicle.key_at(reading.key.as_bytes(), reading.revision);
            assert_eq!(reading.found.as_ref(), then, "not what the history says: {reading:?}");
            self.checked += 1;
        }
    }
}
