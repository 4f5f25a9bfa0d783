//! The data: all key revisions put, and what the server holds of them in memory and on the disk.

use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::disk::DiskUsage;
use super::plan::{Filling, Plan};
use super::subject::Subject;
use crate::BenchError;
use crate::generator::Generator;
use crate::keys::Keys;
use crate::load::Amount;
use crate::preload::put_in_txns;
use crate::progress::Progress;
use crate::usage::Memory;

/// What putting the data cost a server, and what it holds now.
#[derive(Debug, Clone, Serialize)]
pub struct Filled {
    /// Puts.
    pub key_revisions: u64,
    /// By how much the store's revision grew: one for each transaction or single put.
    pub store_revisions: u64,
    /// How long it took.
    pub seconds: f64,
    /// User and system time of the server for a put, in microseconds.
    pub cpu_us: f64,
    /// After a rest from the last put.
    pub memory: Memory,
    /// As `memory`.
    pub disk: DiskUsage,
}

/// Puts all the data into a running server without any, and looks at it after a rest.
pub(super) async fn fill(subject: &Subject<'_>, plan: &Plan, progress: &Progress) -> Result<Filled, BenchError> {
    let server = subject.process()?;
    let (before, cpu_before) = (subject.revision().await?, server.usage()?.cpu);
    let began = Instant::now();
    put_all(subject, plan, progress).await?;
    let last_put = Instant::now();
    let cpu = server.usage()?.cpu.saturating_sub(cpu_before);
    progress.says("resting");
    sleep(plan.rest).await;
    let (memory, disk) = (server.memory()?, subject.disk_usage()?);
    let after = subject.revision().await?;
    subject.check(plan, after).await?;
    Ok(Filled {
        key_revisions: plan.revisions,
        store_revisions: store_revisions(plan, before, after)?,
        seconds: (last_put - began).as_secs_f64(),
        cpu_us: cpu.as_secs_f64() * 1e6 / plan.revisions as f64,
        memory,
        disk,
    })
}

async fn put_all(subject: &Subject<'_>, plan: &Plan, progress: &Progress) -> Result<(), BenchError> {
    let told = &mut |done: u64| progress.is_at(done as f64 / plan.revisions as f64, done);
    match plan.filling {
        Filling::Txns(puts) => {
            let keys = Keys::new(&plan.load(Amount::Ops(1)));
            put_in_txns(&subject.endpoint()?, &keys, plan.revisions, puts, told).await
        }
        Filling::Singles => {
            let generator = Generator::connect(plan.singles(), &[subject.process()?.url()]).await?;
            generator.measure(&mut |_, done| told(done)).await.map(drop)
        }
    }
}

/// A server that keeps fewer revisions than were put, or has made up some, is not comparable.
fn store_revisions(plan: &Plan, before: i64, after: i64) -> Result<u64, BenchError> {
    let wanted = plan.revisions.div_ceil(plan.puts_of_a_txn());
    match u64::try_from(after - before) {
        Ok(grown) if grown == wanted => Ok(grown),
        _ => {
            let what = format!("the store went from revision {before} to {after}, not by {wanted}");
            Err(BenchError::answer("loading keys", what))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_grew_by_more_or_less_than_was_put_is_refused() {
        let plan = Plan { key_space: 100, revisions: 1_010, filling: Filling::Txns(100), ..Plan::default() };
        assert_eq!(store_revisions(&plan, 1, 12).unwrap(), 11);
        for after in [0, 11, 13] {
            assert!(store_revisions(&plan, 1, after).is_err(), "{after}");
        }
        let singles = Plan { filling: Filling::Singles, ..plan };
        assert_eq!(store_revisions(&singles, 1, 1_011).unwrap(), 1_010);
    }
}
