//! What a row should come to, and whether it does. Pure.

use serde::Serialize;

use super::measure::Measure;
use crate::figures::Spread;

/// A goal of a row.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Goal {
    /// Of which quantity.
    pub measure: Measure,
    /// What its median is held against.
    pub bound: Bound,
    /// Only of servers with so many nodes; of all when there is none.
    pub nodes: Option<usize>,
}

/// A bound.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bound {
    /// The server's figure over the peer's is at most this.
    RatioAtMost(f64),
    /// The server's figure over the peer's is at least this.
    RatioAtLeast(f64),
    /// The server's own figure is at most this, whatever the peer's.
    OwnAtMost(f64),
}

impl Goal {
    /// The figure over the peer's is at most this.
    pub(super) const fn at_most(measure: Measure, ratio: f64) -> Self {
        Self { measure, bound: Bound::RatioAtMost(ratio), nodes: None }
    }

    /// The figure over the peer's is at least this.
    pub(super) const fn at_least(measure: Measure, ratio: f64) -> Self {
        Self { measure, bound: Bound::RatioAtLeast(ratio), nodes: None }
    }

    /// The same for servers with so many nodes only.
    pub(super) const fn of_nodes(self, nodes: usize) -> Self {
        Self { nodes: Some(nodes), ..self }
    }

    /// Whether it is a goal of servers with so many nodes.
    #[must_use]
    pub fn is_for(&self, nodes: usize) -> bool {
        self.nodes.is_none_or(|only| only == nodes)
    }
}

impl Bound {
    /// Whether medians meet it; unknown where the bound is on a ratio and there is none.
    #[must_use]
    pub fn is_met(self, own: Spread, ratio: Option<Spread>) -> Option<bool> {
        let ratio = ratio.map(|spread| spread.median);
        match self {
            Self::RatioAtMost(most) => ratio.map(|ratio| ratio <= most),
            Self::RatioAtLeast(least) => ratio.map(|ratio| ratio >= least),
            Self::OwnAtMost(most) => Some(own.median <= most),
        }
    }

    /// The number, and whether less is better.
    #[must_use]
    pub fn limit(self) -> (f64, bool) {
        match self {
            Self::RatioAtMost(limit) | Self::OwnAtMost(limit) => (limit, true),
            Self::RatioAtLeast(limit) => (limit, false),
        }
    }
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::RatioAtMost(limit) => write!(f, "≤ {}", fraction(*limit)),
            Self::RatioAtLeast(limit) => write!(f, "≥ {}", fraction(*limit)),
            Self::OwnAtMost(limit) => write!(f, "own ≤ {}", fraction(*limit)),
        }
    }
}

/// A unit fraction as it is spoken of, anything else as a decimal.
fn fraction(value: f64) -> String {
    let parts = 1.0 / value;
    if value < 1.0 && (parts - parts.round()).abs() < 1e-9 && parts.round() as u64 != 10 {
        format!("1/{parts:.0}")
    } else {
        format!("{value}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(median: f64) -> Spread {
        Spread { median, min: median / 2.0, max: median * 2.0 }
    }

    #[test]
    fn the_median_counts_and_the_bound_itself_meets_it() {
        let own = spread(7.0);
        assert_eq!(Bound::RatioAtMost(0.25).is_met(own, Some(spread(0.25))), Some(true));
        assert_eq!(Bound::RatioAtMost(0.25).is_met(own, Some(spread(0.26))), Some(false));
        assert_eq!(Bound::RatioAtLeast(2.5).is_met(own, Some(spread(2.5))), Some(true));
        assert_eq!(Bound::RatioAtLeast(2.5).is_met(own, Some(spread(2.4))), Some(false));
        assert_eq!(Bound::OwnAtMost(7.0).is_met(own, None), Some(true));
        assert_eq!(Bound::OwnAtMost(6.9).is_met(own, Some(spread(0.1))), Some(false));
    }

    #[test]
    fn without_a_peer_a_bound_on_the_ratio_is_undecided() {
        assert_eq!(Bound::RatioAtMost(0.25).is_met(spread(1.0), None), None);
    }

    #[test]
    fn goals_are_told_as_people_speak_of_them() {
        let told = |bound: Bound| bound.to_string();
        assert_eq!(told(Bound::RatioAtMost(1.0 / 12.0)), "≤ 1/12");
        assert_eq!(told(Bound::RatioAtMost(0.1)), "≤ 0.1");
        assert_eq!(told(Bound::RatioAtMost(0.6)), "≤ 0.6");
        assert_eq!(told(Bound::RatioAtLeast(2.5)), "≥ 2.5");
        assert_eq!(told(Bound::OwnAtMost(2.0)), "own ≤ 2");
    }

    #[test]
    fn a_goal_of_three_nodes_is_none_of_one() {
        let goal = Goal::at_least(Measure::Throughput, 3.0);
        assert!(goal.is_for(1) && goal.of_nodes(3).is_for(3) && !goal.of_nodes(3).is_for(1));
    }
}
