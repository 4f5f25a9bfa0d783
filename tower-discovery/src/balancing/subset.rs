//! Which of many endpoints a client connects to.
//!
//! Rendezvous hashing by the client's id and the instance's: each client has an order of its own of all
//! endpoints, and takes the first. Over many clients every endpoint is among the first equally often; one that
//! comes or goes changes at most one place of a client's subset.

use super::hash;

/// A client's order of endpoints.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Order(u64);

impl Order {
    pub(crate) fn of(client: &str) -> Self {
        Self(hash::of(client.as_bytes()))
    }

    /// Lower comes first.
    pub(crate) fn place(self, seed: u64) -> u64 {
        hash::mix(self.0 ^ seed)
    }
}

/// What is known of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Condition {
    /// Connected, or not tried yet.
    Usable,
    Down,
    /// Down when it was tried last, and left alone since.
    Rested,
}

/// While so many times the size of the subset are down, no further ones are tried all the time.
const MOST_DOWN: usize = 2;

/// Which of these endpoints are in the subset: the first `size` of the order that are not down, and those before
/// the last of them. One that is down is so stood in for, and still tried, as long as they are not too many. Rested ones
/// are tried once more if there are too few others.
pub(crate) fn choose(order: Order, size: usize, endpoints: impl Iterator<Item = (u64, Condition)>) -> Vec<bool> {
    let mut places: Vec<_> =
        endpoints.enumerate().map(|(index, (seed, condition))| (order.place(seed), index, condition)).collect();
    let mut chosen = vec![false; places.len()];
    places.sort_unstable();
    let mut wanted = size;
    let mut tried = size.saturating_mul(MOST_DOWN);
    for &(_, index, condition) in &places {
        if wanted == 0 {
            break;
        }
        let room = if condition == Condition::Usable { &mut wanted } else { &mut tried };
        chosen[index] = *room > 0;
        *room = room.saturating_sub(1);
    }
    let is_left = |&&(_, index, condition): &&(u64, usize, Condition)| condition == Condition::Rested && !chosen[index];
    let again: Vec<_> = places.iter().filter(is_left).take(wanted).map(|&(_, index, _)| index).collect();
    again.into_iter().for_each(|index| chosen[index] = true);
    chosen
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn subset(client: &str, size: usize, ids: &[String]) -> Vec<String> {
        let chosen = choose(Order::of(client), size, ids.iter().map(|id| (hash::of(id.as_bytes()), Condition::Usable)));
        ids.iter().zip(chosen).filter(|(_, is_chosen)| *is_chosen).map(|(id, _)| id.clone()).collect()
    }

    fn ids(count: usize) -> Vec<String> {
        (0..count).map(|n| format!("instance-{n}")).collect()
    }

    #[test]
    fn clients_spread_over_endpoints() {
        let ids = ids(100);
        let mut clients = vec![0; 100];
        for client in 0..1000 {
            for id in subset(&format!("client-{client}"), 20, &ids) {
                clients[ids.iter().position(|known| *known == id).unwrap()] += 1;
            }
        }
        // 200 each on average, with a standard deviation of 13.
        assert!(clients.iter().all(|count| (140..260).contains(count)), "{clients:?}");
    }

    #[test]
    fn one_that_is_down_is_stood_in_for() {
        let ids = ids(50);
        let up = subset("c", 5, &ids);
        let down = |id: &String| if id == &up[2] { Condition::Down } else { Condition::Usable };
        let chosen = choose(Order::of("c"), 5, ids.iter().map(|id| (hash::of(id.as_bytes()), down(id))));
        assert_eq!(chosen.iter().filter(|is_chosen| **is_chosen).count(), 6);
        assert!(ids.iter().zip(chosen).filter(|(id, _)| up.contains(id)).all(|(_, is_chosen)| is_chosen));
    }

    #[test]
    fn of_many_that_are_down_some_are_tried_and_more_when_they_have_rested() {
        let count = |condition: fn(usize) -> Condition| {
            let chosen = choose(Order::of("c"), 5, (0..100).map(|index| (index as u64, condition(index))));
            chosen.into_iter().filter(|is_chosen| *is_chosen).count()
        };
        assert_eq!(count(|_| Condition::Down), 10);
        assert_eq!(count(|_| Condition::Rested), 15);
        let mostly = |index| if index < 95 { Condition::Rested } else { Condition::Usable };
        assert!(count(mostly) <= 15, "there are enough others");
        let chosen = choose(Order::of("c"), 5, (0..100).map(|index| (index as u64, mostly(index))));
        assert!(chosen[95..].iter().all(|is_chosen| *is_chosen), "however late in the order they are");
    }

    proptest! {
        #[test]
        fn a_change_of_one_endpoint_changes_one_place(client: String, count in 1_usize..60, gone in 0_usize..60, size in 1_usize..20) {
            let before = ids(count);
            let mut after = before.clone();
            after.remove(gone % count);
            let (before, after) = (subset(&client, size, &before), subset(&client, size, &after));
            prop_assert_eq!(before.len(), size.min(count));
            prop_assert!(before.iter().filter(|id| !after.contains(id)).count() <= 1);
            prop_assert!(after.iter().filter(|id| !before.contains(id)).count() <= 1);
        }

        #[test]
        fn a_subset_does_not_depend_on_the_order_in_which_endpoints_are_told(seed: u64, size in 1_usize..20) {
            let told = ids(30);
            let mut shuffled = told.clone();
            fastrand::Rng::with_seed(seed).shuffle(&mut shuffled);
            let mut other = subset("c", size, &shuffled);
            let mut one = subset("c", size, &told);
            one.sort();
            other.sort();
            prop_assert_eq!(one, other);
        }
    }
}
