//! `watch-service`: each change is told once, whatever becomes of the connection and of history.

use serde_json::Value;

use crate::kit::{Going, Place};

const UP: &str = r#"{"version":1,"status":"up"}"#;
const DRAINING: &str = r#"{"version":1,"status":"draining"}"#;

async fn put(place: &Place, id: &str, record: &str) {
    place.prints(&["put", &format!("/services/pay/{id}"), record]).await;
}

async fn delete(place: &Place, id: &str) {
    place.prints(&["del", &format!("/services/pay/{id}")]).await;
}

/// Its events up to the next `synced`.
fn up_to_synced(watch: &Going) -> Vec<String> {
    let mut told = Vec::new();
    loop {
        let next = watch.next_json();
        if next["event"] == "synced" {
            return told;
        }
        told.push(name(&next));
    }
}

fn name(event: &Value) -> String {
    format!("{} {}", event["event"].as_str().unwrap(), event["id"].as_str().unwrap_or("-"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_is_told_first_and_then_each_change() {
    for place in Place::all().await {
        put(&place, "1", UP).await;
        put(&place, "2", "?").await;
        let watch = place.going(&["watch-service", "pay", "-w", "json"]);
        assert_eq!(up_to_synced(&watch), ["present 1", "unreadable 2"]);
        // As fast as they come: nothing is told as its outcome only.
        put(&place, "1", DRAINING).await;
        put(&place, "1", UP).await;
        delete(&place, "1").await;
        put(&place, "1", UP).await;
        delete(&place, "2").await;
        place.prints(&["put", "/services/payments/1", UP]).await;
        put(&place, "3", UP).await;
        let told: Vec<_> = (0..6).map(|_| watch.next_json()).collect();
        let expected = ["changed 1", "changed 1", "removed 1", "added 1", "removed 2", "added 3"];
        assert_eq!(told.iter().map(name).collect::<Vec<_>>(), expected, "{}", place.name);
        assert_eq!((&told[0]["before"]["status"], &told[0]["instance"]["status"]), (&"up".into(), &"draining".into()));
        let revisions: Vec<_> = told.iter().map(|event| event["revision"].as_i64().unwrap()).collect();
        assert!(revisions.is_sorted(), "{revisions:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn people_read_a_line_a_change() {
    let place = Place::ours().await;
    let watch = place.going(&["watch-service", "pay"]);
    assert_eq!(watch.next(), "1 synced pay 0 instances");
    put(&place, "1", UP).await;
    assert_eq!(watch.next(), "2 added pay/1 up weight=100");
    put(&place, "1", DRAINING).await;
    assert_eq!(watch.next(), "3 changed pay/1 status up -> draining");
    delete(&place, "1").await;
    assert_eq!(watch.next(), "4 removed pay/1 was draining");
    let refused = place.run(&["watch-service", "pay", "-w", "table"]).await;
    assert!(refused.code == 128 && refused.err.contains("-w json"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_goes_on_where_it_was_when_the_server_is_back() {
    let mut place = Place::ours().await;
    put(&place, "1", UP).await;
    let watch = place.going(&["watch-service", "pay", "-w", "json"]);
    assert_eq!(up_to_synced(&watch), ["present 1"]);
    put(&place, "2", UP).await;
    assert_eq!(name(&watch.next_json()), "added 2");
    place.stop().await;
    assert!(watch.next_error().contains("trying again"));
    place.restart().await;
    put(&place, "3", UP).await;
    delete(&place, "1").await;
    assert_eq!(
        [name(&watch.next_json()), name(&watch.next_json())],
        ["added 3", "removed 1"],
        "once, and nothing twice"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_compacted_meanwhile_is_told_as_a_gap_with_what_differs() {
    let mut place = Place::ours().await;
    for id in ["1", "2", "3"] {
        put(&place, id, UP).await;
    }
    let mut watch = place.going(&["watch-service", "pay", "-w", "json"]);
    assert_eq!(up_to_synced(&watch).len(), 3);
    place.stop().await;
    assert!(watch.next_error().contains("trying again"));
    // Nobody is told of what happens now, as the program stands still.
    watch.signal("STOP");
    place.restart().await;
    delete(&place, "1").await;
    put(&place, "2", DRAINING).await;
    put(&place, "4", UP).await;
    delete(&place, "3").await;
    put(&place, "3", UP).await;
    let json = place.json(&["get", "/services/pay/3"]).await;
    place.prints(&["compaction", &json["header"]["revision"].to_string()]).await;
    watch.signal("CONT");
    let gap = watch.next_json();
    assert_eq!(
        (name(&gap), &gap["reason"], &gap["since_revision"]),
        ("gap -".to_owned(), &"compacted".into(), &4.into())
    );
    assert_eq!(up_to_synced(&watch), ["removed 1", "changed 2", "replaced 3", "added 4"]);
    put(&place, "5", UP).await;
    assert_eq!(name(&watch.next_json()), "added 5");
    assert!(watch.is_running());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_member_is_asked_and_another_registry_is_told_as_a_gap() {
    let (mut first, second) = (Place::ours().await, Place::ours().await);
    put(&first, "1", UP).await;
    put(&first, "2", UP).await;
    put(&second, "2", UP).await;
    let both = format!("{},{}", first.url, second.url);
    let watch = Going::start(&["--endpoints", &both, "watch-service", "pay", "-w", "json"]);
    assert_eq!(up_to_synced(&watch), ["present 1", "present 2"]);
    first.stop().await;
    let gap = watch.next_json();
    assert!(gap["reason"].as_str().unwrap().contains("another registry"), "{gap}");
    assert_eq!(up_to_synced(&watch), ["removed 1", "replaced 2"], "its revisions are others");
    put(&second, "3", UP).await;
    assert_eq!(name(&watch.next_json()), "added 3");
}
