//! `leases`: which there are, and those that nobody needs.

use crate::kit::{Place, until};

async fn grant(place: &Place, ttl: &str) -> String {
    place.prints(&["lease", "grant", ttl]).await.split_whitespace().nth(1).unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn leases_are_told_with_their_keys_and_what_remains() {
    for place in Place::all().await {
        let lease = grant(&place, "600").await;
        place.prints(&["put", "a", "1", "--lease", &lease]).await;
        place.prints(&["put", "b", "1", "--lease", &lease]).await;
        let json = place.json(&["leases"]).await;
        let told = &json["leases"][0];
        assert_eq!(
            (&told["lease"], &told["granted_ttl_seconds"], &told["keys"]),
            (&lease.as_str().into(), &600.into(), &2.into())
        );
        let remaining = told["remaining_ttl_seconds"].as_i64().unwrap();
        assert!((500..=600).contains(&remaining), "{remaining}");
        assert!(place.prints(&["leases"]).await.starts_with("LEASE             TTL  REMAINING  KEYS\n"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lease_of_a_deleted_key_is_found_and_revoked_and_no_other() {
    for place in Place::all().await {
        let (leaked, used) = (grant(&place, "600").await, grant(&place, "600").await);
        place.prints(&["put", "leaky", "1", "--lease", &leaked]).await;
        place.prints(&["put", "tidy", "1", "--lease", &used]).await;
        assert_eq!(place.prints(&["leases", "--orphans"]).await, "LEASE  TTL  REMAINING  KEYS\n");
        place.prints(&["del", "leaky"]).await;
        let json = place.json(&["leases", "--orphans", "--grace", "10ms"]).await;
        let orphans = json["leases"].as_array().unwrap();
        assert_eq!((orphans.len(), &orphans[0]["lease"]), (1, &leaked.as_str().into()), "{json}");
        assert_eq!(place.leases().await, 2, "looking changes nothing");
        let revoked = place.prints(&["leases", "--orphans", "--revoke", "--grace", "10ms"]).await;
        assert!(revoked.contains(&leaked) && revoked.contains("revoked") && !revoked.contains(&used), "{revoked}");
        let left = place.json(&["leases"]).await;
        assert_eq!((&left["leases"][0]["lease"], left["leases"].as_array().unwrap().len()), (&used.as_str().into(), 1));
        assert_eq!(place.prints(&["get", "tidy", "--print-value-only"]).await, "1\n");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_gets_its_key_within_the_grace_is_no_orphan() {
    let place = Place::ours().await;
    let lease = grant(&place, "600").await;
    let mut going = place.going(&["leases", "--orphans", "--revoke", "--grace", "3s", "-w", "json"]);
    assert!(going.next_error().starts_with("leases that hold no key: 1; looking again in 3s"));
    place.prints(&["put", "late", "1", "--lease", &lease]).await;
    assert!(going.is_running(), "it waits");
    assert_eq!(going.next_json()["leases"], serde_json::json!([]));
    assert_eq!(place.leases().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_revoked_has_to_be_asked_for_as_orphans() {
    let place = Place::ours().await;
    let lease = grant(&place, "600").await;
    let refused = place.run(&["leases", "--revoke"]).await;
    assert!(refused.code != 0 && refused.err.contains("--orphans"), "{refused:?}");
    until("it is there all the same", async || place.prints(&["leases"]).await.contains(&lease)).await;
}
