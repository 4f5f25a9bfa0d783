//! `drain` and `remove`, as balancers see them.

use std::time::Duration;

use registry_client::{Instance, Registration, Selector, Snapshot, Status};

use crate::kit::{Place, shown};

async fn registered(place: &Place, id: &str) -> Registration {
    let instance = Instance::builder("pay").id(id).endpoint("grpc", "http://10.0.0.7:1").zone("a").build().unwrap();
    place.registry().register(instance).ttl(Duration::from_secs(600)).await.unwrap()
}

fn has(id: &'static str, status: Status) -> impl Fn(&Snapshot) -> bool {
    move |snapshot| snapshot.instance(id).is_some_and(|instance| instance.status() == status)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_instance_gets_no_new_requests_and_keeps_its_lease() {
    for place in Place::all().await {
        let (_first, _second) = (registered(&place, "1").await, registered(&place, "2").await);
        let watch = place.watch("pay").await;
        let view = watch.select(Selector::endpoint("grpc"));
        let before = place.json(&["instances", "pay"]).await;
        let told = place.prints(&["drain", "pay", "1"]).await;
        assert_eq!(told, "ID  WAS  STATUS\n1   up   draining\n");
        shown(&watch, "it drains", has("1", Status::Draining)).await;
        assert_eq!(view.snapshot().instances().len(), 1, "balancers are left with the other");
        let after = place.json(&["instances", "pay"]).await;
        for same in ["lease", "zone", "endpoints", "create_revision"] {
            assert_eq!(before["instances"][0][same], after["instances"][0][same], "{same}");
        }
        assert!(place.prints(&["drain", "pay", "1"]).await.contains("draining  draining"), "twice is once");
        place.prints(&["drain", "pay"]).await;
        shown(&watch, "all drain", has("2", Status::Draining)).await;
        place.prints(&["drain", "pay", "--undo"]).await;
        shown(&watch, "they are up", |now| has("1", Status::Up)(now) && has("2", Status::Up)(now)).await;
        assert_eq!(view.snapshot().instances().len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn draining_keeps_what_others_have_written_into_the_record() {
    let place = Place::ours().await;
    let record = r#"{"version":1,"status":"up","endpoints":{"b":{"url":"http://h:2"},"a":{"url":"http://h:1"}},"owner":{"by":"ops"}}"#;
    place.prints(&["put", "/services/pay/1", record]).await;
    place.prints(&["put", "/services/pay/2", "?"]).await;
    let told = place.run(&["drain", "pay"]).await;
    assert!(told.err.contains("pay/2 is left alone"), "{told:?}");
    let value = place.prints(&["get", "/services/pay/1", "--print-value-only"]).await;
    assert!(value.contains(r#""owner":{"by":"ops"}"#) && value.contains(r#""status":"draining""#), "{value}");
    assert!(value.find(r#""b":"#) < value.find(r#""a":"#), "in their order: {value}");
    assert_eq!(place.prints(&["get", "/services/pay/2", "--print-value-only"]).await, "?\n");
    let missing = place.run(&["drain", "pay", "3"]).await;
    assert!(missing.code == 1 && missing.err.contains("among those it has are 1, 2"), "{missing:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_instance_does_not_heal_until_it_is_let_back() {
    for place in Place::all().await {
        let registration = registered(&place, "1").await;
        let watch = place.watch("pay").await;
        let leases = place.leases().await;
        let told = place.prints(&["remove", "pay", "1", "--reason", "disk is dying"]).await;
        assert!(told.ends_with("pay      1   removed\n"), "{told}");
        shown(&watch, "it is gone", |snapshot| snapshot.instances().is_empty()).await;
        let entombed =
            |error: Option<&registry_client::Error>| matches!(error, Some(registry_client::Error::Tombstone { .. }));
        registration.state().wait_for(|state| entombed(state.error())).await.unwrap();
        assert!(watch.snapshot().instances().is_empty(), "its process has tried, and was kept away");
        let removed = place.json(&["instances", "pay", "--removed"]).await;
        assert_eq!(
            (&removed["removed"][0]["id"], &removed["removed"][0]["reason"]),
            (&"1".into(), &"disk is dying".into())
        );
        let other = place.run(&["remove", "pay", "2", "--undo"]).await;
        assert!(other.code == 1 && other.err.contains("pay/2 is not kept away, but 1"), "{other:?}");
        assert!(place.prints(&["remove", "pay", "1", "--undo"]).await.contains("let back"));
        shown(&watch, "it is back", has("1", Status::Up)).await;
        assert_eq!(place.leases().await, leases, "the tombstone's lease is gone with it");
        let absent = place.prints(&["remove", "pay", "9", "--lasting", "2"]).await;
        assert!(absent.contains("was not there"), "{absent}");
    }
}
