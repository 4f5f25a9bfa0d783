//! One id, two registrations.

use std::future::IntoFuture;
use std::time::Duration;

use registry_client::{Conflict, Error, LeaseState};

use crate::kit::{Corner, End, Holder, eventually, instance, soon};

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn g07_the_second_of_two_fails_and_leaves_the_first_alone() {
    let Some(mut corner) = Corner::new("second").await else { return };
    let registry = corner.registry();
    let first = registry.register(instance("1")).ttl(HOUR).await.unwrap();
    let key = corner.key(&instance("1"));
    let before = corner.calls.get(&key).await.unwrap();
    let error = soon("register", corner.registry().register(instance("1")).ttl(HOUR)).await.unwrap_err();
    assert_eq!(error, Error::Conflict { key: key.clone(), lease: before.lease });
    assert_eq!(corner.calls.get(&key).await.unwrap(), before);
    assert_eq!(first.state().get(), LeaseState::Active);
}

#[tokio::test]
async fn g07_waiting_for_expiry_gets_the_key_when_it_is_free() {
    let Some(mut corner) = Corner::new("waiting").await else { return };
    let key = corner.key(&instance("1"));
    let dead = corner.calls.grant(3600).await;
    corner.calls.put(&key, r#"{"version":1}"#, dead).await;
    let register = corner.registry().register(instance("1")).ttl(HOUR).on_conflict(Conflict::WaitForExpiry);
    let waiting = tokio::spawn(register.into_future());
    corner.calls.revoke(dead).await;
    let registration = soon("register", waiting).await.unwrap().unwrap();
    assert_eq!(registration.state().get(), LeaseState::Active);
    assert_ne!(corner.lease_of(&key).await, Some(dead));
}

#[tokio::test]
async fn g07_who_loses_the_key_to_a_take_over_ends_with_a_conflict_and_g08_revokes_only_his_own() {
    let Some(mut corner) = Corner::alone("take-over").await else { return };
    let loser = corner.registry().register(instance("1")).ttl(HOUR).on_conflict(Conflict::TakeOver).await.unwrap();
    let winner = corner.registry().register(instance("1")).ttl(HOUR).on_conflict(Conflict::TakeOver).await.unwrap();
    let mut state = loser.state();
    let ended = soon("the loser ends", state.wait_for(|state| matches!(state, LeaseState::Closed(_)))).await.unwrap();
    assert!(matches!(ended.error(), Some(Error::Conflict { .. })), "{ended:?}");
    eventually("one lease is left", || {
        let mut calls = corner.calls.clone();
        async move { calls.leases().await.len() == 1 }
    })
    .await;
    let key = corner.key(&instance("1"));
    let lease = corner.lease_of(&key).await;
    assert_eq!(lease, corner.calls.leases().await.first().copied());
    assert_eq!(winner.state().get(), LeaseState::Active);
    assert!(matches!(loser.update(|_| ()).await, Err(Error::Conflict { .. })));
}

#[tokio::test]
async fn g07_of_two_that_start_at_once_one_stands_and_the_other_is_told_whose_it_is() {
    let Some(mut corner) = Corner::alone("at-once").await else { return };
    let (one, other) = (corner.registry(), corner.registry());
    for round in 0..50 {
        let id = format!("{round}");
        let key = corner.key(&instance(&id));
        let register = |registry: &registry_client::Registry| registry.register(instance(&id)).ttl(HOUR).into_future();
        let (one, other) = soon("both end", async { tokio::join!(register(&one), register(&other)) }).await;
        let (stands, error) = match (one, other) {
            (Ok(stands), Err(error)) | (Err(error), Ok(stands)) => (stands, error),
            both => panic!("one of two stands: {both:?}"),
        };
        let kv = corner.calls.get(&key).await.unwrap();
        assert_eq!(error, Error::Conflict { key: key.clone(), lease: kv.lease });
        assert_eq!((kv.version, stands.state().get()), (1, LeaseState::Active), "nobody alternates");
    }
    corner.no_lease_is_left().await;
}

#[tokio::test]
async fn g07_after_a_sigkill_the_id_is_held_until_the_ttl_and_who_waits_gets_it() {
    let Some(corner) = Corner::alone("after-kill").await else { return };
    let ttl = Duration::from_secs(3);
    let mut holder = Holder::start(&corner, End::Killed, ttl);
    holder.end(End::Killed);
    let killed = tokio::time::Instant::now();
    let error = corner.registry().register(instance("1")).ttl(HOUR).await.unwrap_err();
    assert!(matches!(error, Error::Conflict { .. }), "{error:?}");
    let waiting = corner.registry().register(instance("1")).ttl(HOUR).on_conflict(Conflict::WaitForExpiry);
    let registration = soon("register", waiting).await.unwrap();
    println!("after a SIGKILL with a TTL of {ttl:?}, the id is held again after {:?}", killed.elapsed());
    assert_eq!(registration.state().get(), LeaseState::Active);
    assert!(killed.elapsed() < ttl + Duration::from_secs(3), "{:?}", killed.elapsed());
}
