//! How many requests an endpoint has, and how many of those it has not begun to answer, in one atomic word.
//!
//! The lower half counts those whose answer has not ended, the upper half those without any answer; the latter never
//! exceed the former. One operation starts a request and one ends it.

use std::sync::atomic::{AtomicU64, Ordering};

const REQUEST: u64 = 1;
const UNANSWERED: u64 = 1 << 32;

/// The counters of one connection.
#[derive(Debug, Default)]
pub(super) struct Pending(AtomicU64);

/// Both at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counted {
    pub(super) requests: u32,
    pub(super) unanswered: u32,
}

impl Pending {
    pub(super) fn start(&self) {
        self.0.fetch_add(REQUEST | UNANSWERED, Ordering::Relaxed);
    }

    /// An answer has begun.
    pub(super) fn answer(&self) {
        self.0.fetch_sub(UNANSWERED, Ordering::Relaxed);
    }

    /// A request has ended, whose answer had begun or not.
    pub(super) fn end(&self, is_answered: bool) {
        self.0.fetch_sub(if is_answered { REQUEST } else { REQUEST | UNANSWERED }, Ordering::Relaxed);
    }

    pub(super) fn count(&self) -> Counted {
        let word = self.0.load(Ordering::Relaxed);
        Counted { requests: word as u32, unanswered: (word >> 32) as u32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_unanswered_until_they_are_answered_or_end() {
        let pending = Pending::default();
        let count = || (pending.count().requests, pending.count().unanswered);
        pending.start();
        pending.start();
        assert_eq!(count(), (2, 2));
        pending.answer();
        assert_eq!(count(), (2, 1));
        pending.end(true);
        assert_eq!(count(), (1, 1));
        pending.end(false);
        assert_eq!(count(), (0, 0));
    }
}
