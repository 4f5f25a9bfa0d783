//! How to use the balancer well.

/// How requests are shared out.
#[doc = include_str!("../docs/balancing.md")]
pub mod balancing {}

/// What to set, and what to.
#[doc = include_str!("../docs/tuning.md")]
pub mod tuning {}

#[doc = include_str!("../docs/retries.md")]
pub mod retries {}

#[doc = include_str!("../docs/metrics.md")]
pub mod metrics {}

#[doc = include_str!("../docs/from_balance_channel.md")]
pub mod from_balance_channel {}

#[doc = include_str!("../docs/from_ginepro.md")]
pub mod from_ginepro {}

#[doc = include_str!("../docs/from_etcd_calls.md")]
pub mod from_etcd_calls {}
