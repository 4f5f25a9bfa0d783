//! Which requests stay in the preferred zone.

/// The zone whose endpoints are preferred, and when requests go to others.
///
/// All requests stay in the zone, except:
///
/// - **too few endpoints**: as long as 72% of the zone's known endpoints are available (connected and not
///   ejected), counted by weight, they are taken to have room for all; below that, each lacking percent sends 1.4% of the requests
///   elsewhere. If fewer than [`at_least`](Self::at_least) are available, each lacking one sends its part
///   elsewhere too. None available: all go elsewhere;
/// - **too loaded endpoints**: if the better of two candidates of the zone has
///   [`spill_over_at`](Self::spill_over_at) pending requests or more (failures count as some for a while), and one elsewhere has at most
///   half as many, that one takes the request.
///
/// While no endpoint elsewhere is available, all requests stay. Instances without a zone are elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Zone {
    pub(crate) name: String,
    at_least: usize,
    pub(crate) spill_over_at: u32,
}

/// So many times the traffic that is theirs can endpoints take: 1 ÷ 0.72.
const ROOM: f64 = 1.4;

impl Zone {
    /// Endpoints of instances of this zone are preferred.
    pub fn prefer(name: impl Into<String>) -> Self {
        Self { name: name.into(), at_least: 1, spill_over_at: 10 }
    }

    /// How many endpoints of the zone are enough to take all requests; 1 unless set.
    pub fn at_least(mut self, endpoints: usize) -> Self {
        self.at_least = endpoints.max(1);
        self
    }

    /// From how many pending requests at one endpoint on others are asked; 10 unless set.
    pub fn spill_over_at(mut self, pending: u32) -> Self {
        self.spill_over_at = pending;
        self
    }

    /// The share of requests that stays, for `available` endpoints that make up the part `presence` of the
    /// weights of all that the zone has.
    pub(crate) fn share(&self, available: usize, presence: f64) -> f64 {
        (presence * ROOM).min(available as f64 / self.at_least as f64).min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_stay_while_most_endpoints_are_available() {
        let zone = Zone::prefer("a").at_least(2);
        assert_eq!(zone.share(10, 1.0), 1.0);
        assert_eq!(zone.share(8, 0.8), 1.0);
        assert!((zone.share(5, 0.5) - 0.7).abs() < 1e-9);
        assert_eq!(zone.share(1, 1.0), 0.5);
        assert_eq!(zone.share(0, 0.0), 0.0);
    }
}
