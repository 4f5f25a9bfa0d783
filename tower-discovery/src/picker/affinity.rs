//! The endpoint that a request's key belongs to, unless it has more than its share to do.
//!
//! Rendezvous hashing: each member has a rank for each key, and the highest takes the request. What comes or goes
//! moves only the keys that it takes or held. A member of twice the weight is highest for twice as many keys.

use std::sync::Arc;

use super::group::Group;
use super::{Member, Wish};
use crate::balancing::hash;

/// Up to this many pending requests no endpoint counts as overloaded: a share of few is a fraction of one.
const FREE: f64 = 4.0;

/// A key and how much above a fair share its endpoint may have to do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attraction {
    /// The hash of the key.
    pub(crate) key: u64,
    /// At least 1.
    pub(crate) bound: f64,
}

impl<S> Group<S> {
    /// The highest usable member for the key, then the highest that is not overloaded.
    pub(super) fn attracted(&self, attraction: Attraction, wish: Wish<'_>) -> Option<&Arc<Member<S>>> {
        let fits = |index: usize| {
            let load = &self.members[index].load;
            let reading = load.read(wish.now);
            let share = self.lottery.weight(index) as f64 / self.lottery.total() as f64;
            let fair = attraction.bound * (f64::from(load.total()) + 1.0) * share;
            reading.pending + reading.penalty < fair.ceil().max(FREE) && load.is_trusted(wish.now)
        };
        let highest = self.highest(attraction.key, |index| wish.is_usable(&self.members[index]))?;
        let found = if fits(highest) {
            highest
        } else {
            self.highest(attraction.key, |index| wish.is_usable(&self.members[index]) && fits(index))?
        };
        Some(&self.members[found])
    }

    fn highest(&self, key: u64, is_wanted: impl Fn(usize) -> bool) -> Option<usize> {
        let mut best = None;
        for (index, member) in self.members.iter().enumerate() {
            let lot = hash::mix(key ^ member.seed);
            let rank = if self.lottery.is_even() { lot as f64 } else { hash::weigh(lot, self.lottery.weight(index)) };
            if best.is_none_or(|(highest, _)| rank > highest) && rank > 0.0 && is_wanted(index) {
                best = Some((rank, index));
            }
        }
        best.map(|(_, index)| index)
    }
}
