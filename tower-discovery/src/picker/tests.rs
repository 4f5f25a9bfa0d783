//! Picks from hand-made sets of endpoints.

use std::time::Duration;

use proptest::prelude::*;
use registry_client::{Instance, Selector, ServiceWatch};

use super::*;
use crate::load::{LoadMetric, Total};

/// Members of these weights, each proven.
fn members(weights: &[u32]) -> Vec<Arc<Member<()>>> {
    let (watch, mut publisher) = ServiceWatch::manual("pay");
    for (index, &weight) in weights.iter().enumerate() {
        let id = format!("{index:04}");
        let endpoint = format!("http://h:{}", index + 1);
        publisher.put(Instance::builder("pay").id(id).endpoint("g", endpoint).weight(weight).build().unwrap());
    }
    let view = watch.select(Selector::endpoint("g"));
    let total = Total::default();
    let member = |(instance, endpoint): (Arc<registry_client::Discovered>, &registry_client::Endpoint)| {
        let now = Instant::now();
        let load = Arc::new(Load::new(LoadMetric::peak_ewma(), now, Some(Arc::clone(&total))));
        load.start(now).answered(now + Duration::from_millis(10));
        Arc::new(Member::new(Target::new(instance, endpoint.clone()), (), load))
    };
    view.endpoints(&view.snapshot()).map(member).collect()
}

fn picker_of(members: Vec<Arc<Member<()>>>, standing: impl Fn(usize) -> Standing, spill_over: SpillOver) -> Picker<()> {
    let candidate = |(index, member): (usize, Arc<Member<()>>)| {
        let weight = u64::from(member.target.instance().weight()) << 8;
        Candidate { member, weight, standing: standing(index) }
    };
    Picker::new(members.into_iter().enumerate().map(candidate).collect(), spill_over, Outlook::default())
}

fn picker(weights: &[u32]) -> Picker<()> {
    picker_of(members(weights), |_| Standing::Near, SpillOver::NONE)
}

fn wish() -> Wish<'static> {
    Wish { now: Instant::now(), avoid: None, attraction: None }
}

fn index(member: &Arc<Member<()>>) -> usize {
    member.target.key().id().parse().unwrap()
}

/// How `picks` picks fall, each ended at once.
fn shares_of(picker: &Picker<()>, wishes: impl Iterator<Item = Wish<'static>>) -> Vec<usize> {
    let mut rng = fastrand::Rng::with_seed(7);
    let groups = [&picker.near, &picker.far, &picker.ejected];
    let mut shares = vec![0; groups.iter().map(|group| group.members.len()).sum()];
    for wish in wishes {
        shares[index(picker.pick(wish, |n| rng.u64(..n)).unwrap())] += 1;
    }
    shares
}

fn shares(picker: &Picker<()>) -> Vec<usize> {
    shares_of(picker, std::iter::repeat_n(wish(), 10_000))
}

#[test]
fn p2c_takes_the_less_loaded_of_two() {
    let picker = picker(&[100, 100]);
    let _busy = picker.near.members[0].load.start(Instant::now());
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
        (0..1000).map(|_| picker.pick(wish(), |n| rng.u64(..n)).unwrap().load.start(Instant::now())).collect();
    let light = picker.near.members[0].load.pending();
    assert!((180..220).contains(&light), "{light} of {}", held.len());
}

#[test]
fn a_fast_error_attracts_no_traffic() {
    let picker = picker(&[100, 100, 100]);
    picker.near.members[1].load.start(Instant::now()).failed(Instant::now());
    assert_eq!(shares(&picker)[1], 0);
}

#[test]
fn an_ended_connection_is_passed_over_before_the_picker_is_replaced() {
    let picker = picker(&[100, 100, 100]);
    picker.near.members[0].target.liveness().end();
    picker.near.members[2].target.liveness().end();
    assert_eq!(shares(&picker), [0, 10_000, 0]);
    picker.near.members[1].target.liveness().end();
    assert!(picker.pick(wish(), |_| 0).is_none());
    assert_eq!(picker.connected(), 0);
}

#[test]
fn an_endpoint_that_owes_its_first_answer_gets_no_second_request() {
    let picker = picker(&[100; 8]);
    let silent = Arc::new(Load::new(LoadMetric::peak_ewma(), Instant::now(), None));
    let _first = silent.start(Instant::now());
    let mut members: Vec<_> = picker.near.members.to_vec();
    let old = &members[3];
    members[3] = Arc::new(Member::new(old.target.clone(), (), Arc::clone(&silent)));
    // The others are busier.
    let _busy: Vec<_> = (0..8)
        .filter(|&i| i != 3)
        .flat_map(|i| [members[i].load.start(Instant::now()), members[i].load.start(Instant::now())])
        .collect();
    let picker = picker_of(members, |_| Standing::Near, SpillOver::NONE);
    assert_eq!(shares(&picker)[3], 0);
}

#[test]
fn the_first_to_answer_is_not_overrun_by_a_burst() {
    let unproven = |member: Arc<Member<()>>| {
        let load = Arc::new(Load::new(LoadMetric::peak_ewma(), Instant::now(), None));
        Arc::new(Member::new(member.target.clone(), (), load))
    };
    let mut members = members(&[100; 20]);
    members[1..].iter_mut().for_each(|member| *member = unproven(Arc::clone(member)));
    let picker = picker_of(members, |_| Standing::Near, SpillOver::NONE);
    let mut rng = fastrand::Rng::with_seed(7);
    let pick = |rng: &mut fastrand::Rng| {
        let member = picker.pick(wish(), |n| rng.u64(..n)).unwrap();
        (index(member), member.load.start(Instant::now()))
    };
    let mut held: Vec<_> = (0..50).map(|_| pick(&mut rng)).collect();
    let to = |held: &[(usize, _)], wanted| held.iter().filter(|(index, _)| *index == wanted).count();
    assert!((1..20).all(|index| to(&held, index) == 1), "one request each");
    held.extend((0..950).map(|_| pick(&mut rng)));
    assert!(to(&held, 0) < 200, "{} of 1,000", to(&held, 0));
}

#[test]
fn an_avoided_endpoint_is_not_picked_even_if_it_is_alone() {
    let picker = picker(&[100]);
    let key = picker.near.members[0].target.key().clone();
    assert!(picker.pick(Wish { avoid: Some(&key), ..wish() }, |_| 0).is_none());
    assert!(picker.pick(wish(), |_| 0).is_some());
}

#[test]
fn weight_zero_serves_only_when_nothing_else_can() {
    let picker = picker(&[0, 5]);
    assert_eq!(shares(&picker), [0, 10_000]);
    picker.near.members[1].target.liveness().end();
    assert_eq!(shares(&picker), [10_000, 0]);
}

#[test]
fn a_slow_endpoint_is_passed_over_even_while_all_are_idle() {
    let picker = picker(&[100; 20]);
    let now = Instant::now();
    picker.near.members[5].load.start(now).answered(now + Duration::from_millis(100));
    assert_eq!(shares(&picker)[5], 0);
}

#[test]
fn a_fast_error_attracts_no_traffic_from_endpoints_that_are_a_thousand_times_slower() {
    let picker = picker(&[100, 100, 100]);
    let now = Instant::now();
    for slow in [0, 2] {
        picker.near.members[slow].load.start(now).answered(now + Duration::from_secs(10));
    }
    assert!(shares(&picker)[1] > 6_000, "while it does not fail");
    picker.near.members[1].load.start(now).answered_with_failure(now);
    assert_eq!(shares(&picker)[1], 0);
}

#[test]
fn a_difference_in_speed_of_less_than_a_quarter_changes_no_share() {
    let picker = picker(&[100, 300]);
    let now = Instant::now();
    picker.near.members[1].load.start(now).answered(now + Duration::from_millis(12));
    let shares = shares(&picker);
    assert!((2300..2700).contains(&shares[0]), "{shares:?}");
}

#[test]
fn after_long_idleness_the_less_loaded_of_two_is_still_taken() {
    let picker = picker(&[100, 100]);
    let later = Wish { now: Instant::now() + Duration::from_secs(7_200), ..wish() };
    let mut stream = picker.near.members[0].load.start(Instant::now());
    stream.answered(Instant::now());
    assert_eq!(shares_of(&picker, std::iter::repeat_n(later, 1_000)), [0, 1_000]);
}

#[test]
fn an_endpoint_that_hangs_does_not_draw_requests() {
    let picker = picker(&[100, 100]);
    let start = Instant::now();
    let mut held = vec![picker.near.members[0].load.start(start)];
    let mut rng = fastrand::Rng::with_seed(7);
    for second in 0..600 {
        let now = start + Duration::from_secs(second);
        let member = picker.pick(Wish { now, ..wish() }, |n| rng.u64(..n)).unwrap();
        let mut request = member.load.start(now);
        match index(member) {
            0 => held.push(request),
            _ => request.answered(now + Duration::from_millis(10)),
        }
    }
    assert!(held.len() <= 2, "{} requests hang", held.len());
}

#[test]
fn requests_stay_in_the_zone_by_its_share() {
    let near = |index| if index < 2 { Standing::Near } else { Standing::Far };
    let share = |share| {
        let shares = shares(&picker_of(members(&[100; 6]), near, SpillOver { share, pending: 10.0 }));
        shares[..2].iter().sum::<usize>()
    };
    assert_eq!(share(1.0), 10_000);
    assert_eq!(share(0.0), 0);
    assert!((6_800..7_200).contains(&share(0.7)));
}

#[test]
fn a_loaded_zone_spills_over_to_endpoints_with_half_the_load() {
    let near = |index| if index < 1 { Standing::Near } else { Standing::Far };
    let picker = picker_of(members(&[100; 3]), near, SpillOver { share: 1.0, pending: 10.0 });
    let start = |member: &Arc<Member<()>>| member.load.start(Instant::now());
    let mut held: Vec<_> = (0..9).map(|_| start(&picker.near.members[0])).collect();
    assert_eq!(shares(&picker)[0], 10_000);
    held.push(start(&picker.near.members[0]));
    assert_eq!(shares(&picker)[0], 0);
    held.extend((0..6).flat_map(|_| [start(&picker.far.members[0]), start(&picker.far.members[1])]));
    assert_eq!(shares(&picker)[0], 10_000, "elsewhere it is not much better");
}

#[test]
fn a_zone_whose_connections_have_ended_is_left_before_the_picker_is_replaced() {
    let near = |index| if index < 2 { Standing::Near } else { Standing::Far };
    let picker = picker_of(members(&[100; 4]), near, SpillOver { share: 1.0, pending: 10.0 });
    picker.near.members.iter().for_each(|member| member.target.liveness().end());
    assert_eq!(shares(&picker)[..2], [0, 0]);
}

#[test]
fn an_endpoint_of_weight_0_gets_nothing_while_one_elsewhere_has_a_weight() {
    let near = |index| if index < 2 { Standing::Near } else { Standing::Far };
    let picker = picker_of(members(&[100, 0, 100]), near, SpillOver { share: 1.0, pending: 10.0 });
    assert_eq!(shares(&picker), [10_000, 0, 0]);
    picker.near.members[0].target.liveness().end();
    assert_eq!(shares(&picker), [0, 0, 10_000]);
    picker.far.members[0].target.liveness().end();
    assert_eq!(shares(&picker), [0, 10_000, 0]);
}

#[test]
fn an_endpoint_of_weight_0_gets_nothing_while_one_elsewhere_that_owes_an_answer_has_a_weight() {
    let near = |index| if index < 1 { Standing::Near } else { Standing::Far };
    let mut members = members(&[0, 100]);
    let silent = Arc::new(Load::new(LoadMetric::peak_ewma(), Instant::now(), None));
    let _first = silent.start(Instant::now());
    members[1] = Arc::new(Member::new(members[1].target.clone(), (), silent));
    let picker = picker_of(members, near, SpillOver { share: 1.0, pending: 10.0 });
    assert_eq!(shares(&picker), [0, 10_000]);
}

#[test]
fn an_ejected_endpoint_serves_only_when_no_other_can() {
    let ejected = |index| if index == 0 { Standing::Ejected } else { Standing::Near };
    let picker = picker_of(members(&[100, 100]), ejected, SpillOver::NONE);
    assert_eq!(shares(&picker), [0, 10_000]);
    picker.near.members[0].target.liveness().end();
    assert_eq!(shares(&picker), [10_000, 0]);
}

fn of_key(key: u64) -> Wish<'static> {
    Wish { attraction: Some(Attraction { key: hash::mix(key), bound: 1.25 }), ..wish() }
}

fn chosen(picker: &Picker<()>, key: u64) -> usize {
    index(picker.pick(of_key(key), |_| 0).unwrap())
}

#[test]
fn keys_spread_by_weight() {
    let shares = shares_of(&picker(&[100, 100, 200]), (0..10_000).map(of_key));
    assert!((2_300..2_700).contains(&shares[0]) && (4_800..5_200).contains(&shares[2]), "{shares:?}");
}

#[test]
fn a_key_leaves_an_endpoint_that_has_more_than_its_share() {
    let picker = picker(&[100; 10]);
    let home = chosen(&picker, 1);
    let mut held = Vec::new();
    let start = |index: usize| picker.near.members[index].load.start(Instant::now());
    held.extend((0..3).map(|_| start(home)));
    assert_eq!(chosen(&picker, 1), home, "a few are no overload");
    held.push(start(home));
    let other = chosen(&picker, 1);
    assert_ne!(other, home);
    held.extend((0..10).filter(|&index| index != home).flat_map(|index| (0..8).map(move |_| index)).map(start));
    assert_eq!(chosen(&picker, 1), home, "now the others have as much");
}

proptest! {
    // Each case draws thousands of times.
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn a_dead_endpoint_is_never_picked(
        weights in prop::collection::vec(0_u32..5, 1..12),
        dead: u16,
        standings in prop::collection::vec(0_u8..3, 12),
        share in 0.0..1.5_f64,
        key in prop::option::of(any::<u64>()),
        seed: u64,
    ) {
        let standing = |index: usize| [Standing::Near, Standing::Far, Standing::Ejected][usize::from(standings[index])];
        let members = members(&weights);
        let is_dead = |index: usize| dead >> index & 1 == 1;
        members.iter().filter(|member| is_dead(index(member))).for_each(|member| member.target.liveness().end());
        let is_any_alive = members.iter().any(|member| !is_dead(index(member)));
        let picker = picker_of(members, standing, SpillOver { share, pending: 2.0 });
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut held = Vec::new();
        for _ in 0..40 {
            let wish = key.map_or_else(wish, of_key);
            let picked = picker.pick(wish, |n| rng.u64(..n));
            prop_assert_eq!(picked.is_some(), is_any_alive);
            if let Some(member) = picked {
                prop_assert!(!is_dead(index(member)));
                held.push(member.load.start(Instant::now()));
            }
        }
    }

    #[test]
    fn shares_of_idle_endpoints_follow_weights(weights in prop::collection::vec(1_u32..10, 2..8)) {
        let total: u32 = weights.iter().sum();
        for (share, weight) in shares(&picker(&weights)).into_iter().zip(&weights) {
            let expected = f64::from(*weight) / f64::from(total);
            let room = 6.0 * (expected * (1.0 - expected) / 10_000.0).sqrt();
            prop_assert!((share as f64 / 10_000.0 - expected).abs() < room, "{share} for {weight} of {total}");
        }
    }

    #[test]
    fn held_requests_follow_weights(weights in prop::collection::vec(1_u32..10, 2..8), seed: u64) {
        let picker = picker(&weights);
        let mut rng = fastrand::Rng::with_seed(seed);
        let now = Instant::now();
        let held: Vec<_> = (0..4_000).map(|_| picker.pick(wish(), |n| rng.u64(..n)).unwrap().load.start(now)).collect();
        let total: u32 = weights.iter().sum();
        for (member, weight) in picker.near.members.iter().zip(&weights) {
            let expected = held.len() as f64 * f64::from(*weight) / f64::from(total);
            let found = f64::from(member.load.pending());
            prop_assert!((found / expected - 1.0).abs() < 0.2, "{found} for {expected}");
        }
    }

    #[test]
    fn an_ended_endpoint_moves_only_its_own_keys(weights in prop::collection::vec(1_u32..5, 2..10), gone in 0_usize..10) {
        let picker = picker(&weights);
        let gone = gone % weights.len();
        let before: Vec<_> = (0..200).map(|key| chosen(&picker, key)).collect();
        picker.near.members[gone].target.liveness().end();
        for (key, before) in before.into_iter().enumerate() {
            let after = chosen(&picker, key as u64);
            prop_assert!(after != gone && (before == gone || before == after));
        }
    }
}
