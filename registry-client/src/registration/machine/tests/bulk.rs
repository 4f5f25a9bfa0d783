//! Many keys under one lease: all or none, healed one by one.

use super::world::stored;
use super::*;

fn standing(count: usize) -> World {
    let mut world = World::with(count, settings(7, Conflict::Fail));
    settle_all(&mut world);
    assert_eq!(state(&world), LeaseState::Active);
    assert_eq!(world.leases.len(), 1);
    assert!(stored(&world).iter().all(|lease| *lease == world.machine.live()));
    world
}

fn puts(world: &World) -> Vec<Vec<usize>> {
    let puts = |call: &Action| match call {
        Action::Put { puts, .. } => Some(puts.iter().map(|put| put.place).collect()),
        _ => None,
    };
    world.calls.iter().filter_map(puts).collect()
}

#[test]
fn g01_all_stand_or_none_and_a_stranger_on_one_key_removes_what_was_put() {
    let mut world = World::with(5, settings(7, Conflict::Fail));
    world.keys[4] = Some(Holder { lease: 1, mod_revision: 1, value: Bytes::new() });
    settle_all(&mut world);
    assert!(matches!(state(&world).error(), Some(Error::Conflict { lease: 1, key }) if key.ends_with("00004")));
    assert!(world.finished && world.leases.is_empty());
    assert_eq!(world.keys.iter().flatten().count(), 1, "only the stranger's is left");

    let mut world = World::with(5, settings(7, Conflict::Fail));
    world.tombstones.insert(2);
    settle_all(&mut world);
    assert!(matches!(state(&world).error(), Some(Error::Tombstone { key }) if key.ends_with("00002")));
    assert!(world.finished && world.keys.iter().all(Option::is_none));
}

#[test]
fn g01_it_stands_when_the_last_key_does() {
    let mut world = World::with(3, settings(7, Conflict::Fail));
    world.settle(0, Fate::Answered);
    assert_eq!(puts(&world), [[0, 1]]);
    world.settle(0, Fate::Answered);
    assert!(matches!(state(&world), LeaseState::Registering(None)), "{:?}", state(&world));
    assert_eq!(puts(&world), [[2]]);
    world.settle(0, Fate::Answered);
    assert_eq!(state(&world), LeaseState::Active);
}

#[test]
fn g01_a_put_carries_no_more_than_a_txn_may_and_one_value_however_large() {
    let batch = Batch { keys: 64, bytes: 10_000 };
    let mut world = World::with(100, Settings { batch, ..settings(7, Conflict::Fail) });
    world.settle(0, Fate::Answered);
    let Some(Action::Put { puts, .. }) = world.calls.first().cloned() else { panic!("a put") };
    assert!(puts.len() > 10 && puts.len() < 64, "{}", puts.len());
    let batch = Batch { keys: 64, bytes: 1 };
    let mut world = World::with(2, Settings { batch, ..settings(7, Conflict::Fail) });
    world.settle(0, Fate::Answered);
    assert_eq!(puts_of_first(&world), 1);
}

fn puts_of_first(world: &World) -> usize {
    puts(world).first().map_or(0, Vec::len)
}

#[test]
fn g04_a_lost_lease_brings_all_back_under_another() {
    let mut world = standing(5);
    let first = world.machine.live();
    world.expire();
    world.pass(TTL / 3);
    settle_all(&mut world);
    assert_ne!(world.machine.live(), first);
    assert!(stored(&world).iter().all(|lease| *lease == world.machine.live()));
    assert_eq!((state(&world), world.leases.len()), (LeaseState::Active, 1));
}

#[test]
fn g06_one_deleted_key_of_many_is_put_again_alone() {
    let mut world = standing(5);
    world.delete(3);
    world.tell_keys();
    assert_eq!(puts(&world), [[3]]);
    settle_all(&mut world);
    assert_eq!(state(&world), LeaseState::Active);
}

#[test]
fn g06_a_tombstone_keeps_one_away_and_the_others_stay() {
    let mut world = standing(3);
    world.tombstones.insert(0);
    // All three go at once; the txn with the tombstone fails as a whole.
    for place in 0..3 {
        world.delete(place);
    }
    world.tell_keys();
    settle_all(&mut world);
    assert_eq!(world.keys.iter().flatten().count(), 2);
    assert!(matches!(state(&world).error(), Some(Error::Tombstone { .. })), "{:?}", state(&world));
    assert!(world.calls.is_empty(), "it is not tried again at once");
    world.tombstones.clear();
    world.pass(TTL);
    settle_all(&mut world);
    assert_eq!(state(&world), LeaseState::Active);
    assert!(world.keys.iter().all(Option::is_some));
}

#[test]
fn g06_an_entombed_key_does_not_hold_a_drain_up() {
    let mut world = standing(2);
    world.tombstones.insert(0);
    world.delete(0);
    world.tell_keys();
    settle_all(&mut world);
    world.tell(Event::Shutdown { drain: Duration::from_millis(1), deadline: world.now + TTL * 100 });
    settle_all(&mut world);
    world.pass(Duration::from_millis(1));
    settle_all(&mut world);
    assert!(world.finished, "{:?}", state(&world));
}

#[test]
fn g07_waiting_for_one_key_lets_the_others_be_put() {
    let mut world = World::with(4, settings(7, Conflict::WaitForExpiry));
    world.keys[0] = Some(Holder { lease: 1, mod_revision: 1, value: Bytes::new() });
    settle_all(&mut world);
    assert_eq!(world.keys.iter().flatten().filter(|holder| holder.lease != 1).count(), 3);
    assert!(matches!(state(&world), LeaseState::Registering(_)));
    world.delete(0);
    world.tell_keys();
    settle_all(&mut world);
    assert_eq!(state(&world), LeaseState::Active);
}

#[test]
fn g04_a_refused_value_holds_up_no_other_for_ever() {
    let mut world = standing(4);
    let changes = (0..4).map(|place| (place, Arc::new(instance()))).collect();
    world.tell(Event::Update { changes, number: 2 });
    let refused = puts(&world);
    world.calls.clear();
    let error = Error::Refused { code: "InvalidArgument".to_owned(), message: String::new() };
    world.tell(Event::Put(PutOutcome::Failed(Failure { error, maybe_done: false })));
    world.pass(TTL / 4);
    assert_ne!(puts(&world), refused);
}

#[test]
fn g04_an_update_is_stored_when_all_its_places_are() {
    let mut world = standing(4);
    let mut changed = instance();
    changed.set_weight(7);
    let changes = [0, 3].map(|place| (place, Arc::new(changed.clone())));
    world.tell(Event::Update { changes: changes.to_vec(), number: 2 });
    assert_eq!(puts(&world), [[0, 3]], "what has not changed is left alone");
    let stored = |world: &World| world.progress.as_ref().unwrap().stored;
    assert_eq!(stored(&world), 1);
    world.settle(0, Fate::Answered);
    assert_eq!(stored(&world), 2);
}

#[test]
fn g02_ten_thousand_keys_are_put_in_157_txns_and_ten_thousand_echoes_cost_little() {
    let batch = Batch::default();
    let mut world = World::with(10_000, Settings { batch, ..settings(7, Conflict::Fail) });
    world.settle(0, Fate::Answered);
    let mut txns = 0;
    while !world.calls.is_empty() {
        txns += 1;
        world.settle(0, Fate::Answered);
    }
    assert_eq!((txns, state(&world)), (157, LeaseState::Active));
    world.tell_keys();
    assert!(world.calls.is_empty(), "what a watch echoes changes nothing");
}
