//! What a view does about instances that vanish: the rules, as users choose them. `filter` carries them out.

use std::time::Duration;

/// What a [`super::View`] shows when none of its instances is left.
///
/// Without a policy every delete that the registry confirms counts at once. With one, instances that *vanished* may
/// be shown for a while longer. That is said of an instance whose key is gone from the registry though it matched the
/// selector when it was last seen: its lease expired, somebody deleted the key, or the registry lost it. It may well
/// still serve. One that said itself that it wants no traffic, by [`crate::Status::Draining`] or
/// [`crate::Status::Down`] or in any other way that the selector looks at, is never held, and neither is the old
/// incarnation of one that came back.
///
/// Each instance is held for the policy's limit at most, counted from when the view saw that it had vanished. A
/// snapshot with held instances is [`super::Freshness::Stale`], and [`super::Snapshot::held`] counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum EmptyPolicy {
    /// Nothing.
    #[default]
    Follow,
    /// Those that vanished within this time.
    Hold(Duration),
}

/// What a [`super::View`] shows when a large share of its instances vanishes at once, as after a failure that ended
/// many leases. What vanishing is, is said at [`EmptyPolicy`].
///
/// ```
/// use std::time::Duration;
///
/// use registry_client::{LossPolicy, Selector, ServiceWatch};
///
/// # let (watch, _publisher) = ServiceWatch::manual("pay");
/// // Up to half of the instances may go within a minute, and is gone; more than that may be a mistake.
/// let policy = LossPolicy::Hold { above_percent: 50, limit: Duration::from_secs(60) };
/// let view = watch.select(Selector::endpoint("grpc")).on_mass_loss(policy);
/// # let _ = view;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum LossPolicy {
    /// What is left.
    #[default]
    Follow,
    /// What is left and what vanished, while both are true: more than `above_percent` of the instances there were have
    /// vanished within `limit`, and what is there now, new ones included, is fewer than what that would leave.
    Hold {
        /// From 0, which holds any loss, to 100, which holds none.
        above_percent: u8,
        /// How long an instance is held at most, and what "at once" means.
        limit: Duration,
    },
}

/// The policies of one view.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Policies {
    pub(super) empty: EmptyPolicy,
    pub(super) loss: LossPolicy,
}

impl Policies {
    /// For how long what vanished has to be remembered.
    pub(super) fn memory(self) -> Duration {
        let empty = match self.empty {
            EmptyPolicy::Follow => Duration::ZERO,
            EmptyPolicy::Hold(limit) => limit,
        };
        match self.loss {
            LossPolicy::Follow => empty,
            LossPolicy::Hold { limit, .. } => empty.max(limit),
        }
    }
}

impl LossPolicy {
    /// Whether the loss of `vanished` out of `before` instances is one to doubt when `left` are there now.
    pub(super) fn doubts(above_percent: u8, vanished: usize, before: usize, left: usize) -> bool {
        let percent = usize::from(above_percent.min(100));
        vanished * 100 > before * percent && left * 100 < before * (100 - percent)
    }
}
