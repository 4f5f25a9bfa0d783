//! `register` beside a program: from its start to its end.

use std::time::Duration;

use registry_client::{ServiceWatch, Status};
use tokio::time::Instant;

use crate::kit::{Going, Place, kill, shown, until};

const REGISTER: [&str; 5] = ["register", "pay", "--port", "9000", "--id"];
/// As the issue has it.
const GONE_WITHIN: Duration = Duration::from_millis(100);
const ROUNDS: usize = 5;
/// How often it is measured before it is believed that it takes longer: a machine may be busy for a while.
const MEASUREMENTS: usize = 3;

/// Tells its process id, and stays.
const SLEEPS: [&str; 4] = ["--", "sh", "-c", "echo $$; exec sleep 600"];

fn sleeper(place: &Place, id: &str, more: &[&str]) -> (Going, u32) {
    let going = place.going(&[&REGISTER[..], &[id], more, &SLEEPS].concat());
    let pid = going.next().parse().unwrap();
    (going, pid)
}

async fn stands(watch: &ServiceWatch, id: &str) {
    shown(watch, "it is registered", |snapshot| snapshot.instance(id).is_some()).await;
}

async fn gone(watch: &ServiceWatch, id: &str) {
    shown(watch, "it is gone", |snapshot| snapshot.instance(id).is_none()).await;
}

/// From a program's end until its instance is gone, several times, sorted.
async fn times_to_be_gone(place: &Place, watch: &ServiceWatch) -> Vec<Duration> {
    let before = place.leases().await;
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let (mut going, pid) = sleeper(place, "1", &[]);
        stands(watch, "1").await;
        assert_eq!(place.leases().await, before + 1);
        // A little before the program's end, so that no figure is better than it is.
        let killed = Instant::now();
        kill("KILL", pid);
        gone(watch, "1").await;
        times.push(killed.elapsed());
        assert_eq!(going.code().await, 128 + 9, "as shells tell of SIGKILL");
        assert_eq!(place.leases().await, before, "its lease is given back");
    }
    times.sort_unstable();
    times
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_is_there_while_its_program_runs_and_gone_within_100_ms_of_its_end() {
    for place in Place::all().await {
        let watch = place.watch("pay").await;
        let mut measured = Vec::new();
        for _ in 0..MEASUREMENTS {
            let times = times_to_be_gone(&place, &watch).await;
            let (best, median, worst) = (times[0], times[ROUNDS / 2], times[ROUNDS - 1]);
            eprintln!(
                "{}: gone after the program's end: best {best:?}, median {median:?}, worst {worst:?}",
                place.name
            );
            measured.push(median);
            if median <= GONE_WITHIN {
                break;
            }
        }
        assert!(measured.iter().any(|median| *median <= GONE_WITHIN), "medians {measured:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exit_code_is_passed_on() {
    for place in Place::all().await {
        let watch = place.watch("pay").await;
        let done = tempfile::tempdir().unwrap();
        let file = done.path().join("done");
        let script = format!("while ! test -e {}; do sleep 0.02; done; exit $REGISTRY_INSTANCE", file.display());
        let mut going = place.going(&[&REGISTER[..], &["37", "--", "sh", "-c", &script]].concat());
        stands(&watch, "37").await;
        tokio::fs::write(&file, "").await.unwrap();
        assert_eq!(going.code().await, 37, "of a program that finds its names");
        // Before it was registered, maybe: then nothing stays all the same.
        assert_eq!(place.run(&[&REGISTER[..], &["2", "--", "sh", "-c", "exit 3"]].concat()).await.code, 3);
        assert_eq!(place.run(&[&REGISTER[..], &["2", "--", "true"]].concat()).await.code, 0);
        until("no lease is left", async || place.leases().await == 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_are_passed_on_and_the_program_decides() {
    let place = Place::ours().await;
    let watch = place.watch("pay").await;
    let traps = "for s in HUP INT TERM QUIT USR1 USR2; do trap \"echo got $s; exit 21\" $s; done";
    let script = format!("{traps}; echo ready; while :; do sleep 0.02; done");
    for signal in ["HUP", "INT", "TERM", "QUIT", "USR1", "USR2"] {
        let mut going = place.going(&[&REGISTER[..], &["1", "--", "sh", "-c", &script]].concat());
        assert_eq!(going.next(), "ready");
        going.signal(signal);
        assert_eq!(going.next(), format!("got {signal}"));
        assert_eq!(going.code().await, 21, "{signal}");
    }
    let (mut going, _) = sleeper(&place, "2", &[]);
    stands(&watch, "2").await;
    going.signal("TERM");
    assert_eq!(going.code().await, 128 + 15, "it died of it");
    gone(&watch, "2").await;
    assert_eq!(place.leases().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_kill_9_the_ttl_is_the_bound() {
    for place in Place::all().await {
        let watch = place.watch("pay").await;
        let (mut going, pid) = sleeper(&place, "1", &["--ttl", "2"]);
        stands(&watch, "1").await;
        going.signal("KILL");
        going.ended().await;
        assert!(watch.snapshot().instance("1").is_some(), "nobody could revoke it");
        gone(&watch, "1").await;
        assert_eq!(place.leases().await, 0);
        kill("KILL", pid);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_outlives_the_servers_absence() {
    let mut place = Place::ours().await;
    place.stop().await;
    // The program does not wait for the registry.
    let (mut going, pid) = sleeper(&place, "1", &["--ttl", "2"]);
    assert!(going.next_error().contains("pay/1 is not registered yet"));
    place.restart().await;
    let watch = place.watch("pay").await;
    stands(&watch, "1").await;
    place.stop().await;
    // Longer than the TTL, by its own clock, so that it knows that its lease is in doubt.
    while !going.next_error().contains("TTL has passed") {}
    place.restart().await;
    while going.next_error() != "pay/1 is registered again" {}
    let listed = place.json(&["instances", "pay"]).await;
    assert_eq!((&listed["instances"][0]["id"], going.is_running()), (&"1".into(), true));
    kill("TERM", pid);
    assert_eq!(going.code().await, 128 + 15);
    assert_eq!(place.leases().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_is_taken_ends_the_program_or_is_taken_over() {
    let place = Place::ours().await;
    let watch = place.watch("pay").await;
    let (mut first, _) = sleeper(&place, "1", &[]);
    stands(&watch, "1").await;
    let script = "trap 'exit 0' TERM; while :; do sleep 0.02; done";
    let refused = place.run(&[&REGISTER[..], &["1", "--", "sh", "-c", script]].concat()).await;
    assert!(
        refused.code == 1 && refused.err.contains("/services/pay/1") && refused.err.contains("held"),
        "{refused:?}"
    );
    let (mut second, pid) = sleeper(&place, "1", &["--on-conflict", "take-over"]);
    assert_eq!(first.code().await, 1, "its registration is lost for good");
    assert_eq!(place.leases().await, 1);
    kill("TERM", pid);
    assert_eq!(second.code().await, 128 + 15);
    assert_eq!(place.leases().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_decides_whether_it_is_shown_as_up() {
    let place = Place::ours().await;
    let watch = place.watch("pay").await;
    let probed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = probed.local_addr().unwrap();
    drop(probed);
    let check = format!("tcp://{address}");
    let (_going, _) = sleeper(&place, "1", &["--check", &check, "--check-interval", "100ms"]);
    let is = |status| {
        move |snapshot: &registry_client::Snapshot| {
            snapshot.instance("1").is_some_and(|instance| instance.status() == status)
        }
    };
    shown(&watch, "it starts", is(Status::Starting)).await;
    let probed = tokio::net::TcpListener::bind(address).await.unwrap();
    shown(&watch, "it is up", is(Status::Up)).await;
    drop(probed);
    shown(&watch, "it is down", is(Status::Down)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_drains_before_its_program_is_told_to_end() {
    let place = Place::ours().await;
    let watch = place.watch("pay").await;
    let script = "trap 'echo told; exit 0' TERM; echo ready; while :; do sleep 0.02; done";
    let mut going = place.going(&[&REGISTER[..], &["1", "--drain", "600s", "--", "sh", "-c", script]].concat());
    assert_eq!(going.next(), "ready");
    stands(&watch, "1").await;
    going.signal("TERM");
    shown(&watch, "it drains", |snapshot| {
        snapshot.instance("1").is_some_and(|instance| instance.status() == Status::Draining)
    })
    .await;
    assert!(going.is_running());
    // Whoever asks again will not wait.
    going.signal("TERM");
    assert_eq!(going.next(), "told");
    assert_eq!(going.code().await, 0);
    gone(&watch, "1").await;
}
