//! Which call wrote which revision, where several may have written several: each call wrote one at most.

use std::collections::{HashMap, HashSet};

use super::claims::Unclaimed;

/// The revisions, by their place in the list, for which no call is left however the others are given away.
///
/// Augmenting paths: whoever finds its candidates taken asks their revisions to take another.
pub(super) fn without_a_call(unclaimed: &[&Unclaimed]) -> (Vec<usize>, HashMap<usize, usize>) {
    let mut taken: HashMap<usize, usize> = HashMap::new();
    let mut left = Vec::new();
    for at in 0..unclaimed.len() {
        if !place(at, unclaimed, &mut taken) {
            left.push(at);
        }
    }
    (left, taken)
}

/// Breadth first, so that long chains need no stack.
fn place(start: usize, unclaimed: &[&Unclaimed], taken: &mut HashMap<usize, usize>) -> bool {
    let mut came_from: HashMap<usize, usize> = HashMap::new();
    let mut seen: HashSet<usize> = HashSet::from([start]);
    let mut waiting = std::collections::VecDeque::from([start]);
    while let Some(at) = waiting.pop_front() {
        for call in &unclaimed[at].candidates {
            if came_from.contains_key(call) {
                continue;
            }
            came_from.insert(*call, at);
            let Some(holder) = taken.get(call).copied() else {
                hand_over(*call, start, &came_from, taken);
                return true;
            };
            if seen.insert(holder) {
                waiting.push_back(holder);
            }
        }
    }
    false
}

/// Gives a free call to the revision that found it, whose own goes to the one that asked it, up to the start.
fn hand_over(free: usize, start: usize, came_from: &HashMap<usize, usize>, taken: &mut HashMap<usize, usize>) {
    let mut call = free;
    loop {
        let at = came_from[&call];
        let before = taken.iter().find(|(held, holder)| **holder == at && **held != call).map(|(held, _)| *held);
        taken.insert(call, at);
        match before.filter(|_| at != start) {
            Some(before) => call = before,
            None => return,
        }
    }
}
