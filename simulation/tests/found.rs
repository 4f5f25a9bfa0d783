//! What the simulation has found, made again on purpose.

use std::time::Duration;

use registry_simulation::{Fault, Plan, Planned, Whom, simulate};

/// A plan without chance: these faults, at their seconds and for so long.
fn plan(faults: &[(u64, u64, Fault)]) -> Plan {
    let mut plan = Plan::new(2);
    plan.voters = 3;
    plan.weather.breaks = 0;
    let planned = |(at, lasts, fault): &(u64, u64, Fault)| {
        let (at, lasts) = (Duration::from_millis(*at), Duration::from_millis(*lasts));
        Planned { at, lasts, fault: *fault, dice: 1 }
    };
    plan.faults = faults.iter().map(planned).collect();
    plan
}

/// It asked for no votes and sent no heartbeats, and the others had no reason to call it: it went on for ever.
#[test]
fn a_leader_that_was_removed_while_it_was_handing_over_ends() {
    let outcome = simulate(
        &plan(&[
            (3_000, 100, Fault::HandOver(1)),
            (10_000, 25_000, Fault::HalfDeaf(Whom::Member(1), false)),
            (10_020, 100, Fault::HandOver(2)),
            (14_000, 1_000, Fault::Replace(Whom::Member(1))),
        ]),
        true,
    );
    assert_eq!(outcome.problems, Vec::<String>::new());
    let trace = outcome.trace.expect("it was kept");
    assert!(trace.contains("member 1 ends: removed"), "it was removed while it led");
}

/// The SDK goes by the names that it was given, and those led to nobody any more.
#[test]
fn a_registration_outlives_all_members_that_it_knew() {
    let mut plan = plan(&[
        (1_000, 100, Fault::Grow(false)),
        (2_000, 100, Fault::Grow(false)),
        (4_000, 100, Fault::Replace(Whom::Member(1))),
    ]);
    plan.voters = 1;
    let outcome = simulate(&plan, true);
    assert_eq!(outcome.problems, Vec::<String>::new());
    let trace = outcome.trace.expect("it was kept");
    let removed = trace.find("member 1 ends: removed").expect("it was replaced");
    let begun = trace.find("registration 0 of").expect("there was one");
    let ended = trace.find("registration 0 ends").expect("it has ended");
    assert!((begun..ended).contains(&removed), "it was there before and after");
}
