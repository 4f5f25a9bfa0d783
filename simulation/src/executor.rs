//! The executor seam: lanes are tasks of their process, and a job is done after the time that a disk takes.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use registry_server::types::{Executor, Job, Lane, LaneClosed};
use tokio::sync::mpsc;

use crate::process::Process;

/// Every user of a lane keeps a handful of jobs under way.
const LANE_CAPACITY: usize = 64;

/// The lane that syncs.
const WAL: &str = "wal";

/// Makes lanes of a process.
#[derive(Debug, Clone)]
pub(crate) struct Lanes(pub(crate) Arc<Process>);

impl Executor for Lanes {
    fn lane(&self, name: &str) -> io::Result<Lane> {
        let (sender, mut jobs) = mpsc::channel::<Job>(LANE_CAPACITY);
        let (process, syncs) = (self.0.clone(), name == WAL);
        let work = async move {
            while let Some(job) = jobs.recv().await {
                let longest = if syncs { process.sync() } else { Duration::ZERO };
                if !longest.is_zero() {
                    tokio::time::sleep(longest.mul_f64(fastrand::f64())).await;
                }
                job();
            }
        };
        drop(self.0.spawn(work));
        Ok(Lane::new(move |job| match sender.try_send(job) {
            Ok(()) => Ok(()),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(LaneClosed),
            Err(mpsc::error::TrySendError::Full(_)) => panic!("more than {LANE_CAPACITY} jobs wait in one lane"),
        }))
    }

    fn helpers(&self) -> usize {
        0
    }
}
