//! Members that are added, promoted and removed, one at a time: none of it holds up a write.

use std::time::Duration;

use registry_proto::etcdserverpb::{RangeRequest, SnapshotRequest};
use registry_tests::budget::SOON;
use registry_tests::requests::{key, put};
use registry_tests::{Cluster, Plan, eventually, refusal};
use tokio::time::timeout;
use tonic::Code;

use crate::pulse::Pulse;
use crate::{start, start_as};

const NOT_STARTED: &str = "etcdserver: re-configuration failed due to not enough started members";
const NOT_IN_SYNC: &str = "etcdserver: can only promote a learner member which is in sync with leader";
const NO_LEARNER: &str = "etcdserver: can only promote a learner member";
const TOO_MANY_LEARNERS: &str = "etcdserver: too many learner members in cluster";

/// Longer than a write takes.
const A_WHILE: Duration = Duration::from_secs(1);

/// The ids of the members and whether they are learners, as every member lists them.
async fn listed(cluster: &Cluster) -> Vec<(u64, bool)> {
    let mut lists = Vec::new();
    for member in cluster.alive() {
        let listed = cluster.listed_by(member).await;
        lists.push(listed.into_iter().map(|member| (member.id, member.is_learner)).collect::<Vec<_>>());
    }
    assert!(lists.windows(2).all(|pair| pair[0] == pair[1]), "{lists:?}");
    lists.swap_remove(0)
}

async fn equal_hashes(cluster: &Cluster) {
    let revision = cluster.client(cluster.alive()[0]).revision().await;
    cluster.assert_equal_hashes(revision).await;
}

/// Adds a voter that never starts, and removes it, while every write succeeds at once.
async fn add_and_remove_one_that_never_starts(members: usize) {
    let Some(mut cluster) = start(members).await else { return };
    if !cluster.is_registry() {
        // etcd gives a member its vote before it has started.
        return;
    }
    let leader = cluster.wait_for_leader().await;
    let (before, standings) = (listed(&cluster).await, cluster.standings().await);
    let pulse = Pulse::start(cluster.client(members - 1));
    let (absent, another) = (cluster.enroll(), cluster.enroll());
    let by = cluster.others(leader).first().copied().unwrap_or(leader);
    let id = cluster.add(by, absent, false).await.expect("the member is added");
    pulse.goes_on().await;
    let refused = refusal(cluster.add(leader, another, false).await);
    assert_eq!(refused, (Code::FailedPrecondition, NOT_STARTED.to_owned()));
    assert!(listed(&cluster).await.contains(&(id, false)), "it is a member all the same");

    cluster.remove(by, absent).await.expect("the member is removed");
    pulse.goes_on().await;
    pulse.end().await;
    assert_eq!(listed(&cluster).await, before);
    let leaders = |standings: &[registry_tests::Standing]| {
        standings.iter().map(|standing| (standing.leader, standing.term)).collect::<Vec<_>>()
    };
    assert_eq!(leaders(&cluster.standings().await), leaders(&standings), "there was an election");
    equal_hashes(&cluster).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_voter_that_never_starts_holds_up_no_write_of_one_member() {
    add_and_remove_one_that_never_starts(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_voter_that_never_starts_holds_up_no_write_of_two_members() {
    add_and_remove_one_that_never_starts(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_voter_that_never_starts_holds_up_no_write_of_three_members() {
    add_and_remove_one_that_never_starts(3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_voter_that_never_starts_is_no_part_of_any_majority() {
    let Some(mut cluster) = start(3).await else { return };
    let leader = cluster.wait_for_leader().await;
    let absent = cluster.enroll();
    cluster.add(leader, absent, false).await.expect("the member is added");
    // With a vote of the absent one, two of four were left.
    let other = cluster.others(leader)[0];
    cluster.kill(other);
    if cluster.is_registry() {
        let pulse = Pulse::start(cluster.client(leader));
        pulse.goes_on().await;
        pulse.end().await;
        cluster.kill(leader);
        cluster.restart(other).await;
        cluster.client(other).put("another", "leader").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_learner_follows_without_a_vote_until_it_is_promoted() {
    let Some(mut cluster) = start(1).await else { return };
    cluster.client(0).put("a", "1").await;
    let (learner, another) = (cluster.enroll(), cluster.enroll());
    let id = cluster.add(0, learner, true).await.expect("the learner is added");
    let refused = refusal(cluster.add(0, another, true).await);
    assert_eq!(refused, (Code::FailedPrecondition, TOO_MANY_LEARNERS.to_owned()));
    let refused = refusal(cluster.promote(0, learner).await);
    assert_eq!(refused, (Code::FailedPrecondition, NOT_IN_SYNC.to_owned()));

    cluster.restart(learner).await;
    eventually(SOON, "the learner has the key", async || {
        let request = RangeRequest { serializable: true, ..key("a") };
        let answer = cluster.client(learner).try_range(request).await.expect("a learner serves what it has");
        !answer.kvs.into_messages().expect("key-values decode").is_empty()
    })
    .await;
    let snapshot = cluster.client(learner).maintenance.clone().snapshot(SnapshotRequest {}).await;
    let mut snapshot = snapshot.expect("a learner gives snapshots").into_inner();
    assert!(snapshot.message().await.expect("it goes on").is_some());

    let pulse = Pulse::start(cluster.client(0));
    cluster.kill(learner);
    pulse.goes_on().await;
    cluster.restart(learner).await;
    pulse.end().await;

    eventually(SOON, "the learner is promoted", async || match cluster.promote(0, learner).await {
        Ok(()) => true,
        Err(status) => {
            assert_eq!(status.message(), NOT_IN_SYNC);
            false
        }
    })
    .await;
    assert!(listed(&cluster).await.contains(&(id, false)));
    let refused = refusal(cluster.promote(0, learner).await);
    assert_eq!(refused, (Code::FailedPrecondition, NO_LEARNER.to_owned()));
    cluster.client(learner).put("b", "2").await;
    equal_hashes(&cluster).await;
    // It has a vote now: without it there is no majority.
    cluster.kill(learner);
    let client = cluster.client(0);
    let answer = timeout(A_WHILE, client.try_put(put("c", "3"))).await;
    assert!(!matches!(answer, Ok(Ok(_))), "there is no majority: {answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_member_ends_for_good_and_its_addresses_serve_a_new_one() {
    let Some(mut cluster) = start(3).await else { return };
    let leader = cluster.wait_for_leader().await;
    cluster.client(leader).put("a", "1").await;
    let removed = cluster.others(leader)[0];
    cluster.remove(leader, removed).await.expect("the member is removed");
    let mut lives = 0;
    for _life in 0..2 {
        let status = cluster.wait_until_it_ends(removed).await;
        assert!(!status.success() || !cluster.is_registry(), "{status}");
        let log = cluster.log(removed);
        assert!(log[lives..].iter().any(|line| line.contains("permanently removed")), "the log says why");
        lives = log.len();
        // On its old data, which ends again.
        cluster.spawn(removed);
    }
    cluster.wait_until_it_ends(removed).await;

    let successor = cluster.enroll_in_place_of(removed);
    let id = cluster.add(leader, successor, false).await.expect("the addresses are free again");
    assert_ne!(id, cluster.id(removed), "an id is never given twice");
    cluster.restart(successor).await;
    assert_eq!(cluster.client(successor).value("a").await.expect("the key is there"), "1");
    equal_hashes(&cluster).await;
}

/// Kills one of three, removes it, and has a new one take its place.
async fn replace(is_the_leader: bool) {
    let Some(mut cluster) = start(3).await else { return };
    let leader = cluster.wait_for_leader().await;
    cluster.client(leader).put("a", "1").await;
    let dead = if is_the_leader { leader } else { cluster.others(leader)[0] };
    cluster.kill(dead);
    let by = cluster.wait_for_leader_of(&cluster.others(dead)).await;
    cluster.remove(by, dead).await.expect("the member is removed");
    cluster.client(by).put("a", "2").await;
    let new = cluster.enroll();
    cluster.add_and_start(by, new).await;
    assert_eq!(cluster.client(new).value("a").await.expect("the key is there"), "2");
    equal_hashes(&cluster).await;
    // Who comes back is told.
    cluster.spawn(dead);
    cluster.wait_until_it_ends(dead).await;
    assert!(cluster.log(dead).iter().any(|line| line.contains("permanently removed")));
    cluster.wait_for_leader().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_follower_is_replaced() {
    replace(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_leader_is_replaced() {
    replace(true).await;
}

#[tokio::test]
async fn as_many_learners_join_as_the_leaders_settings_allow() {
    let Some(mut cluster) = start_as(|program| Plan::new(program, 1).with_flags(&["--max-learners=2"])).await else {
        return;
    };
    for _ in 0..2 {
        let learner = cluster.enroll();
        cluster.add(0, learner, true).await.unwrap();
    }
    let third = cluster.enroll();
    assert_eq!(refusal(cluster.add(0, third, true).await).1, TOO_MANY_LEARNERS);
    assert_eq!(cluster.listed_by(0).await.iter().filter(|member| member.is_learner).count(), 2);
}
