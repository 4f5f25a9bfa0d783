//! `services` and `instances`: what they tell, in every form, and of what is not there.

use crate::kit::{Place, ran};

fn register(place: &Place, service: &str, id: &str, more: &[&str]) -> crate::kit::Going {
    let going =
        place.going(&[&["register", service, "--port", "9000", "--address", "10.0.0.7", "--id", id], more].concat());
    assert_eq!(going.next(), format!("{service}/{id} is registered"));
    going
}

#[tokio::test(flavor = "multi_thread")]
async fn services_have_their_instances_counted_by_status() {
    for place in Place::all().await {
        let _held = [register(&place, "pay", "1", &[]), register(&place, "pay", "2", &[])];
        let _other = register(&place, "payments", "1", &[]);
        for (id, status) in [("3", "starting"), ("4", "down"), ("5", "napping")] {
            let record = format!("{{\"version\":1,\"status\":\"{status}\"}}");
            place.prints(&["put", &format!("/services/pay/{id}"), &record]).await;
        }
        place.prints(&["put", "/services/pay/6", "what is this"]).await;
        place.prints(&["drain", "pay", "2"]).await;
        let expected = "\
SERVICE   INSTANCES  UP  STARTING  DRAINING  DOWN  UNKNOWN  UNREADABLE
pay       6          1   1         1         1     1        1
payments  1          1   0         0         0     0        0
";
        assert_eq!(place.prints(&["services"]).await, expected, "{}", place.name);
        let json = place.json(&["services"]).await;
        assert_eq!((&json["services"][0]["draining"], &json["services"][1]["up"]), (&1.into(), &1.into()));
        assert!(place.prints(&["services", "-w", "table"]).await.contains("|      pay |         6 |"));
        assert!(
            place.prints(&["services", "-w", "fields"]).await.starts_with("\"SERVICE\" : \"pay\"\n\"INSTANCES\" : 6\n")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_services_than_fit_into_one_answer_are_all_counted() {
    let place = Place::ours().await;
    let registry = place.registry();
    let instance = |number: usize| {
        registry_client::Instance::builder(format!("s{:03}", number / 10)).id(number.to_string()).build().unwrap()
    };
    let _all = registry.register_all((0..1_230).map(instance)).await.unwrap();
    let json = place.json(&["services"]).await;
    let services = json["services"].as_array().unwrap();
    assert_eq!(services.len(), 123);
    assert!(services.iter().all(|service| service["up"] == 10), "{services:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_is_told_with_its_lease_and_what_remains_of_it() {
    for place in Place::all().await {
        let more = ["--zone", "a", "--version", "1.4", "--tag", "blue", "--metadata", "k=v", "--ttl", "600"];
        let _held = register(&place, "pay", "1", &more);
        place.prints(&["put", "/services/pay/2", "?"]).await;
        let told = place.run(&["instances", "pay"]).await;
        let lines: Vec<Vec<_>> = told.out.lines().map(|line| line.split_whitespace().collect()).collect();
        let head = ["ID", "STATUS", "ADDRESS", "ZONE", "VERSION", "WEIGHT", "LEASE", "TTL", "TAGS", "METADATA"];
        assert_eq!(lines[0], head);
        assert_eq!(lines[1][..6], ["1", "up", "http://10.0.0.7:9000", "a", "1.4", "100"]);
        assert_eq!(lines[1][8..], ["blue", "k=v"]);
        let ttl = lines[1][7].strip_suffix("/600").unwrap().parse::<u64>().unwrap();
        assert!((500..=600).contains(&ttl), "{ttl}");
        let lease = place.prints(&["lease", "timetolive", "--keys", lines[1][6]]).await;
        assert!(lease.contains("attached keys([/services/pay/1])"), "{lease}");
        assert_eq!(lines[2][..2], ["2", "unreadable"]);
        assert!(told.err.contains("pay/2 cannot be read: not an instance record"), "{told:?}");
        let json = place.json(&["instances", "pay"]).await;
        assert_eq!(
            (&json["instances"][0]["lease"], &json["instances"][1]["status"]),
            (&lines[1][6].into(), &"unreadable".into())
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_not_there_is_told_with_those_that_are() {
    let place = Place::ours().await;
    let nothing = place.run(&["instances", "pay"]).await;
    assert!(
        nothing.code == 1 && nothing.err.contains("there is no service") && nothing.err.contains("--namespace"),
        "{nothing:?}"
    );
    let _held = register(&place, "payments", "1", &["--namespace", "/prod/"]);
    let told = place.run(&["instances", "pay", "--namespace", "/prod"]).await;
    assert_eq!(told.err, "Error: pay has no instance in /prod; there are payments\n");
    assert_eq!(place.prints(&["services"]).await.lines().count(), 1, "another namespace's is not among them");
    assert!(place.prints(&["services", "--namespace", "/prod"]).await.contains("payments"));
    let wrong = place.run(&["instances", "pay/ments"]).await;
    assert!(wrong.code == 128 && wrong.err.contains("pay/ments"), "{wrong:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_says_how_it_is_used_and_which_address_does_not_answer() {
    let lines: [(&str, &[&str]); 7] = [
        ("services", &[]),
        ("instances", &["pay"]),
        ("watch-service", &["pay"]),
        ("register", &["pay", "--port", "1"]),
        ("drain", &["pay"]),
        ("remove", &["pay", "1"]),
        ("leases", &[]),
    ];
    for (command, arguments) in lines {
        let help = ran(&[command, "--help"]).await;
        assert!(help.out.contains(&format!("Examples:\n  registryctl {command}")), "{help:?}");
        if command != "register" {
            let away = ran(&[&["--endpoints", "127.0.0.1:1", command], arguments].concat()).await;
            assert!(away.code == 2 && away.err.contains("127.0.0.1:1"), "{away:?}");
        }
    }
}
