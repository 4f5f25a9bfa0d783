//! What clients see of real processes that fail is judged as what they see of simulated ones is.
//!
//! Three servers are killed, paused, stopped and cut off from each other (`faults`), the way into which is
//! `network`'s, while the load of `registry-load` goes on through all of them (`users`) and processes that hold
//! registrations are killed (`instances`). Then all is healed, the members must agree (`agreement`), and
//! `registry-checkers` judges what everybody saw, and `verdict` whether that was enough. So what the simulation cannot model
//! is covered by the same rules: tonic, HTTP/2, the kernel and threads.
//!
//! The seed is printed. `HISTORY_SEED` repeats the choices (not the machine's timing), `HISTORY_SECONDS` says how long faults
//! go on, and `HISTORY_PROXIES=1` cuts with the kit's proxies, as is done where there are no network namespaces.

mod agreement;
mod faults;
mod instances;
mod network;
mod settings;
mod users;
mod verdict;

use std::sync::Arc;

use registry_checkers::check;
use registry_load::{Load, Members, Spawn};
use registry_tests::{Cluster, Footprint, is_inside, run_inside};
use tokio::time::{Duration, Instant};

use self::faults::Faults;
use self::instances::Instances;
use self::settings::Run;
use self::users::Users;
use self::verdict::Verdict;

/// Whatever is waited for after the healing comes within this.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs the test inside a network namespace, where that can be; says whether it did.
async fn ran_inside(run: &Run, test: &'static str) -> bool {
    if is_inside() || run.has_proxies {
        return false;
    }
    let ended = tokio::task::spawn_blocking(move || run_inside(test)).await.expect("it does not panic");
    assert!(ended.is_none_or(|status| status.success()), "inside: {ended:?}");
    ended.is_some()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_fail_keep_every_promise() {
    let run = Run::of_environment();
    if ran_inside(&run, "processes_that_fail_keep_every_promise").await {
        return;
    }
    println!("{}", run.command());
    let verdict = carry_out(run).await;
    println!("{verdict}");
    verdict.assert_good();
}

/// A run from its beginning to its end, and what came of it.
async fn carry_out(run: Run) -> Verdict {
    let mut cluster = Cluster::start(run.plan()).await;
    let users = Arc::new(Users::of(&cluster).await);
    let members: Arc<dyn Members> = users.clone();
    let spawn: Spawn = Arc::new(|task| drop(tokio::spawn(task)));
    let load = Load::new(run.load(), members, spawn).expect("the settings make sense");
    let mut load = load.registering(users.clone());

    let end = Instant::now() + run.length;
    let mut faults = Faults::new(run.seed, end);
    let mut instances = Instances::new(&run, cluster.urls(), load.recorder().clone(), end);
    tokio::join!(faults.run(&mut cluster), instances.run(), load.run());

    load.settle(PATIENCE).await;
    let states = agreement::states(&users, load.recorder()).await;
    let revision = states.iter().map(|state| state.revision).max().expect("there are members");
    states.into_iter().for_each(|state| load.recorder().add_member(state));
    let (mut history, complaints) = load.conclude(revision, PATIENCE).await;
    instances.enter(&mut history);

    let began = Instant::now();
    let report = check(&history, &run.limits());
    let peak_kib = Footprint::of(std::process::id()).peak_kib;
    let terms = cluster.standings().await.iter().map(|standing| standing.term).max().unwrap_or_default();
    Verdict { run, report, history, complaints, faults: faults.counts, terms, judging: began.elapsed(), peak_kib }
}
