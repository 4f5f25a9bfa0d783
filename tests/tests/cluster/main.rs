//! What holds in a cluster while its members fail.
//!
//! All of it is shown with real processes, and with the registry's server unless `CLUSTER_PROGRAM=etcd` asks
//! for etcd, which is how the suite itself was checked. `kit` shows that the kit's faults are faults. `kills`
//! kills members under a `load` of clients (`workers`, `watchers`), and compares what every member has
//! afterwards with what the clients asked for and were told (`readings`, and the kit's ledger and chronicle).
//! `partitions` and `one_way` cut paths under the same load, `namespaces` has the kernel do so, `paused` has a leader stand still, and `mixed` does
//! all of that at random. `swaps` is one careful client. `failover` and `stops` say how long writes wait for a
//! new leader, and how many fail, as does `rolling` where all are restarted, with clients that are `careful`.
//! `away` has a follower miss more than the log keeps, and `leases` kills leaders while `instances` are kept alive.
//! `members` adds, promotes and removes members while a `pulse` of writes goes on, `growth` does so under load,
//! `joining` is about those who may not join, `transfer` hands leadership over, `lost_quorum` goes on with the one
//! member that is left, and in `tls` members talk over TLS. `corruption` has a member hold something else than the
//! others, `errors` collects what only a cluster refuses, and in `busy` nothing happens, for long.

mod away;
mod busy;
mod careful;
mod corruption;
mod errors;
mod failover;
mod growth;
mod instances;
mod joining;
mod kills;
mod kit;
mod leases;
mod load;
mod lost_quorum;
mod members;
mod mixed;
mod namespaces;
mod one_way;
mod partitions;
mod paused;
mod pulse;
mod readings;
mod ready;
mod rolling;
mod settings;
mod stops;
mod swaps;
mod tls;
mod transfer;
mod watchers;
mod workers;

use std::ops::{Deref, DerefMut};

use registry_tests::{Cluster, Plan, Program};
use tokio::sync::{Mutex, MutexGuard};

/// The registry's program.
const NODE: &str = env!("CARGO_BIN_EXE_node");

/// Whose turn it is: several clusters at once would be slow, and see elections that nobody asked for.
static TURN: Mutex<()> = Mutex::const_new(());

/// The only cluster of the suite at a time.
#[derive(Debug)]
struct Alone {
    cluster: Cluster,
    _turn: MutexGuard<'static, ()>,
}

impl Deref for Alone {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        &self.cluster
    }
}

impl DerefMut for Alone {
    fn deref_mut(&mut self) -> &mut Cluster {
        &mut self.cluster
    }
}

/// A cluster of members that talk directly; none, and a printed line, if its program is not installed.
async fn start(members: usize) -> Option<Alone> {
    start_as(|program| Plan::new(program, members)).await
}

/// A cluster of three whose members can be cut off from each other; none as above.
async fn start_with_proxies() -> Option<Alone> {
    start_as(|program| Plan::new(program, 3).with_proxies()).await
}

async fn start_as(plan: impl FnOnce(Program) -> Plan) -> Option<Alone> {
    let program = Program::of_suite(NODE)?;
    let turn = TURN.lock().await;
    Some(Alone { cluster: Cluster::start(plan(program)).await, _turn: turn })
}
