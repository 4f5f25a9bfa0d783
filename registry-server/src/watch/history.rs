//! What the hub needs of the store: where history stands, and the events of whole revisions.
//!
//! The store implements it; tests put a double in its place.

use crate::mvcc::RevisionEvents;
use crate::types::Revision;

/// The store's history, as catch-up reads it. Calls come from the async threads, so each takes a short time.
pub trait History: Send + Sync + 'static {
    /// The store's current revision; never below a revision that was published to the hub.
    fn revision(&self) -> Revision;

    /// Whole revisions from `from` on, in order: about `max_bytes` of events at most, but at least one
    /// revision if there is any. Empty when nothing happened from `from` on. Without `prev_kv` the events need
    /// not have one.
    ///
    /// # Errors
    /// [`Compacted`] when the events of `from` are gone.
    fn events(&self, from: Revision, prev_kv: bool, max_bytes: usize) -> Result<Vec<RevisionEvents>, Compacted>;
}

/// The events that were asked for have been compacted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the events up to revision {0} have been compacted")]
pub struct Compacted(
    /// The compacted revision: what a cancelled watcher is told.
    pub Revision,
);
