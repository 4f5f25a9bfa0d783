//! A leader that is told to stop under load: who retries only what is safe notices nothing of it. etcd's costs
//! some requests.

use std::sync::Arc;

use crate::careful::{Counts, start_clients};
use crate::load::Load;
use crate::{settings, start};

const ROUNDS: usize = 3;
/// Requests before and after each stop.
const REQUESTS: usize = 300;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_stops_under_load_costs_no_request_and_no_write_that_was_acknowledged() {
    let Some(mut cluster) = start(3).await else { return };
    let (mut random, rounds) = (settings::random(), settings::rounds("STOP_ROUNDS", ROUNDS));
    let mut load = Load::new(&cluster, &mut random);
    let counts = Arc::new(Counts::default());
    for _ in 0..rounds {
        let (tasks, end) = start_clients(&cluster.clients(), &load, &counts);
        counts.wait_for(REQUESTS).await;
        let leader = cluster.wait_for_leader().await;
        let status = cluster.stop(leader).await;
        assert!(status.success() || !cluster.is_registry(), "{status}");
        counts.wait_for(REQUESTS).await;
        cluster.restart(leader).await;
        counts.wait_for(REQUESTS).await;
        end.cancel();
        tasks.join_all().await;
        load.check(&cluster).await;
    }
    load.check_all(&cluster).await;
    println!("{rounds} stops of a leader: {counts:?}");
    assert!(counts.failed() == 0 || !cluster.is_registry(), "{counts:?}");
}
