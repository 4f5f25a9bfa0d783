//! Who may not join is told why in one line, and disturbs nobody.

use registry_tests::Cluster;
use registry_tests::budget::SOON;
use registry_tests::eventually;

use crate::pulse::Pulse;
use crate::start;

/// Starts a member that must end instead of serving; returns what it said beside its log.
async fn refused(cluster: &mut Cluster, member: usize, more: &[String]) -> String {
    let before = cluster.log(member).len();
    cluster.spawn_with(member, more);
    let status = cluster.wait_until_it_ends(member).await;
    assert!(!status.success(), "{status}");
    let log = cluster.log(member).split_off(before);
    if !cluster.is_registry() {
        // etcd tells it in its log.
        return log.concat();
    }
    let mut said: Vec<_> = log.into_iter().filter(|line| !line.starts_with('{')).collect();
    assert_eq!(said.len(), 1, "{said:?}");
    said.remove(0)
}

/// `--initial-cluster` with these members.
fn list(cluster: &Cluster, members: &[usize]) -> String {
    let listed = members.iter().map(|member| format!("m{member}={}", cluster.peer_url(*member)));
    format!("--initial-cluster={}", listed.collect::<Vec<_>>().join(","))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_join_is_told_why_and_may_when_that_is_mended() {
    let Some(mut cluster) = start(2).await else { return };
    let (new, stranger) = (cluster.enroll(), cluster.enroll());
    let is_registry = cluster.is_registry();
    let assert_says = move |said: String, what: &str| assert!(said.contains(what) || !is_registry, "{said}");

    let said = refused(&mut cluster, new, &[]).await;
    assert_says(said, "the cluster has no member with the peer URLs");
    let unknown = list(&cluster, &[new, stranger]);
    let said = refused(&mut cluster, new, &[unknown]).await;
    assert_says(said, "cannot fetch cluster info from peer urls");
    let alone = list(&cluster, &[new]);
    refused(&mut cluster, new, &[alone]).await;

    cluster.add(0, new, false).await.expect("the member is added");
    let too_few = list(&cluster, &[0, new]);
    let said = refused(&mut cluster, new, &[too_few]).await;
    assert_says(said, "list exactly those");
    let too_many = list(&cluster, &[0, 1, new, stranger]);
    let said = refused(&mut cluster, new, &[too_many]).await;
    assert_says(said, "list exactly those");

    cluster.restart(new).await;
    cluster.wait_for_leader().await;
    let revision = cluster.client(new).put("a", "1").await;
    cluster.assert_equal_hashes(revision).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_with_another_token_is_refused_by_its_peers_and_disturbs_nobody() {
    let Some(mut cluster) = start(3).await else { return };
    let leader = cluster.wait_for_leader().await;
    let away = cluster.others(leader)[0];
    cluster.kill(away);
    let before = cluster.wait_for_leader_of(&cluster.others(away)).await;
    let terms = cluster.standings().await;
    let pulse = Pulse::start(cluster.client(leader));

    let impostor = cluster.enroll_in_place_of(away);
    let listed = list(&cluster, &[0, 1, 2]).replace(&format!("m{away}="), &format!("m{impostor}="));
    let flags = ["--initial-cluster-state=new", "--initial-cluster-token=another", &listed];
    cluster.spawn_with(impostor, &flags.map(str::to_owned));
    eventually(SOON, "the refusal is in a log", async || {
        let mut log: Vec<_> = (0..3).flat_map(|member| cluster.log(member)).collect();
        log.extend(cluster.log(impostor));
        log.iter().any(|line| line.contains("--initial-cluster-token") || line.contains("cluster ID mismatch"))
    })
    .await;
    pulse.goes_on().await;
    pulse.end().await;
    assert_eq!((cluster.wait_for_leader_of(&cluster.others(away)).await, leader), (before, leader));
    let now = cluster.standings().await;
    assert!(terms.iter().zip(&now).all(|(before, now)| before.term == now.term), "{terms:?}, {now:?}");

    cluster.kill(impostor);
    cluster.restart(away).await;
    let revision = cluster.client(away).put("a", "1").await;
    cluster.assert_equal_hashes(revision).await;
}
