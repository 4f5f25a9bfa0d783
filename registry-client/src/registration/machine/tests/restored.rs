//! A registry that was restored from a backup while leases lived: its revisions are lower than those seen.

use super::*;

/// A registration that stands, as of a backup that was made before its second value was stored.
fn restored() -> World {
    let mut world = standing();
    let backup = (world.revision, world.keys.clone());
    update(&mut world, 2);
    settle_all(&mut world);
    assert!(world.revision > backup.0);
    (world.revision, world.keys) = backup;
    world
}

fn update(world: &mut World, number: u64) {
    let mut changed = instance();
    changed.set_weight(u32::try_from(number).unwrap());
    world.tell(Event::Update { changes: vec![(0, Arc::new(changed))], number });
}

/// Says how many calls it took.
fn settle_within(world: &mut World, calls: usize) -> usize {
    for call in 0..calls {
        if world.calls.is_empty() {
            return call;
        }
        world.settle(0, Fate::Answered);
    }
    panic!("calls go on for ever: {:?}", world.calls);
}

fn read_keys(world: &mut World) {
    let (revision, holder) = (world.revision, world.keys[0].clone());
    world.tell(Event::KeyRead { place: 0, revision, holder });
}

fn stored_weight(world: &World) -> String {
    String::from_utf8_lossy(&world.keys[0].as_ref().unwrap().value).into_owned()
}

#[test]
fn g04_a_put_to_a_restored_registry_learns_what_stands_there_from_its_conflict() {
    let mut world = restored();
    update(&mut world, 3);
    assert_eq!(settle_within(&mut world, 10), 2, "one conflict, one put");
    assert_eq!(state(&world), LeaseState::Active);
    assert!(stored_weight(&world).contains("\"weight\":3"), "{}", stored_weight(&world));
    // Events of the restored registry count from now on.
    world.delete(0);
    world.tell_keys();
    assert!(settle_within(&mut world, 10) > 0);
    assert!(world.keys[0].is_some());
}

#[test]
fn g04_a_read_of_a_restored_registry_has_the_newest_value_put_again() {
    let mut world = restored();
    read_keys(&mut world);
    assert!(settle_within(&mut world, 10) > 0);
    assert!(stored_weight(&world).contains("\"weight\":2"), "{}", stored_weight(&world));
    assert_eq!(state(&world), LeaseState::Active);

    let mut world = restored();
    world.keys[0] = None;
    read_keys(&mut world);
    settle_within(&mut world, 10);
    assert!(world.keys[0].is_some());
}

#[test]
fn g04_a_read_that_a_put_has_overtaken_does_no_harm() {
    let mut world = standing();
    let old = (world.revision, world.keys[0].clone());
    update(&mut world, 2);
    settle_all(&mut world);
    let (revision, holder) = old;
    world.tell(Event::KeyRead { place: 0, revision, holder });
    assert!(settle_within(&mut world, 10) <= 1, "one put to find out");
    assert_eq!(state(&world), LeaseState::Active);
    assert!(stored_weight(&world).contains("\"weight\":2"));
}

#[test]
fn g04_an_old_event_of_a_watch_is_still_passed_over() {
    let mut world = standing();
    let old = (world.revision, world.keys[0].clone());
    update(&mut world, 2);
    settle_all(&mut world);
    let (revision, holder) = old;
    world.tell(Event::Key { place: 0, revision, holder });
    assert!(world.calls.is_empty());
}

#[test]
fn g04_a_conflict_that_changes_nothing_is_not_asked_for_again_at_once() {
    let mut world = standing();
    update(&mut world, 2);
    world.calls.clear();
    let found = vec![Found { place: 0, holder: world.keys[0].clone(), tombstone: false }];
    world.tell(Event::Put(PutOutcome::Conflict { revision: world.revision, found }));
    assert!(world.calls.is_empty(), "{:?}", world.calls);
    world.pass(TTL / 4);
    settle_within(&mut world, 10);
    assert!(stored_weight(&world).contains("\"weight\":2"));
}
