//! Starts on existing data: after a stop in order, again and again, and once after a crash.
//!
//! The servers take turns, one process at a time, so nothing but the machine's other work disturbs a start.

use serde::Serialize;
use tokio::time::sleep;

use super::plan::Plan;
use super::subject::Subject;
use crate::BenchError;
use crate::progress::Progress;
use crate::usage::Memory;

/// One start of one server on its data.
#[derive(Debug, Clone, Serialize)]
pub struct Restart {
    /// How long the stop before it took; none when it was killed.
    pub stop_seconds: Option<f64>,
    /// From before the process began until its first linearizable read was answered.
    pub seconds: f64,
    /// User and system time of the server until then, in seconds.
    pub cpu_seconds: f64,
    /// What it held then.
    pub at_first_read: Memory,
    /// What it held after a rest.
    pub rested: Memory,
}

/// Restarts by round and server: the last round is after a crash.
#[derive(Debug, Clone, Serialize)]
pub struct Restarts {
    /// After a stop in order.
    pub ordered: Vec<Vec<Restart>>,
    /// After SIGKILL.
    pub crashed: Vec<Restart>,
}

/// Restarts the servers, which run at first and no longer in the end.
pub(super) async fn measure(
    plan: &Plan,
    subjects: &mut [Subject<'_>],
    progress: &Progress,
    say: &mut dyn FnMut(&str),
) -> Result<Restarts, BenchError> {
    let (mut revisions, mut stops) = (Vec::new(), Vec::new());
    for subject in &mut *subjects {
        revisions.push(subject.revision().await?);
        stops.push(stop(subject, plan, progress).await?);
    }
    say(&format!("\n{}", head()));
    let mut all = Restarts { ordered: Vec::new(), crashed: Vec::new() };
    for round in 1..=plan.restarts + 1 {
        let mut restarts = Vec::new();
        for (subject, (revision, stop_seconds)) in subjects.iter_mut().zip(revisions.iter().zip(&mut stops)) {
            progress.begins(format!("restart {round} {}", subject.name()));
            let mut restart = restart(subject, plan, *revision, progress).await?;
            restart.stop_seconds = *stop_seconds;
            // The last one in order is followed by the crash, the one after the crash by the end.
            *stop_seconds =
                if round == plan.restarts { crash(subject)? } else { stop(subject, plan, progress).await? };
            progress.ends();
            say(&line(&format!("{round} {}", subject.name()), &restart));
            restarts.push(restart);
        }
        if round > plan.restarts {
            all.crashed = restarts;
        } else {
            all.ordered.push(restarts);
        }
    }
    Ok(all)
}

async fn restart(
    subject: &mut Subject<'_>,
    plan: &Plan,
    revision: i64,
    progress: &Progress,
) -> Result<Restart, BenchError> {
    progress.says("starting");
    let server = subject.start(plan.start_limit).await?;
    let (at_first_read, usage) = (server.memory()?, server.usage()?);
    progress.says("resting");
    sleep(plan.rest).await;
    let rested = server.memory()?;
    let seconds = server.served_after().as_secs_f64();
    // Last, because counting the keys may cost memory.
    subject.check(plan, revision).await?;
    Ok(Restart { stop_seconds: None, seconds, cpu_seconds: usage.cpu.as_secs_f64(), at_first_read, rested })
}

async fn stop(subject: &mut Subject<'_>, plan: &Plan, progress: &Progress) -> Result<Option<f64>, BenchError> {
    progress.says("stopping");
    Ok(Some(subject.stop(plan.start_limit).await?.as_secs_f64()))
}

fn crash(subject: &mut Subject<'_>) -> Result<Option<f64>, BenchError> {
    subject.crash().map(|()| None)
}

fn head() -> String {
    format!("{:30} {:>10} {:>10} {:>10} {:>10} {:>10}", "restarts", "stop s", "start s", "CPU s", "RSS MiB", "rested")
}

fn line(name: &str, restart: &Restart) -> String {
    let mib = |memory: Memory| memory.resident_bytes as f64 / f64::from(1 << 20);
    let stop = restart.stop_seconds.map_or_else(|| "killed".to_owned(), |seconds| format!("{seconds:.3}"));
    format!(
        "{name:30} {stop:>10} {:>10.3} {:>10.2} {:>10.0} {:>10.0}",
        restart.seconds,
        restart.cpu_seconds,
        mib(restart.at_first_read),
        mib(restart.rested)
    )
}
