//! The clock that goes on while the machine sleeps, or the runtime's own in simulations and tests.
//!
//! std's `Instant` stops in suspend on Linux, so that a laptop or a paused virtual machine would wake up
//! believing in leases that expired hours ago.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// What nobody waits for.
const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

/// So much later, or far away where a user's time is more than the clock can count.
pub(crate) fn later(from: Instant, by: Duration) -> Instant {
    from.checked_add(by).unwrap_or_else(|| from + FAR)
}

/// Where a client takes its times from.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) enum Clock {
    /// The machine's clocks.
    #[default]
    Machine,
    /// The runtime's clock, which simulations and tests may move. It began at 0, or at `began` by the wall clock.
    Runtime { origin: Instant, began: SystemTime },
}

impl Clock {
    /// The runtime's clock from now on, the same in every run.
    #[cfg(feature = "simulation")]
    pub(crate) fn of_runtime() -> Self {
        Self::Runtime { origin: Instant::now(), began: SystemTime::UNIX_EPOCH }
    }

    /// The runtime's clock from now on, for tests that pause it. Without a runtime it is the machine's.
    pub(crate) fn of_tests() -> Self {
        Self::Runtime { origin: Instant::now(), began: Self::Machine.wall_clock() }
    }

    /// The time since boot, suspended time included.
    pub(crate) fn boot_time(self) -> Duration {
        match self {
            Self::Machine => {
                let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
                Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
            }
            Self::Runtime { origin, .. } => origin.elapsed(),
        }
    }

    /// The wall clock, for what people read.
    #[expect(clippy::disallowed_methods, reason = "this is the SDK's clock seam")]
    pub(crate) fn wall_clock(self) -> SystemTime {
        match self {
            Self::Machine => SystemTime::now(),
            Self::Runtime { origin, began } => began + origin.elapsed(),
        }
    }
}
