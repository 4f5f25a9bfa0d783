//! The simulation finds bugs that are planted on purpose, and nothing where none is.

use std::thread::available_parallelism;

use registry_simulation::Plan;
use registry_simulation::bugs::{Bug, Hunter, simulate_with};

/// Bugs that the first seeds find.
const QUICK: [&str; 4] = ["WalSkipsSync", "ReadWithoutRound", "RevokeLeavesKey", "JoinLosesOne"];

/// So many seeds are enough for each of them.
const SEEDS: u64 = 8;

#[test]
fn quick_bugs_are_found_by_the_first_seeds() {
    let hunter = Hunter::new(available_parallelism().map_or(1, usize::from));
    for name in QUICK {
        let bug = Bug::named(name).unwrap();
        let hunt = hunter.hunt(bug, 0..SEEDS);
        assert!(hunt.catch.is_some(), "{hunt:?}");
    }
}

#[test]
fn what_finds_a_bug_is_clean_without_it_and_repeats() {
    let bug = Bug::named("ReadWithoutRound").unwrap();
    let seed = Hunter::new(1).hunt(bug, 0..SEEDS).catch.unwrap().seed;
    let plan = Plan::new(seed);
    let (bare, hits) = simulate_with(None, &plan, false);
    assert_eq!((bare.problems, hits), (Vec::<String>::new(), 0));
    let (once, again) = (simulate_with(Some(bug), &plan, false), simulate_with(Some(bug), &plan, false));
    assert!(!once.0.problems.is_empty());
    assert_eq!((once.0.hash, once.1), (again.0.hash, again.1));
}

#[test]
fn every_bug_has_a_name_of_its_own() {
    for bug in Bug::all() {
        assert_eq!(Bug::named(&bug.to_string()), Some(bug));
    }
}
