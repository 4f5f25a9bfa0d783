//! A part of a picker's members, from which the better of two is taken.
//!
//! An endpoint of three times another's weight counts, beside that one, as three endpoints that share its
//! requests: it is drawn three times as often, and three of its requests weigh as much as one of the other. A
//! rest that does not divide is rounded up or down by lot, so that shares come out right on average.

use std::sync::Arc;

use tokio::time::Instant;

use super::lottery::Lottery;
use super::{Member, Wish};
use crate::load::Reading;

/// Times that differ by less than this factor are taken for the same.
const NOISE: f64 = 1.25;

/// An endpoint that owes its first answer counts as having so many more pending requests.
const UNPROVEN: u32 = 32;

/// Some members and their weights at this moment.
#[derive(Debug)]
pub(super) struct Group<S> {
    pub(super) members: Box<[Arc<Member<S>>]>,
    pub(super) lottery: Lottery,
}

impl<S> Group<S> {
    pub(super) fn new(members: Vec<(Arc<Member<S>>, u64)>) -> Self {
        let lottery = Lottery::new(members.iter().map(|(_, weight)| *weight));
        Self { members: members.into_iter().map(|(member, _)| member).collect(), lottery }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The better of two; none if both cannot be used or the better one is not to be trusted now.
    pub(super) fn better_of_two(&self, wish: Wish<'_>, random: &mut impl FnMut(u64) -> u64) -> Option<usize> {
        let (first, second) = self.lottery.pair(random);
        let is_usable = |index: &usize| wish.is_usable(&self.members[*index]);
        let better = match (first.filter(is_usable), second.filter(is_usable)) {
            (Some(first), Some(second)) => Some(self.better(first, second, wish.now, random)),
            (first, second) => first.or(second),
        };
        better.filter(|&index| self.members[index].load.is_trusted(wish.now))
    }

    fn better(&self, first: usize, second: usize, now: Instant, random: &mut impl FnMut(u64) -> u64) -> usize {
        let is_trusted = |index: usize| self.members[index].load.is_trusted(now);
        match (is_trusted(first), is_trusted(second)) {
            (true, false) => return first,
            (false, true) => return second,
            _ => {}
        }
        let (one, two) = (self.members[first].load.read(now), self.members[second].load.read(now));
        let (heavy, light) = (self.lottery.weight(first), self.lottery.weight(second));
        let lesser = heavy.min(light);
        let one_load = cost(one, lesser, heavy, random);
        let two_load = cost(two, lesser, light, random);
        let (one_rtt, two_rtt) = speeds(one, two);
        if two_load * two_rtt < one_load * one_rtt { second } else { first }
    }

    /// The rare way: the candidates are gone or unproven. The least pending takes it, where an unproven one counts as
    /// having some more: else, while one alone has answered, it would get all that comes in a burst. Weights
    /// of 0 are taken only as the last resort.
    pub(super) fn search(&self, wish: Wish<'_>, random: &mut impl FnMut(u64) -> u64) -> Option<usize> {
        let count = self.members.len();
        let start = random(count.max(1) as u64) as usize;
        let usable = (start..count).chain(0..start).filter(|&index| wish.is_usable(&self.members[index]));
        let cost = |&index: &usize| {
            let load = &self.members[index].load;
            let doubt = if load.is_trusted(wish.now) { 0 } else { UNPROVEN };
            let is_last_resort = !self.has_weight(index);
            (is_last_resort, load.is_swallowing(wish.now), load.pending().saturating_add(doubt))
        };
        usable.min_by_key(cost)
    }

    /// Whether a member has any weight at this moment.
    pub(super) fn has_weight(&self, index: usize) -> bool {
        self.lottery.weight(index) > 0
    }
}

/// The times to count with: equal ones if they are nearly so, or one of them is not known. An endpoint that has
/// just failed counts as no faster than the other: failing is often fast.
fn speeds(one: Reading, two: Reading) -> (f64, f64) {
    let (Some(mut one_rtt), Some(mut two_rtt)) = (one.rtt, two.rtt) else {
        return (1.0, 1.0);
    };
    if one.penalty > 0.0 {
        one_rtt = one_rtt.max(two_rtt);
    }
    if two.penalty > 0.0 {
        two_rtt = two_rtt.max(one_rtt);
    }
    let is_same = one_rtt <= two_rtt * NOISE && two_rtt <= one_rtt * NOISE;
    if is_same { (1.0, 1.0) } else { (one_rtt, two_rtt) }
}

/// What one more request would cost, in requests, for a member of `weight` beside one that weighs `lesser`.
fn cost(reading: Reading, lesser: u64, weight: u64, random: &mut impl FnMut(u64) -> u64) -> f64 {
    let pending = if lesser == weight {
        reading.pending
    } else {
        let share = reading.pending * lesser as f64 / weight as f64;
        let is_rounded_up = (random(1 << 32) as f64) < share.fract() * (1_u64 << 32) as f64;
        share.floor() + f64::from(u8::from(is_rounded_up))
    };
    pending + reading.penalty + 1.0
}
