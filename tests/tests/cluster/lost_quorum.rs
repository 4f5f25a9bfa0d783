//! A cluster that has lost its majority for good goes on with one member that is left, and loses nothing of what that has.

use std::path::{Path, PathBuf};
use std::time::Duration;

use registry_tests::budget::SOON;
use registry_tests::requests::{key, leased, prefix, put};
use registry_tests::{Cluster, eventually};
use tokio::time::timeout;

use crate::pulse::Pulse;
use crate::start;

/// Longer than a write takes.
const A_WHILE: Duration = Duration::from_secs(1);
/// Keys that were acknowledged, and are looked for.
const KEYS: usize = 200;
const LEASE: i64 = 77;
const TTL_SECONDS: i64 = 600;

const FORCE: &str = "--force-new-cluster";

/// What clients have been told, and every member has.
#[derive(Debug, PartialEq)]
struct Told {
    revision: i64,
    hash: u32,
    values: Vec<String>,
}

/// Writes through all members.
async fn fill(cluster: &Cluster) -> Told {
    let clients = cluster.clients();
    clients[0].grant(LEASE, TTL_SECONDS).await.expect("a lease is granted");
    for (number, client) in (0..KEYS).zip(clients.iter().cycle()) {
        client.put(&format!("key/{number:04}"), &number.to_string()).await;
    }
    clients[0].try_put(leased("key/leased", "1", LEASE)).await.expect("it is put");
    let revision = clients[0].revision().await;
    cluster.assert_equal_hashes(revision).await;
    told_by(cluster, cluster.members()[0], revision).await
}

async fn told_by(cluster: &Cluster, member: usize, revision: i64) -> Told {
    let values = cluster.client(member).range(prefix("key/")).await;
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("we wrote it");
    let values = values.iter().map(|kv| format!("{}={}", text(&kv.key), text(&kv.value))).collect();
    let hash = registry_proto::etcdserverpb::HashKvRequest { revision };
    let hash = cluster.client(member).maintenance.hash_kv(hash).await.expect("it is hashed").into_inner().hash;
    Told { revision, hash, values }
}

async fn assert_serves_no_writes(cluster: &Cluster, member: usize) {
    let client = cluster.client(member);
    let answer = timeout(A_WHILE, client.try_put(put("key/none", "1"))).await;
    assert!(!matches!(answer, Ok(Ok(_))), "there is no majority: {answer:?}");
}

/// Starts the one member that is left as the only one, and waits until it serves.
/// A member that asks for one election after the other says once of each peer that it cannot be reached.
fn assert_told_once(cluster: &Cluster, member: usize, unreached: usize) {
    let count = |what: &str| cluster.log(member).iter().filter(|line| line.contains(what)).count();
    let told = count("the peer cannot be reached") - count("the peer is reached again");
    assert!(told == unreached || !cluster.is_registry(), "told {told} times of {unreached}");
}

async fn force(cluster: &mut Cluster, left: usize) {
    let lost = cluster.others(left);
    cluster.spawn_with(left, &[FORCE.to_owned()]);
    cluster.count_out(&lost);
    cluster.wait_until_it_serves(left).await;
    assert_eq!(ids_listed_by(cluster, left).await, [cluster.id(left)]);
}

async fn ids_listed_by(cluster: &Cluster, member: usize) -> Vec<u64> {
    cluster.listed_by(member).await.iter().map(|member| member.id).collect()
}

/// Kills members, and puts their directories where nobody finds them.
fn lose(cluster: &mut Cluster, lost: &[usize]) -> Vec<(PathBuf, PathBuf)> {
    lost.iter().for_each(|member| cluster.kill(*member));
    let dirs = lost.iter().map(|member| cluster.data_dir(*member)).map(|dir| (dir.with_extension("away"), dir));
    let dirs: Vec<_> = dirs.collect();
    dirs.iter().for_each(|(away, dir)| rename(dir, away));
    dirs
}

fn bring_back(dirs: &[(PathBuf, PathBuf)]) {
    dirs.iter().for_each(|(away, dir)| rename(away, dir));
}

#[expect(clippy::disallowed_methods, reason = "an operator moves directories so")]
fn rename(from: &Path, to: &Path) {
    std::fs::rename(from, to).expect("directories can be moved");
}

/// Adds a member, as soon as the one before has its vote, and waits until it serves.
async fn grow(cluster: &mut Cluster, by: usize) -> usize {
    let new = add(cluster, by).await;
    cluster.restart(new).await;
    new
}

/// Adds one that does not start, as soon as the one before has its vote.
async fn add(cluster: &mut Cluster, by: usize) -> usize {
    let new = cluster.enroll();
    let growing = tokio::sync::Mutex::new(&mut *cluster);
    eventually(SOON, "a member is added", async || {
        let mut cluster = growing.lock().await;
        cluster.add(by, new, false).await.is_ok()
    })
    .await;
    new
}

/// What a start that is refused says beside its log.
async fn refused(cluster: &mut Cluster, member: usize) -> String {
    let before = cluster.log(member).len();
    cluster.spawn_with(member, &[FORCE.to_owned()]);
    assert!(!cluster.wait_until_it_ends(member).await.success());
    let mut said = cluster.log(member).split_off(before);
    said.retain(|line| !line.starts_with('{'));
    assert_eq!(said.len(), 1, "{said:?}");
    said.remove(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_member_that_is_left_goes_on_with_all_that_was_acknowledged_and_grows_again() {
    let Some(mut cluster) = start(3).await else { return };
    let told = fill(&cluster).await;
    let left = cluster.others(cluster.wait_for_leader().await)[0];
    let cluster_id = cluster.client(left).header().await.cluster_id;
    let lost = cluster.others(left);
    let away = lose(&mut cluster, &lost);
    assert_serves_no_writes(&cluster, left).await;
    assert_told_once(&cluster, left, lost.len());
    cluster.kill(left);

    force(&mut cluster, left).await;
    assert_eq!(told_by(&cluster, left, told.revision).await, told);
    let header = cluster.client(left).header().await;
    assert_eq!((header.revision, header.cluster_id), (told.revision, cluster_id), "nothing was written or lost");
    let lease = cluster.client(left).time_to_live(LEASE).await;
    assert!(lease.ttl > TTL_SECONDS / 2 && lease.ttl <= TTL_SECONDS, "{lease:?}");
    assert_eq!(cluster.client(left).leases().await, [LEASE]);
    let log = cluster.log(left).concat();
    assert!(log.contains("a new cluster was forced") || !cluster.is_registry());
    for member in &lost {
        let removed = format!("{:x}", cluster.id(*member));
        assert!(log.contains(&removed) || !cluster.is_registry(), "the log names {removed}");
    }

    // Once more, which changes nothing, and without the flag.
    cluster.kill(left);
    force(&mut cluster, left).await;
    cluster.kill(left);
    cluster.restart(left).await;
    assert_eq!(ids_listed_by(&cluster, left).await, [cluster.id(left)]);
    assert_eq!(told_by(&cluster, left, told.revision).await, told);

    for _ in 0..2 {
        let new = grow(&mut cluster, left).await;
        assert!(!lost.iter().any(|lost| cluster.id(*lost) == cluster.id(new)), "an id is never given twice");
    }
    let revision = cluster.client(left).put("after", "1").await;
    assert_eq!(revision, told.revision + 1);
    cluster.assert_equal_hashes(revision).await;
    // Both have votes, as one more is taken: the one that was left is not needed any more.
    let absent = add(&mut cluster, left).await;
    cluster.remove(left, absent).await.expect("it is removed");
    cluster.kill(left);
    let others = cluster.others(left);
    cluster.wait_for_leader_of(&others).await;
    cluster.client(others[0]).put("after", "2").await;
    cluster.restart(left).await;

    // Who comes back is told, and has changed nothing.
    let terms = |standings: Vec<registry_tests::Standing>| standings.iter().map(|one| one.term).collect::<Vec<_>>();
    let members = ids_listed_by(&cluster, left).await;
    let before = terms(cluster.standings().await);
    let pulse = Pulse::start(cluster.client(others[0]));
    bring_back(&away);
    for former in lost {
        cluster.spawn(former);
        let status = cluster.wait_until_it_ends(former).await;
        assert!(!status.success() || !cluster.is_registry(), "{status}");
        assert!(cluster.log(former).iter().any(|line| line.contains("permanently removed")));
    }
    pulse.end().await;
    assert_eq!(terms(cluster.standings().await), before);
    assert_eq!(ids_listed_by(&cluster, left).await, members);
    let revision = cluster.client(left).revision().await;
    cluster.assert_equal_hashes(revision).await;
}

/// The others have gone on without it: their terms and their logs are ahead of its own, and they are a majority.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_members_that_are_ahead_neither_lead_the_new_cluster_nor_write_into_it() {
    let Some(mut cluster) = start(3).await else { return };
    let told = fill(&cluster).await;
    let left = cluster.wait_for_leader().await;
    let lost = cluster.others(left);
    cluster.kill(left);
    // Two more terms, at least.
    for _ in 0..2 {
        let leader = cluster.wait_for_leader_of(&lost).await;
        cluster.client(leader).put("key/ahead", "1").await;
        cluster.kill(leader);
        cluster.restart(leader).await;
    }
    cluster.wait_for_leader_of(&lost).await;
    lost.iter().for_each(|member| cluster.kill(*member));

    force(&mut cluster, left).await;
    assert_eq!(told_by(&cluster, left, told.revision).await, told);
    // Both while it runs and while it starts again.
    lost.iter().for_each(|member| cluster.spawn(*member));
    cluster.kill(left);
    cluster.restart(left).await;
    let pulse = Pulse::start(cluster.client(left));
    pulse.goes_on().await;
    for member in &lost {
        cluster.wait_until_it_ends(*member).await;
        assert!(cluster.log(*member).iter().any(|line| line.contains("permanently removed")));
    }
    pulse.end().await;
    assert_eq!(told_by(&cluster, left, told.revision).await, told);
    assert!(cluster.client(left).get("key/ahead").await.is_none(), "the others' writes are theirs");
    assert_eq!(ids_listed_by(&cluster, left).await, [cluster.id(left)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_forced_is_refused_in_one_line_and_nothing_is_changed() {
    let Some(mut cluster) = start(3).await else { return };
    if !cluster.is_registry() {
        // etcd makes a new cluster, or forces whatever it is given.
        return;
    }
    let told = fill(&cluster).await;
    let leader = cluster.wait_for_leader().await;
    let [one, other] = cluster.others(leader)[..] else { unreachable!("there are three") };

    cluster.kill(one);
    let said = refused(&mut cluster, one).await;
    assert!(said.contains("the majority is not lost") && said.contains(&cluster.peer_url(other)), "{said}");
    cluster.restart(one).await;
    cluster.client(one).put("key/ahead", "1").await;

    let away = lose(&mut cluster, &[one]);
    let said = refused(&mut cluster, one).await;
    assert!(said.contains("holds no member's data"), "{said}");
    assert!(!cluster.data_dir(one).exists(), "nothing was made");
    bring_back(&away);
    cluster.restart(one).await;

    cluster.wait_for_leader().await;
    cluster.remove(leader, one).await.expect("it is removed");
    cluster.wait_until_it_ends(one).await;
    let revision = cluster.client(other).revision().await;
    cluster.assert_equal_hashes(revision).await;
    assert_eq!(cluster.client(other).range(key("key/0000")).await.len(), 1);
    assert!(revision > told.revision);
}

/// Killed at any time while it starts with the flag, the member is of the old cluster or the only one of the new.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_with_the_flag_that_is_killed_at_any_time_can_be_made_again() {
    let Some(mut cluster) = start(3).await else { return };
    let told = fill(&cluster).await;
    let left = cluster.wait_for_leader().await;
    let lost = cluster.others(left);
    lose(&mut cluster, &lost);
    cluster.kill(left);
    let mut random = crate::settings::random();
    let lives = crate::settings::rounds("FORCED_LIVES", 20);
    for _ in 0..lives {
        cluster.spawn_with(left, &[FORCE.to_owned()]);
        // A start takes about as long.
        tokio::time::sleep(Duration::from_millis(random.u64(..150))).await;
        cluster.kill(left);
    }
    force(&mut cluster, left).await;
    eventually(SOON, "it serves writes", async || cluster.client(left).try_put(put("after", "1")).await.is_ok()).await;
    assert_eq!(told_by(&cluster, left, told.revision).await, told);
}
