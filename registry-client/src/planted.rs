//! Bugs that are planted on purpose, one at a time: the proof that the simulation finds such bugs.
//!
//! Not part of the API. Each stands where it would really be made, as a condition that asks `planted`. Only with the
//! feature `planted-bugs`, which is for tests, can one be planted; without it the answer is a constant, and nothing of a
//! bug is compiled. A simulation runs on one thread, so what is planted is planted on a thread.

/// A bug that can be planted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// A registration that is dropped is kept alive.
    DropKeepsLease,
    /// A revoke that fails is not tried again.
    RevokeTriedOnce,
    /// A registration that has ended grants and puts once more.
    RegistersAfterEnd,
    /// A shutdown returns before the lease is known to be gone.
    ShutdownDoesNotWait,
    /// A key that is gone is not put again.
    NeverPutsAgain,
}

#[cfg(feature = "planted-bugs")]
impl Bug {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::DropKeepsLease,
        Self::RevokeTriedOnce,
        Self::RegistersAfterEnd,
        Self::ShutdownDoesNotWait,
        Self::NeverPutsAgain,
    ];
}

#[cfg(feature = "planted-bugs")]
mod thread {
    use std::cell::Cell;

    use super::Bug;

    thread_local! {
        static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
        static HITS: Cell<u64> = const { Cell::new(0) };
    }

    /// Plants a bug on this thread, in place of the one before; none for none.
    pub fn plant(bug: Option<Bug>) {
        PLANTED.set(bug);
        HITS.set(0);
    }

    /// How often the planted bug has done something since it was planted.
    #[must_use]
    pub fn hits() -> u64 {
        HITS.get()
    }

    /// Whether this bug is planted here. Asked last in a condition, so that what is counted are its effects.
    pub(crate) fn planted(bug: Bug) -> bool {
        let is_planted = PLANTED.get() == Some(bug);
        HITS.set(HITS.get() + u64::from(is_planted));
        is_planted
    }
}

#[cfg(feature = "planted-bugs")]
pub(crate) use self::thread::planted;
#[cfg(feature = "planted-bugs")]
pub use self::thread::{hits, plant};

/// No bug is ever planted without the feature.
#[cfg(not(feature = "planted-bugs"))]
pub(crate) const fn planted(_bug: Bug) -> bool {
    false
}
