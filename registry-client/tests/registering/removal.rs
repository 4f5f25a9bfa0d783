//! An operator removes an instance against its process's will, and lets it come back.

use std::future::IntoFuture;
use std::time::Duration;

use registry_client::{Error, LeaseState};

use crate::kit::{Corner, Proxy, instance, soon};

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn g06_a_removed_instance_stays_away_until_it_is_restored() {
    let Some(mut corner) = Corner::alone("removal").await else { return };
    let (registry, key) = (corner.registry(), corner.key(&instance("1")));
    let registration = registry.register(instance("1")).ttl(HOUR).await.unwrap();
    let operator = corner.registry();
    assert!(soon("remove", operator.remove("pay", "1").reason("disk is dying")).await.unwrap(), "it stood");
    let mut state = registration.state();
    let entombed = |state: &LeaseState| matches!(state.error(), Some(Error::Tombstone { .. }));
    soon("the process is told", state.wait_for(entombed)).await.unwrap();
    assert!(corner.calls.get(&key).await.is_none());
    let removed = operator.removed("pay").await.unwrap();
    assert_eq!((removed[0].id.as_str(), removed[0].reason.as_deref()), ("1", Some("disk is dying")));
    assert!(matches!(corner.registry().register(instance("1")).await, Err(Error::Tombstone { .. })));

    assert!(operator.restore("pay", "1").await.unwrap());
    soon("it comes back", state.wait_for(|state| *state == LeaseState::Active)).await.unwrap();
    assert!(corner.calls.get(&key).await.is_some());
    assert!(!operator.restore("pay", "1").await.unwrap(), "there is none any more");
    assert_eq!(operator.removed("pay").await.unwrap(), []);
    drop(registration);
    // The tombstone's own lease as well.
    corner.no_lease_is_left().await;
}

#[tokio::test]
async fn g06_a_tombstone_ends_by_itself_and_removing_again_leaves_no_older_lease() {
    let Some(mut corner) = Corner::alone("removal-ttl").await else { return };
    let registry = corner.registry();
    assert!(!registry.remove("pay", "1").lasting(HOUR).await.unwrap(), "nobody stood there");
    assert!(!registry.remove("pay", "1").lasting(Duration::from_secs(2)).await.unwrap());
    assert_eq!(corner.calls.leases().await.len(), 1);
    corner.no_lease_is_left().await;
    assert_eq!(registry.removed("pay").await.unwrap(), []);
    let registration = registry.register(instance("1")).ttl(HOUR).await;
    assert!(registration.is_ok(), "{registration:?}");
}

#[tokio::test]
async fn what_cannot_be_removed_is_told_with_the_mend() {
    let registry = registry_client::Registry::builder(["http://127.0.0.1:1"]).build().unwrap();
    assert!(matches!(registry.remove("pay/ments", "1").await, Err(Error::Instance(_))));
    assert!(matches!(registry.restore("pay", "").await, Err(Error::Instance(_))));
    let error = registry.remove("pay", "1").lasting(Duration::ZERO).await.unwrap_err();
    assert!(matches!(&error, Error::Setting(text) if text.contains("from 1 s")), "{error:?}");
    assert!(matches!(soon("it fails", registry.restore("pay", "1")).await, Err(Error::Unavailable { .. })));
}

#[tokio::test]
async fn g08_a_lease_that_holds_more_than_the_tombstone_is_left_alone() {
    let Some(mut corner) = Corner::alone("removal-lease").await else { return };
    let lease = corner.calls.grant(3600).await;
    let tombstone = |id: &str| format!("{}/tombstones/pay/{id}", corner.namespace);
    let (first, second, third) = (tombstone("1"), tombstone("2"), tombstone("3"));
    for key in [&first, &second, &third] {
        corner.calls.put(key, r#"{"version":1}"#, lease).await;
    }
    let registry = corner.registry();
    assert!(registry.restore("pay", "1").await.unwrap());
    assert!(corner.calls.get(&first).await.is_none());
    assert!(!registry.remove("pay", "2").lasting(HOUR).await.unwrap());
    assert_eq!(corner.lease_of(&third).await, Some(lease), "the others stand");
    assert!(registry.restore("pay", "2").await.unwrap() && registry.restore("pay", "3").await.unwrap());
    corner.no_lease_is_left().await;
}

#[tokio::test]
async fn what_a_failed_removal_leaves_is_cleaned_up_after_it_was_told() {
    let Some(corner) = Corner::alone("removal-away").await else { return };
    let proxy = Proxy::new(corner.endpoint()).await;
    let registry = corner.registry_by(&proxy.endpoint);
    registry.connect().await.unwrap();
    proxy.freeze();
    // A call has 5 s, and each of several revokes as well.
    let removal = tokio::time::timeout(Duration::from_secs(9), registry.remove("pay", "1").into_future()).await;
    assert!(matches!(removal, Ok(Err(Error::Unavailable { .. }))), "{removal:?}");
    // What was on its way comes late.
    proxy.open();
    corner.no_lease_is_left().await;
}
