//! Whose time counts: expiry is counted from when a request was sent, on a clock that is handed in and that
//! suspend does not stop.

use super::*;

#[test]
fn g09_expiry_is_counted_from_when_the_grant_was_sent_however_late_its_answer_is() {
    let mut world = World::new(7, Conflict::Fail);
    let sent_at = world.now;
    // The answer takes two thirds of the TTL; the server may have begun to count at once.
    world.now += TTL * 2 / 3;
    world.settle(0, Fate::Answered);
    world.calls.retain(|call| matches!(call, Action::Put { .. }));
    world.settle(0, Fate::Answered);
    assert!(!matches!(state(&world), LeaseState::Lost(_)));
    world.now = sent_at + TTL;
    world.tell(Event::Tick);
    assert_eq!(state(&world), LeaseState::Lost(Arc::new(LeaseTrouble::Expired.into())));
}

#[test]
fn g09_expiry_is_counted_from_when_the_answered_keep_alive_was_sent() {
    let mut world = standing();
    world.pass(TTL / 3);
    let sent_at = world.now;
    world.now += TTL / 4;
    let answer = world.serve(&world.calls[0].clone());
    world.tell(answer);
    assert_eq!(state(&world), LeaseState::Active);
    world.now = sent_at + TTL - Duration::from_millis(1);
    world.tell(Event::Tick);
    assert!(!matches!(state(&world), LeaseState::Lost(_)));
    world.now = sent_at + TTL;
    world.tell(Event::Tick);
    assert!(matches!(state(&world), LeaseState::Lost(_)));
}

#[test]
fn g09_a_machine_that_slept_past_the_ttl_says_so_at_its_first_step_and_asks_at_once() {
    let mut world = standing();
    // Boot time goes on in suspend; nothing happened in between.
    world.now += Duration::from_secs(8 * 3600);
    world.tell(Event::Tick);
    assert!(matches!(state(&world), LeaseState::Lost(_)));
    assert!(matches!(world.calls[..], [Action::KeepAlive { .. }]), "{:?}", world.calls);
    world.expire();
    settle_all(&mut world);
    assert_eq!(state(&world), LeaseState::Active);
    assert_eq!(world.leases.len(), 1);
}

#[test]
fn g09_the_next_wake_is_never_later_than_the_expiry() {
    let mut world = standing();
    for _ in 0..20 {
        let Some(wake) = world.machine.next_wake(world.now) else { panic!("somebody has to look") };
        assert!(wake <= world.now + TTL);
        world.pass(wake - world.now);
        settle_all(&mut world);
    }
}
