//! The immutable set of connected endpoints, from which each caller picks in its own task.
//!
//! Two candidates are drawn by weight, and the one whose load over weight is lower takes the request. A
//! connection that has ended since the picker was published is passed over; so is an endpoint that still
//! owes its first answer, while another does not.

use std::ops::Range;
use std::sync::Arc;

use tokio::time::Instant;

use crate::error::ConnectError;
use crate::load::Load;
use crate::target::{Key, Target};

/// A connected endpoint.
#[derive(Debug)]
pub(crate) struct Member<S> {
    pub(crate) target: Target,
    pub(crate) weight: u32,
    pub(crate) connection: S,
    pub(crate) load: Arc<Load>,
}

/// What callers pick from; replaced as a whole by the driver.
#[derive(Debug)]
pub(crate) struct Picker<S> {
    members: Box<[Arc<Member<S>>]>,
    /// `cumulative[i]` is the sum of the weights up to and including member `i`.
    cumulative: Box<[u64]>,
    pub(crate) outlook: Outlook,
}

/// What is known beside the connected endpoints; told to those who find none.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outlook {
    /// Endpoints of the last snapshot; `None` before the first.
    pub(crate) known: Option<usize>,
    /// Endpoints whose first attempt to connect has not ended.
    pub(crate) untried: usize,
    /// The last failure to connect.
    pub(crate) last: Option<Arc<ConnectError>>,
}

impl Outlook {
    /// Waiting longer may help only if something changes.
    pub(crate) fn is_settled(&self) -> bool {
        self.known.is_some() && self.untried == 0
    }
}

impl<S> Picker<S> {
    pub(crate) fn new(members: Vec<Arc<Member<S>>>, outlook: Outlook) -> Self {
        let mut total = 0;
        let cumulative = members.iter().map(|member| {
            total += u64::from(member.weight);
            total
        });
        Self { cumulative: cumulative.collect(), members: members.into(), outlook }
    }

    pub(crate) fn connected(&self) -> usize {
        self.members.iter().filter(|member| member.is_live()).count()
    }

    pub(crate) fn targets(&self) -> Vec<Target> {
        self.members.iter().filter(|member| member.is_live()).map(|member| member.target.clone()).collect()
    }

    /// The endpoint for a request, not `avoid`. `random(n)` draws from `0..n`.
    pub(crate) fn pick(
        &self,
        avoid: Option<&Key>,
        now: Instant,
        mut random: impl FnMut(u64) -> u64,
    ) -> Option<&Arc<Member<S>>> {
        let usable = |member: &Arc<Member<S>>| member.is_live() && avoid != Some(member.target.key());
        let is_usable = |index: &usize| usable(&self.members[*index]);
        let first = self.draw(None, &mut random);
        let second = self.draw(first, &mut random).filter(is_usable);
        let first = first.filter(is_usable);
        let better = match (first, second) {
            (Some(first), Some(second)) if self.members[second].beats(&self.members[first], now) => Some(second),
            (first, second) => first.or(second),
        };
        let chosen = better.map(|index| &self.members[index]);
        if chosen.is_some_and(|member| member.load.is_trusted(now)) {
            return chosen;
        }
        let start = random(self.members.len().max(1) as u64) as usize;
        self.search(start, now, usable).or(chosen)
    }

    /// A member by weight, as if the weight of `except` were 0.
    fn draw(&self, except: Option<usize>, random: &mut impl FnMut(u64) -> u64) -> Option<usize> {
        let total = self.cumulative.last().copied()?;
        let skipped = except.map_or(0..0, |index| self.span(index));
        let left = total - (skipped.end - skipped.start);
        if left == 0 {
            return None;
        }
        let point = random(left);
        let point = if point < skipped.start { point } else { point + (skipped.end - skipped.start) };
        Some(self.cumulative.partition_point(|&sum| sum <= point))
    }

    /// The part of the weights' sum that is a member's.
    fn span(&self, index: usize) -> Range<u64> {
        let start = index.checked_sub(1).map_or(0, |before| self.cumulative[before]);
        start..self.cumulative[index]
    }

    /// The rare way: both candidates are gone or unproven. Weights of 0 are taken only as the last resort.
    fn search(&self, start: usize, now: Instant, usable: impl Fn(&Arc<Member<S>>) -> bool) -> Option<&Arc<Member<S>>> {
        let all = || self.members[start..].iter().chain(&self.members[..start]).filter(|member| usable(member));
        let weighted = || all().filter(|member| member.weight > 0);
        let trusted = weighted().find(|member| member.load.is_trusted(now));
        trusted.or_else(|| weighted().min_by_key(|member| member.load.pending())).or_else(|| all().next())
    }
}

impl<S> Member<S> {
    fn is_live(&self) -> bool {
        !self.target.liveness().is_over()
    }

    fn beats(&self, other: &Self, now: Instant) -> bool {
        let cost =
            |member: &Self| (!member.load.is_trusted(now), member.load.cost(now) / f64::from(member.weight.max(1)));
        cost(self) < cost(other)
    }
}

#[cfg(test)]
mod tests {
    use registry_client::{Instance, Selector, ServiceWatch};

    use super::*;

    /// Members of these weights, each proven.
    fn picker(weights: &[u32]) -> Picker<()> {
        let (watch, mut publisher) = ServiceWatch::manual("pay");
        for (index, &weight) in weights.iter().enumerate() {
            let id = format!("{index:04}");
            let endpoint = format!("http://h:{}", index + 1);
            publisher.put(Instance::builder("pay").id(id).endpoint("g", endpoint).weight(weight).build().unwrap());
        }
        let view = watch.select(Selector::endpoint("g"));
        let member = |(instance, endpoint): (Arc<registry_client::Discovered>, &registry_client::Endpoint)| {
            let load = Arc::new(Load::default());
            load.start().answered();
            let weight = instance.weight();
            Arc::new(Member { target: Target::new(instance, endpoint.clone()), weight, connection: (), load })
        };
        Picker::new(view.endpoints(&view.snapshot()).map(member).collect(), Outlook::default())
    }

    fn index(member: &Arc<Member<()>>) -> usize {
        member.target.key().id().parse().unwrap()
    }

    /// How 10,000 picks fall, each ended at once.
    fn shares(picker: &Picker<()>) -> Vec<usize> {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut shares = vec![0; picker.members.len()];
        for _ in 0..10_000 {
            shares[index(picker.pick(None, Instant::now(), |n| rng.u64(..n)).unwrap())] += 1;
        }
        shares
    }

    #[test]
    fn p2c_takes_the_less_loaded_of_two() {
        let picker = picker(&[100, 100]);
        let _busy = picker.members[0].load.start();
        assert_eq!(shares(&picker), [0, 10_000]);
    }

    #[test]
    fn weights_divide_an_idle_set_in_proportion() {
        let shares = shares(&picker(&[100, 300, 0]));
        assert!((2300..2700).contains(&shares[0]) && shares[2] == 0, "{shares:?}");
    }

    #[test]
    fn a_heavier_endpoint_holds_more_pending_requests() {
        let picker = picker(&[100, 400]);
        let mut rng = fastrand::Rng::with_seed(7);
        let held: Vec<_> =
            (0..1000).map(|_| picker.pick(None, Instant::now(), |n| rng.u64(..n)).unwrap().load.start()).collect();
        let light = picker.members[0].load.pending();
        assert!((180..220).contains(&light), "{light} of {}", held.len());
    }

    #[test]
    fn a_fast_error_attracts_no_traffic() {
        let picker = picker(&[100, 100, 100]);
        picker.members[1].load.start().failed(Instant::now());
        assert_eq!(shares(&picker)[1], 0);
    }

    #[test]
    fn an_ended_connection_is_passed_over_before_the_picker_is_replaced() {
        let picker = picker(&[100, 100, 100]);
        picker.members[0].target.liveness().end();
        picker.members[2].target.liveness().end();
        assert_eq!(shares(&picker), [0, 10_000, 0]);
        picker.members[1].target.liveness().end();
        assert!(picker.pick(None, Instant::now(), |_| 0).is_none());
        assert_eq!(picker.connected(), 0);
    }

    #[test]
    fn an_endpoint_that_owes_its_first_answer_gets_no_second_request() {
        let picker = picker(&[100; 8]);
        let silent = Arc::new(Load::default());
        let _first = silent.start();
        let mut members: Vec<_> = picker.members.to_vec();
        let old = &members[3];
        members[3] =
            Arc::new(Member { target: old.target.clone(), weight: 100, connection: (), load: Arc::clone(&silent) });
        // The others are busier.
        let _busy: Vec<_> =
            (0..8).filter(|&i| i != 3).flat_map(|i| [members[i].load.start(), members[i].load.start()]).collect();
        let picker = Picker::new(members, Outlook::default());
        assert_eq!(shares(&picker)[3], 0);
    }

    #[test]
    fn an_avoided_endpoint_is_not_picked_even_if_it_is_alone() {
        let picker = picker(&[100]);
        let key = picker.members[0].target.key().clone();
        assert!(picker.pick(Some(&key), Instant::now(), |_| 0).is_none());
        assert!(picker.pick(None, Instant::now(), |_| 0).is_some());
    }

    #[test]
    fn weight_zero_serves_only_when_nothing_else_can() {
        let picker = picker(&[0, 5]);
        assert_eq!(shares(&picker), [0, 10_000]);
        picker.members[1].target.liveness().end();
        assert_eq!(shares(&picker), [10_000, 0]);
    }
}
