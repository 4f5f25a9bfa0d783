//! All members are stopped and started again, one after the other, as an upgrade does: who retries only what is
//! safe notices nothing of it.

use std::sync::Arc;

use crate::careful::{Counts, start_clients};
use crate::load::Load;
use crate::{settings, start};

/// How often all members are restarted.
const ROUNDS: usize = 2;
/// Requests before and after each restart, and while a member is away.
const REQUESTS: usize = 150;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_under_load_costs_no_request() {
    let Some(mut cluster) = start(3).await else { return };
    let (mut random, rounds) = (settings::random(), settings::rounds("ROLLING_ROUNDS", ROUNDS));
    let mut load = Load::new(&cluster, &mut random);
    let counts = Arc::new(Counts::default());
    let (tasks, end) = start_clients(&cluster.clients(), &load, &counts);
    for _ in 0..rounds {
        for member in cluster.members() {
            counts.wait_for(REQUESTS).await;
            let status = cluster.stop(member).await;
            assert!(status.success() || !cluster.is_registry(), "{status}");
            counts.wait_for(REQUESTS).await;
            cluster.restart(member).await;
        }
    }
    counts.wait_for(REQUESTS).await;
    end.cancel();
    tasks.join_all().await;
    load.check_all(&cluster).await;
    println!("{rounds} rolling restarts: {counts:?}, {}", load.summary());
    assert!(counts.failed() == 0 || !cluster.is_registry(), "{counts:?}");
}
