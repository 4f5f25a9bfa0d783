//! `register` without a program, what it registers, and what it refuses.

use crate::kit::{Place, kill, ran};

#[tokio::test(flavor = "multi_thread")]
async fn without_a_program_it_holds_until_a_signal() {
    for place in Place::all().await {
        let line = ["register", "db", "--endpoint", "sql=tcp://10.0.0.7:5432", "--id", "1", "--metadata", "owner=ops"];
        let mut going = place.going(&line);
        assert_eq!(going.next(), "db/1 is registered");
        let listed = place.json(&["instances", "db"]).await;
        let instance = &listed["instances"][0];
        assert_eq!(instance["endpoints"]["sql"], "tcp://10.0.0.7:5432");
        assert_eq!(instance["metadata"]["owner"], "ops");
        going.signal("TERM");
        assert_eq!(going.code().await, 0);
        assert_eq!(place.leases().await, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_flags_say_stands_in_the_record() {
    let place = Place::ours().await;
    let line = [
        "register",
        "pay",
        "--port",
        "9000",
        "--address",
        "10.1.2.3",
        "--scheme",
        "https",
        "--id",
        "7",
        "--zone",
        "a",
        "--weight",
        "50",
        "--tag",
        "stable",
        "--tag",
        "blue",
        "--metadata",
        "k=v=w",
        "--version",
        "1.4.0",
        "--ttl",
        "1m",
        "-w",
        "json",
    ];
    let going = place.going(&line);
    let told = going.next_json();
    let listed = place.json(&["instances", "pay"]).await;
    let listed = &listed["instances"][0];
    assert_eq!(listed["endpoints"]["https"], "https://10.1.2.3:9000");
    assert_eq!((&listed["zone"], &listed["weight"], &listed["version"]), (&"a".into(), &50.into(), &"1.4.0".into()));
    assert_eq!((&listed["tags"][1], &listed["metadata"]["k"]), (&"stable".into(), &"v=w".into()));
    assert_eq!(listed["granted_ttl_seconds"], 60);
    for (name, value) in told.as_object().unwrap() {
        assert_eq!(listed[name], *value, "{name} is what it printed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_registered_is_told_before_the_program_runs() {
    let place = Place::ours().await;
    let refused = async |line: &[&str], words: &[&str]| {
        let ran = place.run(&[line, &["--", "sh", "-c", "echo ran"]].concat()).await;
        assert!(ran.code != 0 && ran.out.is_empty(), "{line:?}: {ran:?}");
        words.iter().for_each(|word| assert!(ran.err.contains(word), "{line:?}: {word:?} is not in {ran:?}"));
    };
    refused(&["register", "pay"], &["--port"]).await;
    refused(&["register", "pay/ments", "--port", "1"], &["pay/ments", "'/'"]).await;
    refused(&["register", "pay", "--port", "0"], &["port 0", "--port"]).await;
    refused(&["register", "pay", "--port", "1", "--address", "0.0.0.0"], &["0.0.0.0", "--address"]).await;
    refused(&["register", "pay", "--endpoint", "grpc=h"], &["grpc"]).await;
    refused(&["register", "pay", "--port", "1", "--check", "icmp"], &["icmp", "tcp"]).await;
    refused(&["register", "pay", "--port", "1", "--ttl", "0"], &["TTL", "1 s"]).await;
    let never = ["register", "pay", "--port", "1", "--check", "tcp", "--check-interval", "0s"];
    refused(&never, &["--check-interval", "above 0"]).await;
    let missing = place.run(&["register", "pay", "--port", "1", "--", "no-such-program"]).await;
    assert!(missing.code == 1 && missing.err.starts_with("Error: no-such-program: "), "{missing:?}");
    assert_eq!(place.leases().await, 0);
    let mixed = ran(&["--endpoints", "http://a:1,https://b:2", "register", "pay", "--port", "1"]).await;
    assert!(mixed.code == 128 && mixed.err.contains("--endpoints"), "{mixed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_removes_it_under_its_program_and_lets_it_back() {
    let place = Place::ours().await;
    let script = "echo $$; exec sleep 600";
    let mut going = place.going(&["register", "pay", "--port", "1", "--id", "1", "--", "sh", "-c", script]);
    let pid = going.next().parse().unwrap();
    let watch = place.watch("pay").await;
    crate::kit::shown(&watch, "it stands", |snapshot| snapshot.instance("1").is_some()).await;
    place.prints(&["remove", "pay", "1"]).await;
    assert!(going.next_error().contains("--undo"), "its own words name the mend");
    assert!(going.is_running());
    place.prints(&["remove", "pay", "1", "--undo"]).await;
    assert_eq!(going.next_error(), "pay/1 is registered again");
    kill("TERM", pid);
    assert_eq!(going.code().await, 128 + 15);
    assert_eq!(place.leases().await, 0, "nor is the tombstone's");
}
