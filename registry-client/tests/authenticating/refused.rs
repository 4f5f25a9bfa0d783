//! A user whom the registry refuses: a permanent error wherever somebody waits, and mended without a restart.

use std::future::IntoFuture;

use registry_client::{Error, LeaseState};

use super::{builder, key, registered, registry, server_with_users};
use crate::kit::{PASSWORD, eventually, instance, soon};

#[tokio::test]
async fn g04_a_wrong_password_is_permanent_wherever_somebody_waits_and_heals_when_it_is_mended() {
    let Some((server, mut calls)) = server_with_users(&[]).await else { return };
    calls.enable_auth().await;
    let wrong = builder(&server).auth("pay", "wrong-horse");
    assert!(!format!("{wrong:?}").contains("wrong-horse"));
    let registry = wrong.build().unwrap();
    let error = soon("connecting fails", registry.connect()).await.unwrap_err();
    let Error::Refused { message, .. } = &error else { panic!("{error:?}") };
    assert!(message.contains("\"pay\"") && message.contains("RegistryBuilder::auth"), "{message}");
    assert!(error.is_permanent() && !error.to_string().contains("wrong-horse"));
    let refused = soon("registering fails", registry.register(instance("1")).into_future()).await.unwrap_err();
    assert!(matches!(refused, Error::Refused { .. }), "{refused:?}");
    let watch = registry.watch("pay").start().unwrap();
    assert!(matches!(soon("watching fails", watch.synced()).await, Err(Error::Refused { .. })));

    calls.change_password("pay", "wrong-horse").await;
    eventually("the watch is there", || async { watch.refused().is_none() && watch.synced().await.is_ok() }).await;
    registered(&registry, "1").await.instance();
}

#[tokio::test]
async fn g04_a_registration_that_stands_says_that_its_user_is_refused_and_keeps_its_lease() {
    let Some((server, mut calls)) = server_with_users(&[]).await else { return };
    calls.enable_auth().await;
    let registry = registry(&server);
    let registration = registered(&registry, "1").await;
    let lease = calls.get(&key("1")).await.unwrap().lease;
    calls.change_password("pay", "another").await;
    let update = registration.update(|instance| instance.set_weight(7));
    let refused = soon("the update is refused", update).await.unwrap_err();
    assert!(matches!(refused, Error::Refused { .. }), "{refused:?}");
    let refused = |state: &LeaseState| matches!(state.error(), Some(Error::Refused { .. }));
    soon("the state says so", registration.state().wait_for(refused)).await.unwrap();

    calls.change_password("pay", PASSWORD).await;
    let healed = |state: &LeaseState| *state == LeaseState::Active;
    soon("it heals", registration.state().wait_for(healed)).await.unwrap();
    assert_eq!(calls.get(&key("1")).await.unwrap().lease, lease);
}

#[tokio::test]
async fn g04_a_client_without_a_user_is_told_to_give_one() {
    let Some((server, mut calls)) = server_with_users(&[]).await else { return };
    calls.enable_auth().await;
    let registry = builder(&server).build().unwrap();
    let error = soon("connecting fails", registry.connect()).await.unwrap_err();
    assert!(error.to_string().contains("RegistryBuilder::auth") && error.is_permanent(), "{error}");
    let watch = registry.watch("pay").start().unwrap();
    soon("watching fails", watch.synced()).await.unwrap_err();
}

#[tokio::test]
async fn g04_what_a_user_may_not_do_is_told_as_such() {
    let Some((server, mut calls)) = server_with_users(&[]).await else { return };
    calls.enable_auth().await;
    let registry = builder(&server).namespace("/other").auth("pay", PASSWORD).build().unwrap();
    let watch = registry.watch("pay").start().unwrap();
    let error = soon("watching fails", watch.synced()).await.unwrap_err();
    assert!(error.to_string().contains("permission denied"), "{error}");
    let error = soon("registering fails", registry.register(instance("1")).into_future()).await.unwrap_err();
    assert!(matches!(&error, Error::Refused { code, .. } if code == "PermissionDenied"), "{error:?}");
}
