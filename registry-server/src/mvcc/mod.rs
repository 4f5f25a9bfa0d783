//! The multi-version store.

mod event;

pub use event::{Event, EventKind, RevisionEvents};
