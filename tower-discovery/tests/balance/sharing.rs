//! How requests are shared out: weights, warm-up, ejection, zones, subsets, keys.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use registry_client::{Instance, Publisher};
use tower::ServiceExt;
use tower_discovery::{
    Affinity, Balance, DiscoveryLayer, FailurePercentage, LoadMetric, OutlierEjection, ServedBy, Zone,
};
use tower_layer::Layer;

use crate::kit::{Behaviour, Connection, Fleet, ask, connected, eventually, instance, pay};

/// How many of `requests` requests, one after the other, went to each of these.
async fn shares<const N: usize>(channel: &Balance<Connection>, ids: [&str; N], requests: usize) -> [usize; N] {
    let mut shares = [0; N];
    for _ in 0..requests {
        let (id, _) = ask(channel).await.unwrap();
        shares[ids.iter().position(|known| *known == id).unwrap()] += 1;
    }
    shares
}

pub(crate) fn put_all(publisher: &mut Publisher, ids: &[&str]) {
    publisher.replace(ids.iter().zip(1..).map(|(id, port)| instance(id, port)));
}

fn weighing(id: &str, weight: u32) -> Instance {
    let mut instance = instance(id, 1);
    instance.set_weight(weight);
    instance
}

#[tokio::test(start_paused = true)]
async fn g16_shares_follow_a_changed_weight_over_the_same_connection() {
    let fleet = Fleet::default();
    let (view, mut publisher) = pay();
    publisher.replace([weighing("a", 10), weighing("b", 90)]);
    let channel = DiscoveryLayer::new(view).served_by(true).load(LoadMetric::pending_requests()).layer(fleet.clone());
    connected(&channel, &["a", "b"]).await;
    let [a, _] = shares(&channel, ["a", "b"], 2_000).await;
    assert!((140..260).contains(&a), "{a}");

    publisher.put(weighing("b", 10));
    channel.wait_until(|targets| targets.iter().all(|target| target.instance().weight() == 10)).await;
    let [a, _] = shares(&channel, ["a", "b"], 2_000).await;
    assert!((880..1_120).contains(&a), "{a}");
    assert_eq!((fleet.connects("a"), fleet.connects("b")), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn weights_can_be_left_out_of_account() {
    let (view, mut publisher) = pay();
    publisher.replace([weighing("a", 0), weighing("b", 90)]);
    let channel = DiscoveryLayer::new(view).served_by(true).weights(false).layer(Fleet::default());
    connected(&channel, &["a", "b"]).await;
    let [a, _] = shares(&channel, ["a", "b"], 2_000).await;
    assert!((880..1_120).contains(&a), "{a}");
}

#[tokio::test(start_paused = true)]
async fn the_share_of_a_new_endpoint_ramps_up() {
    let fleet = Fleet::default();
    let (view, mut publisher) = pay();
    publisher.put(instance("old", 1));
    let channel = DiscoveryLayer::new(view).served_by(true).slow_start(Duration::from_secs(100)).layer(fleet.clone());
    connected(&channel, &["old"]).await;
    publisher.put(instance("new", 2));
    connected(&channel, &["new", "old"]).await;

    let [new, _] = shares(&channel, ["new", "old"], 2_000).await;
    assert!((120..250).contains(&new), "a tenth of the other's: {new}");
    tokio::time::sleep(Duration::from_secs(50)).await;
    let [new, _] = shares(&channel, ["new", "old"], 2_000).await;
    assert!((580..750).contains(&new), "half of the other's: {new}");
    tokio::time::sleep(Duration::from_secs(51)).await;
    let [new, _] = shares(&channel, ["new", "old"], 2_000).await;
    assert!((880..1_120).contains(&new), "as much as the other: {new}");

    fleet.cut("new");
    eventually(|| fleet.connects("new") == 2).await;
    connected(&channel, &["new", "old"]).await;
    let [new, _] = shares(&channel, ["new", "old"], 2_000).await;
    assert!((880..1_120).contains(&new), "it is not new once more: {new}");
}

/// Ejects after a second whatever fails most of its requests.
pub(crate) fn strict() -> OutlierEjection {
    OutlierEjection {
        interval: Duration::from_secs(1),
        max_ejection_percent: 100,
        success_rate: None,
        failure_percentage: Some(FailurePercentage {
            threshold: 50,
            enforcement: 100,
            minimum_hosts: 1,
            request_volume: 1,
        }),
        ..OutlierEjection::default()
    }
}

/// Sends requests for these seconds; more than enough for a penalty to fade.
pub(crate) async fn ask_for(channel: &Balance<Connection>, seconds: u32) {
    for _ in 0..seconds * 10 {
        ask(channel).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_outlier_gets_no_requests_until_its_time_is_over() {
    let fleet = Fleet::default();
    fleet.set("bad", Behaviour::Fail);
    let (view, mut publisher) = pay();
    put_all(&mut publisher, &["bad", "b", "c"]);
    let channel = DiscoveryLayer::new(view).served_by(true).outlier_ejection(strict()).layer(fleet.clone());
    connected(&channel, &["b", "bad", "c"]).await;
    ask_for(&channel, 2).await;
    let before = fleet.requests("bad");
    assert!(before > 0);

    fleet.set("bad", Behaviour::Serve);
    ask_for(&channel, 27).await;
    assert_eq!(fleet.requests("bad"), before, "it is ejected for 30 s");
    ask_for(&channel, 10).await;
    assert!(fleet.requests("bad") > before, "it is back");
    assert_eq!(fleet.connects("bad"), 1, "it was connected all the time");
}

#[tokio::test(start_paused = true)]
async fn with_too_few_usable_endpoints_ejections_are_ignored() {
    for (threshold, is_ignored) in [(0.5, true), (0.3, false)] {
        let fleet = Fleet::default();
        fleet.set("a", Behaviour::Fail);
        fleet.set("b", Behaviour::Fail);
        let (view, mut publisher) = pay();
        put_all(&mut publisher, &["a", "b", "c"]);
        let layer = DiscoveryLayer::new(view).served_by(true).outlier_ejection(strict()).panic_threshold(threshold);
        let channel = layer.layer(fleet.clone());
        connected(&channel, &["a", "b", "c"]).await;
        ask_for(&channel, 3).await;
        let before = fleet.requests("a") + fleet.requests("b");
        assert!(before >= 2, "both have failed");
        ask_for(&channel, 20).await;
        let after = fleet.requests("a") + fleet.requests("b");
        assert_eq!(after > before, is_ignored, "with one of three left and a threshold of {threshold}");
    }
}

#[tokio::test(start_paused = true)]
async fn requests_stay_in_the_zone_until_it_has_too_few_endpoints() {
    let fleet = Fleet::default();
    let (view, mut publisher) = pay();
    let of_zone = |id: &str, zone: &str| {
        let mut instance = instance(id, 1);
        instance.set_zone(zone);
        instance
    };
    publisher.replace([of_zone("a1", "a"), of_zone("a2", "a"), of_zone("b1", "b"), instance("none", 1)]);
    let layer = DiscoveryLayer::new(view).served_by(true).locality(Zone::prefer("a"));
    let channel = layer.layer(fleet.clone());
    let ids = ["a1", "a2", "b1", "none"];
    connected(&channel, &ids).await;
    let [one, two, ..] = shares(&channel, ids, 2_000).await;
    assert_eq!(one + two, 2_000);

    fleet.set("a1", Behaviour::Refuse);
    fleet.cut("a1");
    eventually(|| fleet.connects("a1") > 1).await;
    let [gone, left, ..] = shares(&channel, ids, 2_000).await;
    assert_eq!(gone, 0);
    assert!((1_300..1_500).contains(&left), "half of the zone takes 70% of the requests: {left}");

    fleet.set("a2", Behaviour::Refuse);
    fleet.cut("a2");
    let [.., b1, none] = shares(&channel, ids, 2_000).await;
    assert!(b1 > 800 && none > 800, "{b1} and {none}");
}

#[tokio::test(start_paused = true)]
async fn a_zone_that_was_given_no_weight_gets_no_requests_while_another_has_some() {
    let fleet = Fleet::default();
    let (view, mut publisher) = pay();
    let of_zone = |id: &str, zone: &str, weight| {
        let mut instance = weighing(id, weight);
        instance.set_zone(zone);
        instance
    };
    publisher.replace([of_zone("a1", "a", 0), of_zone("a2", "a", 0), of_zone("b1", "b", 10)]);
    let channel = DiscoveryLayer::new(view).served_by(true).locality(Zone::prefer("a")).layer(fleet.clone());
    let ids = ["a1", "a2", "b1"];
    connected(&channel, &ids).await;
    assert_eq!(shares(&channel, ids, 500).await, [0, 0, 500]);

    publisher.put(of_zone("b1", "b", 0));
    channel.wait_until(|targets| targets.iter().all(|target| target.instance().weight() == 0)).await;
    let [.., b1] = shares(&channel, ids, 500).await;
    assert_eq!(b1, 0, "where no weight tells them apart, the zone does");

    publisher.put(of_zone("b1", "b", 10));
    channel.wait_until(|targets| targets.iter().any(|target| target.instance().weight() == 10)).await;
    fleet.set("b1", Behaviour::Refuse);
    fleet.cut("b1");
    let [.., b1] = shares(&channel, ids, 500).await;
    assert_eq!(b1, 0);
}

#[tokio::test(start_paused = true)]
async fn a_subset_is_connected_and_one_that_is_down_is_stood_in_for() {
    let fleet = Fleet::default();
    let (view, mut publisher) = pay();
    let ids: Vec<_> = (0..40).map(|n| format!("{n:02}")).collect();
    publisher.replace(ids.iter().map(|id| instance(id, 1)));
    let channel = DiscoveryLayer::new(view).served_by(true).subset(5).client_id("host-1").layer(fleet.clone());
    let five = channel.wait_until(|targets| targets.len() == 5).await;
    let ids_of = |targets: &[tower_discovery::Target]| {
        let mut ids: Vec<_> = targets.iter().map(|target| target.key().id().to_owned()).collect();
        ids.sort();
        ids
    };
    let chosen = ids_of(&five);
    let readiness = channel.ready_when(|standing| standing.known.is_some_and(|known| standing.connected * 2 >= known));
    assert!(readiness.is_ready(), "of those that it connects to all are connected: {readiness:?}");
    assert_eq!(readiness.standing().known, Some(5));
    assert_eq!(ids.iter().map(|id| fleet.connects(id)).sum::<usize>(), 5, "nobody else was connected to");

    fleet.set(&chosen[0], Behaviour::Refuse);
    fleet.cut(&chosen[0]);
    let others = channel.wait_until(|targets| targets.len() == 5 && !ids_of(targets).contains(&chosen[0])).await;
    assert_eq!(ids_of(&others).iter().filter(|id| chosen.contains(id)).count(), 4, "only one place has changed");

    fleet.set(&chosen[0], Behaviour::Serve);
    channel.wait_until(|targets| ids_of(targets) == chosen).await;
}

#[tokio::test(start_paused = true)]
async fn a_subset_whose_lost_endpoints_are_all_stood_in_for_is_whole() {
    let fleet = Fleet::default();
    let (view, mut publisher) = pay();
    let ids: Vec<_> = (0..40).map(|n| format!("{n:02}")).collect();
    let of_zone = |id: &String| {
        let mut instance = instance(id, 1);
        instance.set_zone(if id.as_str() < "30" { "a" } else { "b" });
        instance
    };
    publisher.replace(ids.iter().map(of_zone));
    let layer = DiscoveryLayer::new(view).served_by(true).subset(4).client_id("host-1").locality(Zone::prefer("a"));
    let layer = layer.outlier_ejection(strict()).panic_threshold(0.7);
    let channel = layer.layer(fleet.clone());
    let is_near = |target: &tower_discovery::Target| target.instance().zone() == Some("a");
    let count_near = |targets: &[tower_discovery::Target]| targets.iter().filter(|target| is_near(target)).count();
    let first = channel.wait_until(|targets| targets.len() == 8).await;
    for target in first.iter().filter(|target| is_near(target)) {
        fleet.set(target.key().id(), Behaviour::Refuse);
        fleet.cut(target.key().id());
    }
    let is_new = |target: &tower_discovery::Target| first.iter().all(|old| old.key() != target.key() || !is_near(old));
    let now = channel.wait_until(|targets| count_near(targets) == 4 && targets.iter().all(is_new)).await;
    assert_eq!(channel.readiness().standing().known, Some(12), "four are down, and tried");
    for _ in 0..500 {
        let (id, _) = ask(&channel).await.unwrap();
        assert!(id.as_str() < "30", "the zone has all that it should have, and {id} was asked");
    }

    // Seven of eight are more than the threshold, of twelve they would be less.
    let bad = now.iter().find(|target| is_near(target)).unwrap().key().id().to_owned();
    fleet.set(&bad, Behaviour::Fail);
    // Its first failure may count beside the answers of before; the next comes when the first is forgiven, after about five seconds.
    ask_for(&channel, 10).await;
    let before = fleet.requests(&bad);
    ask_for(&channel, 15).await;
    assert_eq!(fleet.requests(&bad), before, "it is ejected");
}

#[tokio::test(start_paused = true)]
async fn a_subset_of_endpoints_that_are_all_down_tries_a_few_at_a_time_and_finds_the_first_that_is_back() {
    let fleet = Fleet::default();
    let (view, mut publisher) = pay();
    let ids: Vec<_> = (0..200).map(|n| format!("{n:03}")).collect();
    ids.iter().for_each(|id| fleet.set(id, Behaviour::Refuse));
    publisher.replace(ids.iter().map(|id| instance(id, 1)));
    let channel = DiscoveryLayer::new(view).served_by(true).subset(5).client_id("host-1").layer(fleet.clone());
    eventually(|| ids.iter().all(|id| fleet.connects(id) > 0)).await;
    assert!(channel.readiness().standing().known.is_some_and(|known| known <= 15), "{:?}", channel.readiness());
    for id in ["003", "117", "199"] {
        fleet.set(id, Behaviour::Serve);
        let is_back = |targets: &[tower_discovery::Target]| targets.iter().any(|target| target.key().id() == id);
        tokio::time::timeout(Duration::from_secs(60), channel.wait_until(is_back)).await.expect("it is found");
    }
}

/// Who serves a user's request.
async fn server_of(channel: &Balance<Connection>, user: usize) -> String {
    let request = Request::post("/").header("x-user", user).body(Full::new(Bytes::new())).unwrap();
    let response = channel.clone().oneshot(request).await.unwrap();
    response.extensions().get::<ServedBy>().unwrap().target().key().id().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_users_requests_go_to_one_endpoint_while_it_can_take_them() {
    let fleet = Fleet::default();
    let ids = ["a", "b", "c", "d"];
    let (view, mut publisher) = pay();
    put_all(&mut publisher, &ids);
    let layer = DiscoveryLayer::new(view).served_by(true).affinity(Affinity::header("x-user"));
    let (channel, other) = (layer.layer(fleet.clone()), layer.layer(fleet.clone()));
    connected(&channel, &ids).await;
    connected(&other, &ids).await;
    let mut homes = Vec::new();
    for user in 0..200 {
        let home = server_of(&channel, user).await;
        assert_eq!(server_of(&channel, user).await, home);
        assert_eq!(server_of(&other, user).await, home, "all clients agree");
        homes.push(home);
    }
    assert!(ids.iter().all(|id| homes.iter().filter(|home| home == id).count() > 25));
    let spread = shares(&channel, ids, 400).await;
    assert!(spread.iter().all(|&share| share > 50), "requests without a user go anywhere: {spread:?}");

    fleet.set("b", Behaviour::Refuse);
    // The last connection to it is the other client's.
    fleet.cut("b");
    for (user, home) in homes.iter().enumerate() {
        let now = server_of(&other, user).await;
        assert!(now != "b" && (home == "b" || now == *home), "only users of the lost endpoint move");
    }
}

#[tokio::test(start_paused = true)]
async fn no_key_belongs_to_an_ejected_endpoint() {
    let fleet = Fleet::default();
    fleet.set("bad", Behaviour::Fail);
    let (view, mut publisher) = pay();
    put_all(&mut publisher, &["bad", "b", "c"]);
    let layer = DiscoveryLayer::new(view)
        .served_by(true)
        .outlier_ejection(strict())
        .affinity(Affinity::header("x-user").bound(1e9));
    let channel = layer.layer(fleet.clone());
    connected(&channel, &["b", "bad", "c"]).await;
    for user in 0..50 {
        server_of(&channel, user).await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = fleet.requests("bad");
    for user in 0..50 {
        assert_ne!(server_of(&channel, user).await, "bad");
    }
    assert!(before > 0);
}
