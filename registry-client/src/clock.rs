//! The clock that goes on while the machine sleeps.
//!
//! std's `Instant` stops in suspend on Linux, so that a laptop or a paused virtual machine would wake up
//! believing in leases that expired hours ago.

use std::time::{Duration, SystemTime};

/// The time since boot, suspended time included.
pub(crate) fn boot_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// The wall clock, for what people read.
#[expect(clippy::disallowed_methods, reason = "this is the SDK's clock seam")]
pub(crate) fn wall_clock() -> SystemTime {
    SystemTime::now()
}
