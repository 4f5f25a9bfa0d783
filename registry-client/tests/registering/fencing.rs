//! One id, two registrations.

use std::future::IntoFuture;
use std::time::Duration;

use registry_client::{Conflict, Error, LeaseState};

use crate::kit::{Corner, eventually, instance, soon};

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
