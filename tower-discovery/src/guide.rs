//! How to use the balancer well.

/// How requests are shared out.
#[doc = include_str!("../docs/balancing.md")]
pub mod balancing {}

/// What to set, and what to.
#[doc = include_str!("../docs/tuning.md")]
pub mod tuning {}
