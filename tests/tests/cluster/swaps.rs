//! One client that compares and swaps through a follower: nobody else writes, so nothing may be in its way.
//!
//! `SWAP_ROUNDS` sets how often.

use registry_proto::etcdserverpb::TxnRequest;
use registry_proto::etcdserverpb::compare::{CompareResult, TargetUnion};
use registry_tests::budget::SOON;
use registry_tests::requests::{Operation, compare, put, txn};
use registry_tests::{Cluster, eventually};

use crate::{settings, start};

const ROUNDS: usize = 1_000;
const KEY: &str = "swapped";

fn swap(mod_revision: i64, value: usize) -> TxnRequest {
    let mut request = txn(vec![put(KEY, value.to_string()).op()]);
    request.compare = vec![compare(KEY, CompareResult::Equal, TargetUnion::ModRevision(mod_revision))];
    request
}

async fn term(cluster: &Cluster) -> u64 {
    cluster.standings().await.iter().map(|standing| standing.term).max().expect("members answer")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn swaps_through_a_follower_succeed() {
    let Some(cluster) = start(3).await else { return };
    let (rounds, mut elections) = (settings::rounds("SWAP_ROUNDS", ROUNDS), 0);
    let follower = cluster.others(cluster.wait_for_leader().await)[0];
    let client = cluster.client(follower);
    let mut mod_revision = client.put(KEY, "0").await;
    let mut before = term(&cluster).await;
    for round in 1..=rounds {
        // Half of them read what they compare with; the others were told it by the last swap.
        if round.is_multiple_of(2) {
            let found = client.get(KEY).await.expect("the key is there");
            assert_eq!(found.mod_revision, mod_revision, "round {round}: an old value was read");
            assert_eq!(found.value, (round - 1).to_string());
        }
        match client.txn(swap(mod_revision, round)).await {
            Ok(answer) => {
                assert!(answer.succeeded, "round {round}: the swap failed, though nobody else writes");
                mod_revision = answer.header.expect("every answer has a header").revision;
            }
            Err(status) => {
                // A machine that stands still for a moment may have an election, but nothing else is an excuse.
                let has_changed = async || term(&cluster).await > before;
                eventually(SOON, &format!("round {round}: an election explains {status}"), has_changed).await;
                cluster.wait_for_leader().await;
                before = term(&cluster).await;
                elections += 1;
                mod_revision = client.put(KEY, &round.to_string()).await;
            }
        }
    }
    assert_eq!(client.value(KEY).await.expect("the key is there"), rounds.to_string());
    println!("{rounds} swaps, {elections} of them again after an election");
}
