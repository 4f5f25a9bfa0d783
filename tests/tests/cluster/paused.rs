//! A leader that stands still while others take over, and does not know it when it goes on.

use registry_tests::Cluster;
use registry_tests::requests::key;
use tokio::task::JoinSet;

use crate::load::Load;
use crate::{settings, start};

const ROUNDS: usize = 4;
/// Reads that wait for the leader when it goes on.
const READS: usize = 20;
/// Writes while it stands still.
const WRITES: usize = 50;

/// Pauses the leader until the others have another one; returns who it was.
async fn depose(cluster: &mut Cluster) -> usize {
    let leader = cluster.wait_for_leader().await;
    cluster.pause(leader);
    cluster.wait_for_leader_of(&cluster.others(leader)).await;
    leader
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_was_paused_answers_no_read_from_the_past() {
    let Some(mut cluster) = start(3).await else { return };
    let mut random = settings::random();
    let mut load = Load::new(&cluster, &mut random);
    for round in 0..ROUNDS {
        let mut clients = load.start(&cluster, &mut random);
        load.wait_for_writes(WRITES, &mut clients).await;
        let deposed = depose(&mut cluster).await;
        load.wait_for_writes(WRITES, &mut clients).await;
        // The load reads through the member, too; these are what it finds first.
        let told = load.ledger.told();
        let mut reads = JoinSet::new();
        for _ in 0..READS {
            let client = cluster.client(deposed);
            reads.spawn(async move { client.try_range(key("put/0/0")).await });
        }
        cluster.resume(deposed);
        for read in reads.join_all().await {
            // An error is as good: the member may say that it does not know.
            let Ok(answer) = read else { continue };
            let revision = answer.header.expect("every answer has a header").revision;
            assert!(revision >= told, "round {round}: a read of revision {revision}, after {told} was told");
        }
        load.wait_for_writes(WRITES, &mut clients).await;
        clients.end().await;
        load.check(&cluster).await;
    }
    load.check_all(&cluster).await;
}

/// etcd 3.4 renews it, as far as the deposed leader does not know of the revocation yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_was_paused_renews_no_lease_that_was_revoked_meanwhile() {
    let Some(mut cluster) = start(3).await else { return };
    for id in 1..=ROUNDS as i64 {
        let leader = cluster.wait_for_leader().await;
        cluster.client(leader).grant(id, 600).await.expect("the lease is granted");
        let mut stream = cluster.client(leader).keep_alive_of(id).await;
        assert_eq!(stream.next().await.expect("the stream goes on").expect("the stream goes on").ttl, 600);
        let deposed = depose(&mut cluster).await;
        let other = cluster.others(deposed)[0];
        cluster.client(other).revoke(id).await.expect("the lease is revoked");
        let renewing = tokio::spawn(async move { stream.try_renew(id).await });
        cluster.resume(deposed);
        let renewed = renewing.await.expect("the task does nothing that panics");
        let ttl = renewed.ok().flatten().map(|answer| answer.ttl);
        println!("a revoked lease was answered with a TTL of {ttl:?}");
        assert!(ttl.is_none_or(|ttl| ttl == 0) || !cluster.is_registry(), "a revoked lease was renewed");
    }
}
