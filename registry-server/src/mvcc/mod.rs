//! The multi-version store: every key with its history, until compaction trims it.
//!
//! An ordered index of keys ([`Store`]) points into append-only chunks of encoded key-values in the order
//! of revisions; answers are copies of those bytes. `apply` is the only writer, `watch` and `api` read.
//! The room is pure: no clock, file, thread or lock of its own but the list of pins, so the owner puts the
//! store behind a lock and decides how long it is held.
//!
//! What always holds:
//! - The same writes and compactions give the same answers, events, snapshot bytes and hash, however far
//!   the physical work of compaction has come ([`Store::compact_step`]) and wherever records lie.
//! - A key changes at most once in a revision, and all changes of a transaction share one revision.
//! - Compacted at C, every key still has its newest state at C, except one that was deleted before C, and
//!   all that happened at C or later. So reads at C and watches from C are served, as in etcd.

mod budget;
mod catch_up;
mod chunks;
mod compaction;
mod defragment;
mod error;
mod event;
mod foreign;
mod hash;
mod history;
mod index;
mod key_range;
mod pins;
mod query;
mod range;
mod record;
mod restore;
mod rows;
mod snapshot;
mod store;
mod write_txn;

#[cfg(test)]
mod testing;

pub use catch_up::EventCursor;
pub use error::MvccError;
pub use event::{Event, EventKind, RevisionEvents};
pub use foreign::RecordBlock;
pub use hash::HashCursor;
pub use pins::Pin;
pub use query::{RangeAnswer, RangeQuery, SortOrder, SortTarget};
pub use range::RangeCursor;
pub use record::{Record, records};
pub use restore::Restore;
pub use snapshot::{SnapshotCursor, snapshot_records};
pub use store::{NEVER_COMPACTED, Store};
pub use write_txn::{Committed, Deleted, WriteTxn};
