//! One simulation from its plan to its end: faults and load, then healing, and all must come to rest and agree.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use openraft::AsyncRuntime;
use registry_checkers::history::{History, MemberState};
use registry_checkers::{Limits, Report, check};
use registry_load::{Load, Members, Recorder, Settings, read_state};
use registry_server::types::MemberId;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::chaos::Chaos;
use crate::cluster::Cluster;
use crate::growth::Growth;
use crate::node::{Node, number_of};
use crate::panics;
use crate::plan::{HEALED_AT, Plan};
use crate::process::forget_polls;
use crate::runtime::Simulated;
use crate::users::Users;
use crate::world::{Log, World, note, now};

/// After the healing, everything that is waited for comes within this.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often members are asked whether they agree.
const LOOK: Duration = Duration::from_millis(250);

/// No simulation takes longer, whatever happens.
const LONGEST: Duration = Duration::from_secs(300);

/// What the members say beside the trace. Some of openraft's lines carry the time of day, and two replays would differ.
const LOG: &str = "info,openraft=warn";

/// How it went.
#[derive(Debug)]
pub struct Outcome {
    /// What must not have happened, in words; nothing if all is well.
    pub problems: Vec<String>,
    /// What was judged.
    pub report: Report,
    /// What was seen.
    pub history: History,
    /// How long it took, on the simulation's clock.
    pub lasted: Duration,
    /// How many messages there were.
    pub messages: u64,
    /// Of the trace.
    pub hash: u64,
    /// Of the trace.
    pub lines: u64,
    /// The trace, if it was kept.
    pub trace: Option<String>,
}

/// Carries a plan out, on this thread.
#[must_use]
pub fn simulate(plan: &Plan, keep_trace: bool) -> Outcome {
    let filter = std::env::var("SIMULATION_LOG").unwrap_or_else(|_| LOG.to_owned());
    let logs = tracing_subscriber::fmt().without_time().with_ansi(false).with_env_filter(filter).with_writer(|| Log);
    // Lines are made for those who read them only.
    if keep_trace {
        tracing::subscriber::with_default(logs.finish(), || carry_out(plan, true))
    } else {
        carry_out(plan, false)
    }
}

fn carry_out(plan: &Plan, keep_trace: bool) -> Outcome {
    panics::watch();
    forget_polls();
    let mut runtime = Simulated::new(1);
    let mut outcome = runtime.block_on(async {
        let world = World::begin(plan.seed, keep_trace);
        let cluster = Cluster::new(plan);
        let mut problems = Vec::new();
        let history = match timeout(LONGEST, live(plan, &cluster, &mut problems)).await {
            Ok(history) => history,
            Err(_) => {
                problems.push(format!("it was not over after {LONGEST:?}"));
                History::default()
            }
        };
        problems.extend(cluster.complaints());
        let report = check(&history, &limits(plan));
        problems
            .extend(report.violations.iter().filter(|violation| !violation.promise.is_soft()).map(ToString::to_string));
        let (hash, lines, trace) = world.trace();
        let (lasted, messages) = (now(), cluster.ground.network.sent());
        World::end();
        cluster.end();
        Outcome { problems, report, history, lasted, messages, hash, lines, trace }
    });
    drop(runtime);
    outcome.problems.extend(panics::seen());
    outcome
}

fn limits(plan: &Plan) -> Limits {
    Limits { late: Duration::from_secs(5) + 4 * plan.settings.election, ..Limits::default() }
}

/// What the clients of a plan do.
fn load_of(plan: &Plan) -> Settings {
    let min_ttl_seconds = (plan.settings.election * 3 / 2).as_secs_f64().ceil() as i64;
    Settings {
        seed: plan.seed,
        clients: 8,
        calls: 36,
        limit: HEALED_AT,
        think_ms: 0..=2_400,
        ttl_seconds: min_ttl_seconds..=min_ttl_seconds + 7,
        min_ttl_seconds,
        watches: 3,
        watch_ms: 2_000..=12_000,
        contenders: 2,
        locks: 5,
        latecomers: 2,
        late_renewals: 6,
        registrars: 2,
        registrations: 3,
        held_ms: 2_000..=12_000,
        last_calls: 3,
        ..Settings::default()
    }
}

async fn live(plan: &Plan, cluster: &Arc<Cluster>, problems: &mut Vec<String>) -> History {
    drop(tokio::spawn(cluster.clone().look_after()));
    let users = Users::new(cluster.clone());
    let chaos = Arc::new(Chaos { cluster: cluster.clone(), users: users.clone(), growth: Growth::default() });
    let members: Arc<dyn Members> = users.clone();
    let load = Load::new(load_of(plan), members, users.spawn());
    let mut load = match load {
        Ok(load) => load.registering(users.clone()).traced(Arc::new(|_, what: fmt::Arguments<'_>| note(what))),
        Err(wrong) => {
            problems.push(wrong);
            return History::default();
        }
    };
    let healed_at = Instant::now() + HEALED_AT;
    let faults = async {
        drop(tokio::time::timeout_at(healed_at, chaos.clone().run(plan)).await);
        sleep_until(healed_at).await;
        note(format_args!("healed"));
        cluster.heal(plan.weather.delay);
        users.processes().iter().for_each(|process| process.resume());
    };
    tokio::join!(faults, load.run());
    load.settle(PATIENCE).await;
    let states = agreement(cluster, &chaos.growth, &users, load.recorder()).await;
    let revision = states.iter().map(|state| state.revision).max().unwrap_or_default();
    states.into_iter().for_each(|state| load.recorder().add_member(state));
    let (history, complaints) = load.conclude(revision, PATIENCE).await;
    problems.extend(complaints);
    history
}

/// Waits until all members say the same, and gives what they say.
async fn agreement(cluster: &Arc<Cluster>, growth: &Growth, users: &Users, recorder: &Recorder) -> Vec<MemberState> {
    let until = Instant::now() + PATIENCE;
    loop {
        let read = states(cluster, growth, users, recorder).await;
        let agree = |states: &[MemberState]| {
            states.windows(2).all(|two| {
                let [one, other] = two else { return true };
                (one.revision, &one.state, &one.leases) == (other.revision, &other.state, &other.leases)
            })
        };
        match read {
            Ok(states) if agree(&states) || Instant::now() > until => return states,
            Err(why) if Instant::now() > until => {
                cluster.complain(format!("the cluster does not come to rest: {why}"));
                return Vec::new();
            }
            _ => sleep(LOOK).await,
        }
    }
}

/// What every member holds. A learner that its operator has not promoted yet is promoted now, which it can be once it has
/// what the others have.
async fn states(
    cluster: &Arc<Cluster>,
    growth: &Growth,
    users: &Users,
    recorder: &Recorder,
) -> Result<Vec<MemberState>, String> {
    let members = growth.complete(cluster).await.ok_or("nobody lists the members")?;
    let is_member = |node: &&Arc<Node>| members.iter().any(|member| member.id == node.member.0);
    if let Some(node) = cluster.nodes().iter().filter(|node| node.process().is_some()).find(|node| !is_member(node)) {
        return Err(format!("member {} was removed and goes on", node.number));
    }
    let mut states = Vec::new();
    for learner in members.iter().filter(|member| member.is_learner) {
        growth.promote(cluster, MemberId(learner.id)).await.map_err(|status| status.message().to_owned())?;
    }
    for member in &members {
        let number = member.peer_ur_ls.iter().find_map(|url| number_of(url)).ok_or("a member has no address")?;
        let index = cluster.nodes().iter().position(|node| node.number == number).ok_or("a member is not there")?;
        let reach = users.reach(0, index);
        if growth.members_as_seen_by(cluster, number).await.as_ref() != Some(&members) {
            return Err(format!("member {number} lists other members"));
        }
        let state =
            timeout(PATIENCE, read_state(&reach, recorder)).await.map_err(|_| format!("member {number} is silent"))?;
        states.push(state.map_err(|status| format!("member {number}: {}", status.message()))?);
    }
    Ok(states)
}
