//! Drawing members by weight.
//!
//! [`Lottery::pair`] draws the two candidates of a pick. Its law: who is drawn first, is drawn by weight; and
//! any two members are as likely to be drawn in one order as in the other. So if the better of two is, in the
//! long run, as often the first as the second, shares follow the weights exactly.

/// Members by their weights; those of weight 0 are never drawn.
#[derive(Debug, Default)]
pub(super) struct Lottery {
    /// `cumulative[i]` is the sum of the weights up to and including member `i`.
    cumulative: Box<[u64]>,
    /// All have the same weight, which is not 0: then no sum has to be searched.
    is_even: bool,
}

impl Lottery {
    pub(super) fn new(weights: impl Iterator<Item = u64>) -> Self {
        let mut total = 0;
        let mut is_even = true;
        let mut first = None;
        let cumulative = weights.map(|weight| {
            is_even &= *first.get_or_insert(weight) == weight && weight > 0;
            total += weight;
            total
        });
        let cumulative = cumulative.collect();
        Self { cumulative, is_even }
    }

    pub(super) fn len(&self) -> usize {
        self.cumulative.len()
    }

    pub(super) fn total(&self) -> u64 {
        self.cumulative.last().copied().unwrap_or(0)
    }

    pub(super) fn weight(&self, index: usize) -> u64 {
        self.cumulative[index] - self.before(index)
    }

    fn before(&self, index: usize) -> u64 {
        index.checked_sub(1).map_or(0, |before| self.cumulative[before])
    }

    pub(super) fn is_even(&self) -> bool {
        self.is_even
    }

    /// Two different members, or fewer. A heavy member drawn first may be given no rival; else light ones would
    /// be compared, and in the end chosen, oftener than is their share.
    pub(super) fn pair(&self, random: &mut impl FnMut(u64) -> u64) -> (Option<usize>, Option<usize>) {
        if self.is_even {
            return self.even_pair(random);
        }
        if self.total() == 0 {
            return (None, None);
        }
        let first = self.find(random(self.total()));
        let (start, weight) = (self.before(first), self.weight(first));
        let others = self.total() - weight;
        if others == 0 {
            return (Some(first), None);
        }
        let point = random(others);
        let second = self.find(if point < start { point } else { point + weight });
        let others_of_second = self.total() - self.weight(second);
        let is_kept = others >= others_of_second || random(others_of_second) < others;
        (Some(first), is_kept.then_some(second))
    }

    fn even_pair(&self, random: &mut impl FnMut(u64) -> u64) -> (Option<usize>, Option<usize>) {
        let members = self.len() as u64;
        if members < 2 {
            return (self.len().checked_sub(1), None);
        }
        let first = random(members);
        let second = random(members - 1);
        let second = if second < first { second } else { second + 1 };
        (Some(first as usize), Some(second as usize))
    }

    fn find(&self, point: u64) -> usize {
        self.cumulative.partition_point(|&sum| sum <= point)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nobody_is_drawn_from_an_empty_lottery() {
        assert_eq!(Lottery::default().pair(&mut |_| 0), (None, None));
        assert_eq!(Lottery::new([0, 0].into_iter()).pair(&mut |_| 0), (None, None));
        assert_eq!(Lottery::new([3].into_iter()).pair(&mut |_| 0), (Some(0), None));
        assert_eq!(Lottery::new([0, 3].into_iter()).pair(&mut |_| 0), (Some(1), None));
    }

    proptest! {
    // Each case draws thousands of times.
    #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn pairs_are_of_two_members_of_some_weight(weights in prop::collection::vec(0_u64..5, 1..8), seed: u64) {
            let lottery = Lottery::new(weights.iter().copied());
            let mut rng = fastrand::Rng::with_seed(seed);
            for _ in 0..50 {
                match lottery.pair(&mut |n| rng.u64(..n)) {
                    (None, None) => prop_assert!(weights.iter().all(|&weight| weight == 0)),
                    (Some(first), second) => {
                        prop_assert!(weights[first] > 0 && second != Some(first));
                        prop_assert!(second.is_none_or(|second| weights[second] > 0));
                    }
                    (None, second) => prop_assert!(second.is_none()),
                }
            }
        }

        #[test]
        fn the_better_of_two_gets_its_share_whoever_is_better(weights in prop::collection::vec(1_u64..20, 2..6), seed: u64) {
            let lottery = Lottery::new(weights.iter().copied());
            let mut rng = fastrand::Rng::with_seed(seed);
            let draws = 20_000;
            let mut chosen = vec![0_u64; weights.len()];
            for _ in 0..draws {
                let (first, second) = lottery.pair(&mut |n| rng.u64(..n));
                let better = if rng.bool() { second.or(first) } else { first };
                chosen[better.unwrap()] += 1;
            }
            let total: u64 = weights.iter().sum();
            for (chosen, weight) in chosen.into_iter().zip(weights) {
                let share = weight as f64 / total as f64;
                // Six standard deviations.
                let room = 6.0 * (share * (1.0 - share) / draws as f64).sqrt();
                prop_assert!((chosen as f64 / draws as f64 - share).abs() < room, "{chosen} for {share}");
            }
        }
    }
}
