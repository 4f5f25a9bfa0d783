//! The search for room after an attempt to make the next segment failed: how often it is tried again, and
//! what the operator is told.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::WalError;
use super::space::is_no_space;

/// A refused reservation starts a new attempt after at most so many others.
const MAX_PAUSE: u32 = 1024;

/// An error as the operator tells it apart.
type Kind = (io::ErrorKind, Option<i32>);

/// What the attempts since the last success came to.
#[derive(Debug, Default)]
pub(super) struct Search {
    /// Why the last attempt failed; `None` after one that succeeded.
    trouble: Option<WalError>,
    /// Reservations that were refused since the last attempt.
    refusals: u32,
    /// How many refusals the next attempt waits for; doubles with each that fails, as a full disk under load
    /// would otherwise be asked without pause.
    pause: u32,
    /// What was told since the last success; operating systems have few kinds.
    told: Vec<Kind>,
}

impl Search {
    pub(super) fn trouble(&self) -> Option<&WalError> {
        self.trouble.as_ref()
    }

    /// Counts a refused reservation.
    pub(super) fn refused(&mut self) {
        self.refusals = self.refusals.saturating_add(1);
    }

    /// Whether enough reservations were refused for another attempt.
    pub(super) fn is_due(&self) -> bool {
        self.refusals >= self.pause
    }

    pub(super) fn succeeded(&mut self, dir: &Path) {
        if self.trouble.is_some() {
            tracing::info!(dir = %dir.display(), "the write-ahead log has room again");
        }
        *self = Self::default();
    }

    pub(super) fn failed(&mut self, error: io::Error, dir: &Path, segment_bytes: u64) {
        self.refusals = 0;
        self.pause = (self.pause * 2).clamp(1, MAX_PAUSE);
        let is_news = tell(&mut self.told, &error);
        let trouble = if is_no_space(&error) { WalError::NoSpace } else { WalError::NoSegment(Arc::new(error)) };
        if is_news {
            tracing::error!(dir = %dir.display(), bytes = segment_bytes, "{trouble}");
        }
        self.trouble = Some(trouble);
    }
}

/// Whether an error of this kind was not told before; it counts as told then.
pub(super) fn tell(told: &mut Vec<Kind>, error: &io::Error) -> bool {
    let kind = (error.kind(), error.raw_os_error());
    let is_news = !told.contains(&kind);
    if is_news {
        told.push(kind);
    }
    is_news
}
