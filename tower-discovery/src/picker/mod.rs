//! The immutable set of connected endpoints, from which each caller picks in its own task.
//!
//! `lottery` draws two candidates by weight and `group` takes the one whose load over weight is lower;
//! `affinity` takes the one that a request's key belongs to. What is preferred are the `near` endpoints: all, or those of the
//! preferred zone. A connection that has ended since the picker was published is passed over; so is an
//! endpoint that still owes its first answer, while another does not.

mod affinity;
mod group;
mod lottery;

use std::sync::Arc;

use tokio::time::Instant;

pub(crate) use self::affinity::Attraction;
use self::group::Group;
use crate::balancing::hash;
use crate::error::ConnectError;
use crate::load::Load;
use crate::target::{Key, Target};

/// A connected endpoint.
#[derive(Debug)]
pub(crate) struct Member<S> {
    pub(crate) target: Target,
    pub(crate) connection: S,
    pub(crate) load: Arc<Load>,
    /// The hash of its id.
    pub(crate) seed: u64,
}

impl<S> Member<S> {
    pub(crate) fn new(target: Target, connection: S, load: Arc<Load>) -> Self {
        Self { seed: hash::of(target.key().id().as_bytes()), target, connection, load }
    }

    fn is_live(&self) -> bool {
        !self.target.liveness().is_over()
    }
}

/// What callers pick from; replaced as a whole by the driver.
#[derive(Debug)]
pub(crate) struct Picker<S> {
    near: Group<S>,
    far: Group<S>,
    /// Those that are used only when no other is there.
    ejected: Group<S>,
    spill_over: SpillOver,
    pub(crate) outlook: Outlook,
}

/// When requests go from the near endpoints to the far ones.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SpillOver {
    /// The share of requests that stays, within 0 and 1.
    pub(crate) share: f64,
    /// How many pending requests are too many for a near endpoint.
    pub(crate) pending: f64,
}

/// An endpoint for a new picker, with its weight at this moment.
#[derive(Debug)]
pub(crate) struct Candidate<S> {
    pub(crate) member: Arc<Member<S>>,
    pub(crate) weight: u64,
    pub(crate) standing: Standing,
}

/// Which part of the requests an endpoint is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Near,
    Far,
    Ejected,
}

/// What is known beside the connected endpoints; told to those who find none.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outlook {
    /// Endpoints of the last snapshot that the channel connects to; `None` before the first.
    pub(crate) known: Option<usize>,
    /// Endpoints whose first attempt to connect has not ended.
    pub(crate) untried: usize,
    /// Endpoints that are ejected, also while so many are that it is ignored.
    pub(crate) ejected: usize,
    /// Endpoints that are not connected now.
    pub(crate) absent: Box<[Target]>,
    /// The last failure to connect.
    pub(crate) last: Option<Arc<ConnectError>>,
}

impl Outlook {
    /// Waiting longer may help only if something changes.
    pub(crate) fn is_settled(&self) -> bool {
        self.known.is_some() && self.untried == 0
    }
}

/// What a request wants.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wish<'a> {
    pub(crate) now: Instant,
    /// Not this endpoint.
    pub(crate) avoid: Option<&'a Key>,
    pub(crate) attraction: Option<Attraction>,
}

impl Wish<'_> {
    fn is_usable<S>(self, member: &Member<S>) -> bool {
        member.is_live() && self.avoid != Some(member.target.key())
    }
}

impl<S> Picker<S> {
    pub(crate) fn new(candidates: Vec<Candidate<S>>, spill_over: SpillOver, outlook: Outlook) -> Self {
        let (mut near, mut far, mut ejected) = (Vec::new(), Vec::new(), Vec::new());
        for Candidate { member, weight, standing } in candidates {
            let group = match standing {
                Standing::Near => &mut near,
                Standing::Far => &mut far,
                Standing::Ejected => &mut ejected,
            };
            group.push((member, weight));
        }
        Self { near: Group::new(near), far: Group::new(far), ejected: Group::new(ejected), spill_over, outlook }
    }

    /// A picker before the first snapshot.
    pub(crate) fn empty() -> Self {
        Self::new(Vec::new(), SpillOver::NONE, Outlook::default())
    }

    /// All endpoints that were connected when the picker was published, those included that have ended since.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Arc<Member<S>>> {
        [&self.near, &self.far, &self.ejected].into_iter().flat_map(|group| &group.members)
    }

    fn live(&self) -> impl Iterator<Item = &Arc<Member<S>>> {
        self.members().filter(|member| member.is_live())
    }

    pub(crate) fn connected(&self) -> usize {
        self.live().count()
    }

    pub(crate) fn targets(&self) -> Vec<Target> {
        self.live().map(|member| member.target.clone()).collect()
    }

    /// The connected endpoint of that key.
    pub(crate) fn find(&self, key: &Key) -> Option<&Arc<Member<S>>> {
        self.live().find(|member| member.target.key() == key)
    }

    /// The endpoint for a request. `random(n)` draws from `0..n`.
    pub(crate) fn pick(&self, wish: Wish<'_>, mut random: impl FnMut(u64) -> u64) -> Option<&Arc<Member<S>>> {
        let stays = self.stays(wish.attraction, &mut random);
        let (first, second) = if stays { (&self.near, &self.far) } else { (&self.far, &self.near) };
        if let Some(attraction) = wish.attraction {
            let found = first.attracted(attraction, wish).or_else(|| second.attracted(attraction, wish));
            if found.is_some() {
                return found;
            }
        }
        if let Some(index) = first.better_of_two(wish, &mut random) {
            let other = if stays { self.less_loaded_far(index, wish, &mut random) } else { None };
            return other.or(Some(&first.members[index]));
        }
        self.last_resort([first, second], wish, random)
    }

    /// Nobody that was drawn in the first group is proven and free.
    fn last_resort<'a>(
        &'a self,
        [first, second]: [&'a Group<S>; 2],
        wish: Wish<'_>,
        mut random: impl FnMut(u64) -> u64,
    ) -> Option<&'a Arc<Member<S>>> {
        let is_trusted = |index: &usize| first.members[*index].load.is_trusted(wish.now);
        let here = first.search(wish, &mut random);
        let weighted_here = here.filter(|&index| first.has_weight(index));
        if let Some(index) = weighted_here.filter(is_trusted) {
            return Some(&first.members[index]);
        }
        // Better one elsewhere than one that owes an answer.
        if let Some(index) = second.better_of_two(wish, &mut random) {
            return Some(&second.members[index]);
        }
        // A weight of 0 is the last resort of both.
        let found = match weighted_here {
            Some(index) => Some((first, index)),
            None => match second.search(wish, &mut random) {
                Some(index) if here.is_none() || second.has_weight(index) => Some((second, index)),
                _ => here.map(|index| (first, index)),
            },
        };
        let found = found.or_else(|| self.ejected.search(wish, &mut random).map(|index| (&self.ejected, index)));
        found.map(|(group, index)| &group.members[index])
    }

    /// Whether a near endpoint is to be taken: by lot, or by the key, so that a key always has the same lot.
    fn stays(&self, attraction: Option<Attraction>, random: &mut impl FnMut(u64) -> u64) -> bool {
        if self.far.is_empty() || self.near.is_empty() || self.spill_over.share >= 1.0 {
            return !self.near.is_empty();
        }
        let lot = attraction.map_or_else(|| random(1 << 32), |attraction| hash::mix(attraction.key) >> 32);
        (lot as f64) < self.spill_over.share * (1_u64 << 32) as f64
    }

    /// A far endpoint, if the near one has too much to do and the far one at most half as much.
    fn less_loaded_far(
        &self,
        near: usize,
        wish: Wish<'_>,
        random: &mut impl FnMut(u64) -> u64,
    ) -> Option<&Arc<Member<S>>> {
        if self.far.is_empty() {
            return None;
        }
        let load = |group: &Group<S>, index: usize| {
            let reading = group.members[index].load.read(wish.now);
            (reading.pending + reading.penalty, group.lottery.weight(index).max(1) as f64)
        };
        let (near_load, near_weight) = load(&self.near, near);
        if near_load < self.spill_over.pending {
            return None;
        }
        let far = self.far.better_of_two(wish, random)?;
        let (far_load, far_weight) = load(&self.far, far);
        (far_load * 2.0 / far_weight <= near_load / near_weight).then(|| &self.far.members[far])
    }
}

impl SpillOver {
    /// All are near.
    pub(crate) const NONE: Self = Self { share: 1.0, pending: f64::INFINITY };
}

#[cfg(test)]
mod tests;
