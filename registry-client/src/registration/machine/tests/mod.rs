//! The machine against a small model of the server, in every order of a few events and in many random
//! ones. Whatever happens on the way, once calls get through again nothing is left behind.

mod bulk;
mod clock;
mod restored;
mod world;

use std::time::Duration;

use world::{FATES, Fate, TTL, World, instance, settings};

use super::*;
use crate::channel::Failure;

/// One of everything that can happen at a point; says what it was, or nothing if there is no such choice.
fn happen(world: &mut World, choice: usize) -> Option<String> {
    const OTHERS: usize = 6;
    if choice >= OTHERS {
        let (index, fate) = ((choice - OTHERS) / FATES.len(), FATES[(choice - OTHERS) % FATES.len()]);
        let story = format!("{:?} is {fate:?}", world.calls.get(index)?);
        world.settle(index, fate);
        return Some(story);
    }
    match choice {
        0 => world.tell(Event::Dropped),
        1 => world.pass(TTL / 3),
        2 => world.expire(),
        3 => {
            world.delete(world.keys.len() - 1);
            world.tell_keys();
        }
        4 => world.tell_keys(),
        _ => world.tell(Event::Shutdown { drain: Duration::from_secs(1), deadline: world.now + TTL }),
    }
    Some(["dropped", "time", "expiry", "deleted", "seen", "shutdown"][choice].to_owned())
}

fn replay(keys: usize, path: &[usize]) -> Option<(World, String)> {
    let mut world = World::with(keys, settings(7, Conflict::Fail));
    let mut story = String::new();
    for choice in path {
        story += &happen(&mut world, *choice)?;
        story += "; ";
    }
    Some((world, story))
}

/// Every order of so many events, from the beginning.
fn every_order(keys: usize, events: usize) -> usize {
    let mut paths = vec![Vec::new()];
    let mut orders = 0;
    while let Some(path) = paths.pop() {
        let Some((mut world, story)) = replay(keys, &path) else { continue };
        if path.len() < events {
            let choices = 6 + world.calls.len() * FATES.len();
            paths.extend((0..choices).map(|choice| [&path[..], &[choice]].concat()));
        }
        world.assert_nothing_is_left(&story);
        orders += 1;
    }
    orders
}

#[test]
fn g02_every_order_of_five_events_ends_without_a_lease() {
    let orders = every_order(1, 5);
    assert!(orders > 10_000, "{orders}");
}

#[test]
fn g02_every_order_of_four_events_of_three_keys_ends_without_a_lease() {
    let orders = every_order(3, 4);
    assert!(orders > 1_000, "{orders}");
}

#[test]
fn g02_long_random_stories_end_without_a_lease() {
    for seed in 0..3_000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut world = World::with(random.usize(1..6), settings(seed, Conflict::Fail));
        let mut story = format!("seed {seed}: ");
        for _ in 0..random.usize(1..60) {
            // The user's end is rare, so that the story goes on.
            let end_allowed = random.u8(..) < 8;
            let choice = if random.bool() { 6 + random.usize(0..8) } else { random.usize(1..5) };
            let choice = if end_allowed { random.usize(0..6) } else { choice };
            if let Some(event) = happen(&mut world, choice) {
                story += &event;
                story += "; ";
            }
            if world.finished {
                break;
            }
        }
        world.assert_nothing_is_left(&story);
    }
}

/// A world in which the registration stands.
fn standing() -> World {
    let mut world = World::new(7, Conflict::Fail);
    settle_all(&mut world);
    assert_eq!(state(&world), LeaseState::Active);
    world
}

fn settle_all(world: &mut World) {
    while !world.calls.is_empty() {
        world.settle(0, Fate::Answered);
    }
}

fn state(world: &World) -> LeaseState {
    world.progress.as_ref().unwrap().state.clone()
}

fn stranger(world: &mut World, lease: LeaseId) -> Holder {
    world.revision += 1;
    let holder = Holder { lease, mod_revision: world.revision, value: Bytes::from_static(b"{\"version\":1}") };
    world.keys[0] = Some(holder.clone());
    holder
}

#[test]
fn g01_the_lease_comes_before_the_put_and_a_refused_put_revokes_it() {
    let mut world = World::new(7, Conflict::Fail);
    assert!(matches!(world.calls[..], [Action::Grant { .. }]));
    world.settle(0, Fate::Answered);
    assert!(matches!(world.calls[..], [Action::Put { .. }]));
    world.calls.clear();
    let error = Error::Refused { code: "PermissionDenied".to_owned(), message: String::new() };
    world.tell(Event::Put(PutOutcome::Failed(Failure { error: error.clone(), maybe_done: false })));
    assert!(matches!(world.calls[..], [Action::Revoke { .. }]));
    assert_eq!(state(&world), LeaseState::Closed(Some(Arc::new(error))));
}

#[test]
fn g02_not_found_is_not_final_while_the_grant_is_unanswered() {
    let mut world = World::new(7, Conflict::Fail);
    let Some(Action::Grant { id, .. }) = world.calls.first().cloned() else { panic!("a grant") };
    world.tell(Event::Dropped);
    // The revoke overtakes the grant.
    world.settle(1, Fate::Answered);
    assert!(!world.finished);
    world.settle(0, Fate::Answered);
    assert!(world.leases.contains(&id));
    settle_all(&mut world);
    assert!(world.finished && world.leases.is_empty());
}

#[test]
fn g02_a_grant_that_was_never_sent_needs_no_revoke() {
    let mut world = World::new(7, Conflict::Fail);
    world.settle(0, Fate::NotSent);
    world.tell(Event::Dropped);
    assert!(world.finished, "nobody waits for a registry that was never reached");

    let mut world = World::new(7, Conflict::Fail);
    world.tell(Event::Dropped);
    world.settle(0, Fate::NotSent);
    assert!(world.finished);
}

#[test]
fn g02_an_unanswered_grant_is_settled_by_its_ttl() {
    let mut world = World::new(7, Conflict::Fail);
    world.settle(0, Fate::Late);
    world.tell(Event::Dropped);
    settle_all(&mut world);
    assert!(!world.finished, "the grant may still come");
    world.late.clear();
    world.pass(TTL);
    settle_all(&mut world);
    assert!(world.finished);
}

#[test]
fn g02_exists_on_a_retry_is_success_and_on_a_first_try_a_stranger() {
    let mut world = World::new(7, Conflict::Fail);
    let Some(Action::Grant { id, .. }) = world.calls.first().cloned() else { panic!("a grant") };
    world.settle(0, Fate::AnswerLost);
    world.pass(TTL / 3);
    settle_all(&mut world);
    assert_eq!((state(&world), world.machine.live()), (LeaseState::Active, Some(id)));

    let mut world = World::new(7, Conflict::Fail);
    world.leases.insert(id);
    settle_all(&mut world);
    assert_eq!(state(&world), LeaseState::Active);
    assert_ne!(world.machine.live(), Some(id));
    assert!(world.leases.contains(&id), "the stranger's lease is left alone");
}

#[test]
fn g02_the_granted_ttl_counts() {
    let mut world = World::new(7, Conflict::Fail);
    let Some(Action::Grant { id, .. }) = world.calls.pop() else { panic!("a grant") };
    world.leases.insert(id);
    world.tell(Event::Granted { id, ttl: TTL * 4 });
    settle_all(&mut world);
    assert_eq!(world.machine.next_wake(world.now), Some(world.now + TTL * 4 / 3));
}

#[test]
fn g05_troubles_are_told_apart() {
    let mut world = standing();
    world.pass(TTL / 3);
    world.settle(0, Fate::NotSent);
    assert_eq!(state(&world).error(), Some(&LeaseTrouble::StreamEnded.into()));
    world.tell(Event::StreamLost(LeaseTrouble::StreamError("reset".to_owned())));
    assert_eq!(state(&world).error(), Some(&LeaseTrouble::StreamError("reset".to_owned()).into()));
    settle_all(&mut world);
    assert_eq!(state(&world), LeaseState::Active);

    world.pass(TTL / 3);
    world.calls.clear();
    world.pass(TTL / 3);
    assert_eq!(state(&world), LeaseState::Suspect(Arc::new(LeaseTrouble::Silent.into())));
    world.calls.clear();
    world.pass(TTL / 3);
    assert_eq!(state(&world), LeaseState::Lost(Arc::new(LeaseTrouble::Expired.into())));
    world.calls.clear();
    // The server still has the lease: nothing was lost after all, and nothing is made anew.
    let lease = world.machine.live();
    world.pass(TTL / 3);
    settle_all(&mut world);
    assert_eq!((state(&world), world.machine.live()), (LeaseState::Active, lease));

    world.expire();
    world.pass(TTL / 3);
    world.settle(0, Fate::Answered);
    assert_eq!(state(&world), LeaseState::Reregistering(Some(Arc::new(LeaseTrouble::Gone.into()))));
}

#[test]
fn g04_a_lost_lease_is_made_anew_with_the_latest_value() {
    let mut world = standing();
    let first = world.machine.live();
    let mut changed = instance();
    changed.set_weight(7);
    world.tell(Event::Update { changes: vec![(0, Arc::new(changed.clone()))], number: 2 });
    settle_all(&mut world);
    world.expire();
    world.pass(TTL / 3);
    settle_all(&mut world);
    assert_eq!(state(&world), LeaseState::Active);
    assert_ne!(world.machine.live(), first);
    assert_eq!(world.leases.len(), 1);
    assert_eq!(world.keys[0].as_ref().unwrap().value, changed.to_record());
}

#[test]
fn g06_a_deleted_key_is_put_again_under_the_same_lease() {
    let mut world = standing();
    let lease = world.machine.live();
    world.delete(0);
    world.tell_keys();
    settle_all(&mut world);
    assert_eq!(world.keys[0].as_ref().map(|holder| holder.lease), lease);
    assert_eq!(state(&world), LeaseState::Active);
}

#[test]
fn g06_a_deletion_that_is_seen_before_the_puts_answer_is_not_lost() {
    let mut world = World::new(7, Conflict::Fail);
    world.settle(0, Fate::Answered);
    let put = world.calls.remove(0);
    let answer = world.serve(&put);
    world.delete(0);
    world.tell_keys();
    world.tell(answer);
    settle_all(&mut world);
    assert!(world.keys[0].is_some());
}

#[test]
fn g06_a_key_that_an_operator_wrote_without_a_lease_gets_ours_back_and_his_fields_stay() {
    let mut world = standing();
    let mut holder = stranger(&mut world, 0);
    holder.value = Bytes::from_static(br#"{"version":1,"cordoned":true}"#);
    world.keys[0] = Some(holder);
    world.tell_keys();
    settle_all(&mut world);
    let holder = world.keys[0].as_ref().unwrap();
    assert_eq!(Some(holder.lease), world.machine.live());
    assert!(String::from_utf8_lossy(&holder.value).contains(r#""cordoned":true"#));
}

#[test]
fn g06_a_tombstone_stops_the_fight_until_it_is_gone() {
    let mut world = standing();
    world.delete(0);
    world.tell_keys();
    world.calls.clear();
    let found = vec![Found { place: 0, holder: None, tombstone: true }];
    world.tell(Event::Put(PutOutcome::Conflict { revision: world.revision, found }));
    assert!(world.calls.is_empty(), "it is not put again at once");
    assert!(matches!(state(&world).error(), Some(Error::Tombstone { .. })));
    world.pass(TTL);
    settle_all(&mut world);
    assert_eq!(state(&world), LeaseState::Active);
}

#[test]
fn g07_a_stranger_on_the_key_is_a_conflict_and_never_fought() {
    let mut world = World::new(7, Conflict::Fail);
    stranger(&mut world, 1);
    settle_all(&mut world);
    assert!(matches!(state(&world).error(), Some(Error::Conflict { lease: 1, .. })));
    assert!(world.finished && world.leases.is_empty());

    // Whatever was chosen at first: who stood once and finds a stranger has lost.
    let mut world = World::new(7, Conflict::TakeOver);
    settle_all(&mut world);
    let holder = stranger(&mut world, 1);
    world.tell_keys();
    settle_all(&mut world);
    assert!(matches!(state(&world).error(), Some(Error::Conflict { lease: 1, .. })));
    assert!(world.finished);
    assert_eq!(world.keys[0], Some(holder), "guarantee 8: the revoke leaves the successor's key");
}

#[test]
fn g07_a_take_over_takes_the_key_and_waiting_waits_for_it() {
    let mut world = World::new(7, Conflict::TakeOver);
    stranger(&mut world, 1);
    settle_all(&mut world);
    assert_eq!(state(&world), LeaseState::Active);

    let mut world = World::new(7, Conflict::WaitForExpiry);
    stranger(&mut world, 1);
    settle_all(&mut world);
    assert!(matches!(state(&world), LeaseState::Registering(_)));
    world.delete(0);
    world.tell_keys();
    settle_all(&mut world);
    assert_eq!(state(&world), LeaseState::Active);
}

#[test]
fn g10_a_shutdown_is_visible_drains_and_revokes_under_one_deadline() {
    let mut world = standing();
    let deadline = world.now + TTL * 2;
    world.tell(Event::Shutdown { drain: TTL, deadline });
    assert_eq!(state(&world), LeaseState::Draining);
    settle_all(&mut world);
    assert!(String::from_utf8_lossy(&world.keys[0].as_ref().unwrap().value).contains("draining"));
    world.pass(TTL / 2);
    settle_all(&mut world);
    assert!(!world.finished && world.revoke_asked.is_empty());
    world.pass(TTL / 2);
    settle_all(&mut world);
    assert!(world.finished && world.leases.is_empty());

    let mut world = standing();
    world.tell(Event::Shutdown { drain: TTL, deadline: world.now + TTL / 2 });
    world.calls.clear();
    world.pass(TTL / 2);
    assert!(matches!(world.calls.last(), Some(Action::Revoke { .. })), "the deadline ends a drain nobody saw");
}

#[test]
fn g08_a_late_revoke_of_a_former_lease_leaves_the_key_of_the_present_one() {
    let mut world = standing();
    let former = world.machine.live().unwrap();
    // A member says that the lease is gone; it is not, and the key still stands under it.
    world.tell(Event::KeptAlive { id: former, ttl: Duration::ZERO });
    let revoke = world.calls.iter().position(|call| matches!(call, Action::Revoke { .. })).unwrap();
    let revoke = world.calls.remove(revoke);
    settle_all(&mut world);
    let holder = world.keys[0].clone();
    assert_eq!(holder.as_ref().map(|holder| holder.lease), world.machine.live());
    assert!(world.leases.contains(&former) && world.machine.live() != Some(former));
    let answer = world.serve(&revoke);
    world.tell(answer);
    settle_all(&mut world);
    assert_eq!((&world.keys[0], state(&world)), (&holder, LeaseState::Active));
    assert_eq!(world.leases.len(), 1);
}
