//! Leases: which there are (replicated) and when they expire (the leader's own clock).
//!
//! [`Leases`] is part of the replicated state and knows no time. [`Keeper`] holds the deadlines of the node
//! that leads: it hears of every grant and revocation from `apply`, renews on keep-alives, and tells which
//! leases are due. A lease is only ever ended by a revocation that went through the log.
//!
//! What remains of a lease that nobody keeps alive is recorded in the log now and then, so that a node that
//! begins to serve goes on from there; renewing such a lease first takes the record back.
//!
//! What always holds: a lease never expires early; a keep-alive never succeeds for a lease that is being
//! revoked; a key belongs to at most one lease.

mod checkpoints;
mod deadlines;
mod keeper;
mod table;

pub use checkpoints::Checkpoint;
pub use keeper::{Keeper, Renewal};
pub use table::{ATTACHED_KEY_BYTES, GrantError, LEASE_BYTES, Lease, Leases, MAX_TTL_SECONDS};
