//! Guides: how to do the common things, and what happens when something goes wrong.
//!
//! - [`registering`]: instances, TTLs, ids, health checks, many at once
//! - [`shutting_down`]: the order that loses no request
//! - [`what_happens_when`]: every way to fail, with its bound

pub mod registering {
    #![doc = include_str!("../docs/registering.md")]
}
pub mod shutting_down {
    #![doc = include_str!("../docs/shutting_down.md")]
}
pub mod what_happens_when {
    #![doc = include_str!("../docs/what_happens_when.md")]
}
