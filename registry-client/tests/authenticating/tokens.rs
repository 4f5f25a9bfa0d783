//! How tokens end: by their time, with the users, with the server, and with authentication itself.

use std::future::IntoFuture;
use std::time::Duration;

use registry_client::LeaseState;

use super::{all_is_well, builder, key, registered, registry, server_with_users};
use crate::kit::{Calls, PASSWORD, eventually, instance, soon};

/// Longer than tokens live that last a second and that a server looks after once a second.
const LONG_UNUSED: Duration = Duration::from_millis(3_500);

#[tokio::test]
async fn g04_a_token_that_ended_is_replaced_and_no_lease_is_lost() {
    let Some((server, mut calls)) = server_with_users(&["--auth-token-ttl=1"]).await else { return };
    calls.enable_auth().await;
    let registry = registry(&server);
    let registration = registered(&registry, "1").await;
    let watch = registry.watch("pay").start().unwrap();
    soon("the service is watched", watch.synced()).await.unwrap();
    let lease = calls.get(&key("1")).await.unwrap().lease;
    tokio::time::sleep(LONG_UNUSED).await;
    calls.log_in().await;
    all_is_well(&registry, &registration, &mut calls, lease).await;
}

#[tokio::test]
async fn g04_a_watch_is_the_first_to_meet_a_token_that_ended() {
    let Some((server, mut calls)) = server_with_users(&["--auth-token-ttl=1"]).await else { return };
    calls.enable_auth().await;
    let registry = registry(&server);
    let first = registry.watch("pay").start().unwrap();
    soon("the service is watched", first.synced()).await.unwrap();
    tokio::time::sleep(LONG_UNUSED).await;
    // Its list goes first and has the token replaced, and then the old stream refuses the watch.
    let second = registry.watch("second").start().unwrap();
    soon("another one too", second.synced()).await.unwrap();
    let registration = registered(&registry, "1").await;
    let seen = async {
        while first.snapshot().instances().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    soon("the first watch goes on", seen).await;
    assert_eq!(registration.instance().id(), "1");
}

#[tokio::test]
async fn g04_tokens_that_carry_their_user_are_replaced_when_users_change() {
    let keys = tempfile::tempdir().unwrap();
    let secret = keys.path().join("secret");
    tokio::fs::write(&secret, "a secret of thirty-two characters").await.unwrap();
    let flag = format!("--auth-token=jwt,sign-method=HS256,priv-key={},ttl=5m", secret.display());
    let Some((server, mut calls)) = server_with_users(&[&flag]).await else { return };
    calls.enable_auth().await;
    let registry = registry(&server);
    let registration = registered(&registry, "1").await;
    let lease = calls.get(&key("1")).await.unwrap().lease;
    for user in ["a", "b"] {
        calls.add_user(user).await;
        calls.log_in().await;
        all_is_well(&registry, &registration, &mut calls, lease).await;
    }
}

#[tokio::test]
async fn g04_tokens_that_a_restart_made_useless_are_replaced() {
    let Some((server, mut calls)) = server_with_users(&[]).await else { return };
    calls.enable_auth().await;
    let registry = registry(&server);
    let registration = registered(&registry, "1").await;
    let lease = calls.get(&key("1")).await.unwrap().lease;
    let server = server.stop().start(true);
    let mut calls = Calls::connect(&server.endpoint).await;
    calls.log_in().await;
    all_is_well(&registry, &registration, &mut calls, lease).await;
}

#[tokio::test]
async fn g04_a_token_about_which_another_cluster_says_nothing_is_replaced() {
    let Some((server, mut calls)) = server_with_users(&[]).await else { return };
    calls.enable_auth().await;
    let registry = registry(&server);
    let registering = registry.register(instance("1")).ttl(Duration::from_secs(2)).into_future();
    let registration = soon("it registers", registering).await.unwrap();
    let server = server.stop().start(false);
    let calls = Calls::connect(&server.endpoint).await;
    eventually("it is registered there", || {
        let mut calls = calls.clone();
        async move { calls.get(&key("1")).await.is_some() }
    })
    .await;
    soon("it is up", registration.state().wait_for(|state| *state == LeaseState::Active)).await.unwrap();
}

#[tokio::test]
async fn g04_authentication_is_enabled_and_disabled_under_a_running_client() {
    let Some((server, mut calls)) = server_with_users(&[]).await else { return };
    let registry = registry(&server);
    let registration = registered(&registry, "1").await;
    let lease = calls.get(&key("1")).await.unwrap().lease;
    for _ in 0..2 {
        all_is_well(&registry, &registration, &mut calls, lease).await;
        calls.enable_auth().await;
        all_is_well(&registry, &registration, &mut calls, lease).await;
        calls.disable_auth().await;
    }
    all_is_well(&registry, &registration, &mut calls, lease).await;
}

#[tokio::test]
async fn g04_tokens_that_are_made_elsewhere_are_asked_for_again_when_they_end() {
    let Some((server, mut calls)) = server_with_users(&["--auth-token-ttl=1"]).await else { return };
    calls.enable_auth().await;
    let elsewhere = Calls::connect(&server.endpoint).await;
    let source = move || {
        let mut elsewhere = elsewhere.clone();
        async move { Ok::<_, std::io::Error>(elsewhere.token_of("pay").await) }
    };
    let registry = builder(&server).auth_with(source).build().unwrap();
    let registration = registered(&registry, "1").await;
    let lease = calls.get(&key("1")).await.unwrap().lease;
    tokio::time::sleep(LONG_UNUSED).await;
    calls.log_in().await;
    all_is_well(&registry, &registration, &mut calls, lease).await;
    assert!(!format!("{registry:?}").contains(PASSWORD));
}
