//! The rules by which requests are shared out, as settings and as pure functions of them.
//!
//! `zone`, `subset`, `warm_up` and `outlier` decide for the `driver`, which knows the endpoints and the time;
//! `affinity` for `balance`, which knows the request. `hash` is what clients have to agree on.

mod affinity;
pub(crate) mod hash;
pub(crate) mod outlier;
pub(crate) mod subset;
pub(crate) mod warm_up;
mod zone;

use std::time::Duration;

pub use affinity::Affinity;
pub use outlier::{FailurePercentage, OutlierEjection, SuccessRate};
pub use zone::Zone;

use self::subset::Order;
use crate::load::LoadMetric;

/// How the layer's requests are shared out.
#[derive(Debug, Clone)]
pub(crate) struct Balancing {
    pub(crate) load: LoadMetric,
    /// Whether the instances' weights count.
    pub(crate) weights: bool,
    pub(crate) slow_start: Option<Duration>,
    pub(crate) outliers: Option<OutlierEjection>,
    /// Within 0 and 1.
    pub(crate) panic_threshold: f64,
    pub(crate) zone: Option<Zone>,
    /// How many endpoints of each kind of zone are connected.
    pub(crate) subset: Option<usize>,
    pub(crate) order: Order,
    pub(crate) affinity: Option<Affinity>,
}

impl Balancing {
    /// The weight of an instance that says `weight`, before any warm-up, in 256ths.
    pub(crate) fn weight(&self, weight: u32) -> u64 {
        if self.weights { u64::from(weight) << 8 } else { 1 << 8 }
    }
}

impl Default for Balancing {
    fn default() -> Self {
        Self {
            load: LoadMetric::default(),
            weights: true,
            slow_start: None,
            outliers: None,
            panic_threshold: 0.5,
            zone: None,
            subset: None,
            order: Order::of(&format!("{:032x}", fastrand::u128(..))),
            affinity: None,
        }
    }
}
