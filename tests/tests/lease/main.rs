//! The Lease service through a real client: the five RPCs, expiry, and the leak that the SDK exists to avoid.

mod attached;
mod checkpoints;
mod expiry;
mod granted;
mod keep_alive;
mod races;
