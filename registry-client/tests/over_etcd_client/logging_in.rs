//! A client with a user: its tokens end, and it is told to get others. A client without one is told to have one.

use std::future::IntoFuture;
use std::time::Duration;

use etcd_client::{Client, ConnectOptions};
use registry_client::{Error, LeaseState, Registration, Registry};

use super::{HOUR, client};
use crate::kit::{Calls, PASSWORD, Server, instance, own_server_with, soon};

const NAMESPACE: &str = "/prod";
/// Longer than tokens live that last a second and that a server looks after once a second.
const LONG_UNUSED: Duration = Duration::from_millis(3_500);

/// A server that asks for users.
async fn server(flags: &[&str]) -> Option<(Server, Calls)> {
    let server = own_server_with(&[&["--bcrypt-cost=4"], flags].concat())?;
    let mut calls = Calls::connect(&server.endpoint).await;
    calls.add_users(NAMESPACE).await;
    calls.enable_auth().await;
    Some((server, calls))
}

/// A client that does not get new tokens by itself.
async fn logged_in(server: &Server) -> Client {
    let options = ConnectOptions::new().with_user("pay", PASSWORD);
    Client::connect([&server.endpoint], Some(options)).await.unwrap()
}

async fn registry(server: &Server) -> Registry {
    let builder = Registry::from_etcd_client(logged_in(server).await).namespace(NAMESPACE);
    assert!(!format!("{builder:?}").contains(PASSWORD));
    builder.build().unwrap()
}

/// With the lease that it has.
async fn registered(registry: &Registry, calls: &mut Calls) -> (Registration, i64) {
    let registration = soon("it registers", registry.register(instance("1")).ttl(HOUR).into_future()).await.unwrap();
    (registration, lease(calls).await)
}

async fn lease(calls: &mut Calls) -> i64 {
    calls.get(&format!("{NAMESPACE}/services/pay/1")).await.unwrap().lease
}

/// Calls, keep-alives and the watch stream that is there all work, under the lease that there was.
async fn all_is_well(registry: &Registry, registration: &Registration, calls: &mut Calls, before: i64) {
    let weight = 1 + registration.instance().weight();
    soon("it is updated", registration.update(|instance| instance.set_weight(weight))).await.unwrap();
    let watch = registry.watch(format!("other-{weight}")).start().unwrap();
    soon("another service is watched", watch.synced()).await.unwrap();
    let pay = registry.watch("pay").start().unwrap();
    let seen = async {
        while !pay.snapshot().instances().iter().any(|found| found.weight() == weight) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    soon("the change is seen", seen).await;
    let short = registry.register(instance("short")).ttl(Duration::from_secs(2)).into_future();
    let short = soon("another one registers", short).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(short.state().get(), LeaseState::Active);
    calls.log_in().await;
    assert_eq!(lease(calls).await, before);
}

#[tokio::test]
async fn g04_a_token_that_ended_is_replaced_and_no_lease_is_lost() {
    let Some((server, mut calls)) = server(&["--auth-token-ttl=1"]).await else { return };
    let registry = registry(&server).await;
    let (registration, before) = registered(&registry, &mut calls).await;
    let watch = registry.watch("pay").start().unwrap();
    soon("the service is watched", watch.synced()).await.unwrap();
    tokio::time::sleep(LONG_UNUSED).await;
    all_is_well(&registry, &registration, &mut calls, before).await;
}

#[tokio::test]
async fn g04_tokens_that_carry_their_user_are_replaced_when_users_change() {
    let keys = tempfile::tempdir().unwrap();
    let secret = keys.path().join("secret");
    tokio::fs::write(&secret, "a secret of thirty-two characters").await.unwrap();
    let flag = format!("--auth-token=jwt,sign-method=HS256,priv-key={},ttl=5m", secret.display());
    let Some((server, mut calls)) = server(&[&flag]).await else { return };
    let registry = registry(&server).await;
    let (registration, before) = registered(&registry, &mut calls).await;
    // etcd-client itself does not know these words for a token that is no good.
    calls.add_user("a").await;
    calls.log_in().await;
    all_is_well(&registry, &registration, &mut calls, before).await;
}

#[tokio::test]
async fn g04_authentication_is_disabled_and_enabled_when_the_clients_owner_follows() {
    let Some((server, mut calls)) = server(&[]).await else { return };
    let user = ("pay".to_owned(), PASSWORD.to_owned());
    let mut client = logged_in(&server).await;
    let registry = Registry::from_etcd_client(client.clone()).namespace(NAMESPACE).build().unwrap();
    let (registration, before) = registered(&registry, &mut calls).await;
    calls.disable_auth().await;
    // etcd refuses tokens then, and only so can the client be told to forget one.
    client.update_user(None).await.unwrap();
    soon("it is updated", registration.update(|instance| instance.set_weight(1))).await.unwrap();
    calls.enable_auth().await;
    client.update_user(Some(user)).await.unwrap();
    all_is_well(&registry, &registration, &mut calls, before).await;
}

#[tokio::test]
async fn g04_a_password_that_was_changed_is_permanent_until_it_is_mended() {
    let Some((server, mut calls)) = server(&[]).await else { return };
    let registry = registry(&server).await;
    let (registration, before) = registered(&registry, &mut calls).await;
    calls.change_password("pay", "another").await;
    let update = soon("the update is refused", registration.update(|instance| instance.set_weight(7))).await;
    let error = update.unwrap_err();
    assert!(error.is_permanent() && error.to_string().contains("update_user"), "{error}");
    calls.change_password("pay", PASSWORD).await;
    soon("it heals", registration.state().wait_for(|state| *state == LeaseState::Active)).await.unwrap();
    assert_eq!(lease(&mut calls).await, before);
}

#[tokio::test]
async fn g04_a_client_without_a_user_is_told_to_have_one_and_works_once_it_has() {
    let Some((server, _calls)) = server(&[]).await else { return };
    let mut client = client(&server.endpoint).await;
    let registry = Registry::from_etcd_client(client.clone()).namespace(NAMESPACE).build().unwrap();
    let error = soon("connecting fails", registry.connect()).await.unwrap_err();
    assert!(matches!(&error, Error::Refused { message, .. } if message.contains("a user")), "{error:?}");
    let watch = registry.watch("pay").start().unwrap();
    assert!(soon("watching fails", watch.synced()).await.unwrap_err().is_permanent());
    client.update_user(Some(("pay".to_owned(), PASSWORD.to_owned()))).await.unwrap();
    soon("now it connects", registry.connect()).await.unwrap();
    let other = registry.watch("other").start().unwrap();
    soon("and watches", other.synced()).await.unwrap();
}
