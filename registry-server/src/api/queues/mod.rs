//! Waiting lines over keys: the Lock and the Election service.
//!
//! Whoever waits has a key `<name>/<lease in hex>`; the oldest key below `<name>/` has its turn. [`place`] is
//! one waiter's place in a line, [`claims`] knows which calls of this member share one, [`observe`] follows who is
//! first. All of them reach keys, leases and watches through a [`session::Session`] and nothing else.
//!
//! What always holds:
//! - Nobody is told that it is their turn while an older key is there.
//! - A key that a call put into a line is deleted when the call ends without success, even if its client is gone.

mod claims;
mod election;
mod lock;
mod observe;
mod place;
mod session;

pub use election::ElectionService;
pub use lock::LockService;
pub use session::Sessions;
