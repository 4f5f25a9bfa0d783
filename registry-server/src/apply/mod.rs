//! Committed commands become state: the one match from [`Command`](crate::command::Command) to the rooms
//! that hold it.
//!
//! [`Machine`] is what `consensus` drives, on its own lane; it is the only writer of [`State`], which `api`
//! reads. The state is the store, the leases, the members, the alarms, and who may do what. Time, flags and randomness are not in here:
//! the same commands give the same state, byte for byte, on every member.
//!
//! What always holds: a command that is refused changes nothing; everything is checked before the first
//! change; events leave in the order of revisions, after the store shows them.

mod alarms;
mod cost;
mod counts;
mod defragmentation;
mod import;
mod kv;
mod leases;
mod machine;
mod permit;
mod reply;
mod snapshot;
mod state;
mod txn;
mod whole_hash;

pub use alarms::Alarms;
pub use cost::cost;
pub use counts::Counts;
pub use defragmentation::Defragmentation;
pub use import::{ImportError, Imported, import};
pub use kv::range_query;
pub use machine::{LeaseObserver, Machine};
pub use permit::{lease_keys, permit, permit_txn};
pub use reply::{ApplyError, Outcome, Reply};
pub use snapshot::{Head as SnapshotHead, StateSnapshot, StoredLease, read_leases};
pub use state::{Sizes, State};
pub use txn::{is_read_only, is_serializable, read_only_txn};
pub use whole_hash::WholeHash;
