//! One simulation from its plan to its end.
use std::sync::Arc;
use std::time::Duration;

use openraft::AsyncRuntime;
use registry_proto::etcdserverpb::{PutRequest, RangeRequest, kv_client::KvClient};

use crate::channel::Channel;
use crate::chaos::Chaos;
use crate::cluster::Cluster;
use crate::growth::Growth;
use crate::panics;
use crate::plan::{HEALED_AT, Plan};
use crate::process::Process;
use crate::runtime::Simulated;
use crate::world::{World, note};

/// How it went.
#[derive(Debug)]
pub struct Outcome {
    /// What must not have happened.
    pub problems: Vec<String>,
    /// Of the trace.
    pub hash: u64,
    /// Of the trace.
    pub lines: u64,
    /// The trace, if it was kept.
    pub trace: Option<String>,
}

/// Carries a plan out.
#[must_use]
pub fn simulate(plan: &Plan, keep_trace: bool) -> Outcome {
    panics::watch();
    let mut runtime = Simulated::new(1);
    let mut outcome = runtime.block_on(async {
        let world = World::begin(plan.seed, keep_trace);
        let problems = live(plan).await;
        let (hash, lines, trace) = world.trace();
        Outcome { problems, hash, lines, trace }
    });
    World::end();
    drop(runtime);
    outcome.problems.extend(panics::seen());
    outcome
}

async fn live(plan: &Plan) -> Vec<String> {
    let cluster = Cluster::new(plan);
    drop(tokio::spawn(cluster.clone().look_after()));
    let client = Process::new("client", Duration::ZERO, 0);
    let chaos = Arc::new(Chaos { cluster: cluster.clone(), clients: vec![client.clone()], growth: Growth::default() });
    let (network, ports, size) = (cluster.ground.network.clone(), cluster.ground.ports.clone(), plan.voters);
    let load = client.spawn(async move {
        let mut done = 0;
        let mut failed = 0;
        for n in 0..400u64 {
            tokio::time::sleep(Duration::from_millis(fastrand::u64(..200))).await;
            let channel = Channel::new(network.clone(), ports.clone(), 1, 1 + (n % u64::from(size)) as u32);
            let mut kv = KvClient::with_origin(channel, http::Uri::from_static("http://m"));
            let request =
                PutRequest { key: format!("k{}", n % 7).into(), value: n.to_string().into(), ..Default::default() };
            match tokio::time::timeout(Duration::from_secs(1), kv.put(request)).await {
                Ok(Ok(answer)) => {
                    done += 1;
                    note(format_args!("put {n}: {}", answer.into_inner().header.unwrap().revision))
                }
                other => {
                    failed += 1;
                    note(format_args!("put {n}: {other:?}"))
                }
            }
        }
        (done, failed)
    });
    let (_, (done, failed)) = tokio::join!(
        async {
            drop(tokio::time::timeout(HEALED_AT, chaos.clone().run(plan)).await);
            tokio::time::sleep_until(tokio::time::Instant::now() + HEALED_AT.saturating_sub(crate::now())).await;
            note(format_args!("healed"));
            cluster.heal(plan.weather.delay);
        },
        async { load.await.unwrap() }
    );
    note(format_args!("{done} {failed}"));
    tokio::time::sleep(Duration::from_secs(10)).await;
    let members = chaos.growth.complete(&cluster).await;
    note(format_args!("members {members:?}"));
    if members.is_none() {
        cluster.complain("no members".to_owned());
    }
    for member in members.into_iter().flatten() {
        let Some(number) = member.peer_ur_ls.iter().find_map(|url| crate::node::number_of(url)) else { continue };
        let channel = Channel::new(cluster.ground.network.clone(), cluster.ground.ports.clone(), 2, number);
        let mut kv = KvClient::with_origin(channel, http::Uri::from_static("http://m"));
        let request = RangeRequest { key: "a".into(), range_end: "z".into(), serializable: true, ..Default::default() };
        let answer = tokio::time::timeout(Duration::from_secs(5), kv.range(request)).await;
        note(format_args!("{number}: {answer:?}"));
        if !matches!(answer, Ok(Ok(_))) {
            cluster.complain(format!("member {number} {}: {answer:?}", member.is_learner));
        }
    }
    cluster.complaints()
}
