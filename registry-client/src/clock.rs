//! The clock that goes on while the machine sleeps, or the runtime's own in a simulation.
//!
//! std's `Instant` stops in suspend on Linux, so that a laptop or a paused virtual machine would wake up
//! believing in leases that expired hours ago.

use std::time::{Duration, SystemTime};

#[cfg(feature = "simulation")]
use tokio::time::Instant;

/// Where a client takes its times from.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) enum Clock {
    /// The machine's clocks.
    #[default]
    Machine,
    /// The runtime's clock, which a simulation moves; both times begin at 0 when the client is built.
    #[cfg(feature = "simulation")]
    Runtime { origin: Instant },
}

impl Clock {
    /// The runtime's clock from now on.
    #[cfg(feature = "simulation")]
    pub(crate) fn of_runtime() -> Self {
        Self::Runtime { origin: Instant::now() }
    }

    /// The time since boot, suspended time included.
    pub(crate) fn boot_time(self) -> Duration {
        match self {
            Self::Machine => {
                let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
                Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
            }
            #[cfg(feature = "simulation")]
            Self::Runtime { origin } => origin.elapsed(),
        }
    }

    /// The wall clock, for what people read.
    #[expect(clippy::disallowed_methods, reason = "this is the SDK's clock seam")]
    pub(crate) fn wall_clock(self) -> SystemTime {
        match self {
            Self::Machine => SystemTime::now(),
            #[cfg(feature = "simulation")]
            Self::Runtime { origin } => SystemTime::UNIX_EPOCH + origin.elapsed(),
        }
    }
}
