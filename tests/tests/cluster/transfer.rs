//! Leadership that is handed over on request.

use registry_proto::etcdserverpb::MoveLeaderRequest;
use registry_tests::{Cluster, refusal};
use tonic::{Code, Status};

use crate::load::Load;
use crate::{settings, start};

/// Handovers under load, and writes between them.
const MOVES: usize = 4;
const WRITES: usize = 50;

/// The answer says nothing but that it is done: it has no header, and there are clients that expect none.
async fn move_leader(cluster: &Cluster, by: usize, target_id: u64) -> Result<(), Status> {
    let answer = cluster.client(by).maintenance.move_leader(MoveLeaderRequest { target_id }).await?.into_inner();
    assert_eq!(answer.header, None);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_hands_over_to_a_voter_and_to_nobody_else() {
    let Some(mut cluster) = start(3).await else { return };
    for _ in 0..2 {
        let leader = cluster.wait_for_leader().await;
        let [target, other] = cluster.others(leader)[..] else { unreachable!("there are three") };
        let refused = refusal(move_leader(&cluster, leader, 12_345).await);
        assert_eq!(refused, (Code::FailedPrecondition, "etcdserver: bad leader transferee".to_owned()));
        let refused = refusal(move_leader(&cluster, other, cluster.id(target)).await);
        assert_eq!(refused, (Code::FailedPrecondition, "etcdserver: not leader".to_owned()));
        move_leader(&cluster, leader, cluster.id(leader)).await.expect("it leads already");
        assert_eq!(cluster.wait_for_leader().await, leader);
        move_leader(&cluster, leader, cluster.id(target)).await.expect("leadership is handed over");
        assert_eq!(cluster.wait_for_leader().await, target);
    }
    let leader = cluster.wait_for_leader().await;
    let gone = cluster.others(leader)[0];
    cluster.kill(gone);
    if cluster.is_registry() {
        // As soon as it was silent for long enough; before that, the attempt fails.
        refusal(move_leader(&cluster, leader, cluster.id(gone)).await);
    }
    cluster.client(leader).put("a", "1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handovers_under_load_lose_nothing_and_repeat_nothing() {
    let Some(cluster) = start(3).await else { return };
    let mut random = settings::random();
    let mut load = Load::new(&cluster, &mut random);
    let mut clients = load.start(&cluster, &mut random);
    for _ in 0..MOVES {
        load.wait_for_writes(WRITES, &mut clients).await;
        let leader = cluster.wait_for_leader().await;
        let target = cluster.others(leader)[random.usize(..2)];
        move_leader(&cluster, leader, cluster.id(target)).await.expect("leadership is handed over");
        assert_eq!(cluster.wait_for_leader().await, target);
    }
    load.wait_for_writes(WRITES, &mut clients).await;
    clients.end().await;
    load.check_all(&cluster).await;
    println!("{MOVES} handovers: {}", load.summary());
}
