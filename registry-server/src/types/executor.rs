//! The executor seam: blocking work (the WAL, apply) runs on lanes, never on the async threads.
//!
//! A lane does its jobs one after another, in the order of submission. In production it is a thread; a
//! simulation runs the jobs as delayed tasks on virtual time.

use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread;

use tokio::sync::oneshot;

/// A piece of blocking work.
pub type Job = Box<dyn FnOnce() + Send>;

/// How many jobs may wait in a lane. Every user of a lane keeps at most a handful under way (the WAL one
/// flush, the state machine one batch), so a full lane is a bug of ours, not a load of the users'.
const LANE_CAPACITY: usize = 64;

/// Two read and verify a snapshot as fast as one restores it.
const HELPERS: usize = 2;

/// Makes lanes.
pub trait Executor: Clone + Send + Sync + 'static {
    /// A new lane; `name` shows in thread lists.
    ///
    /// # Errors
    /// When the system has no thread left.
    fn lane(&self, name: &str) -> std::io::Result<Lane>;

    /// How many threads of its own a job may start while it runs; none where all must be repeatable.
    fn helpers(&self) -> usize;
}

/// A queue of jobs, done in order. Clones share the lane; it ends when the last clone is dropped and the
/// jobs submitted before are done.
#[derive(Clone)]
pub struct Lane(Arc<dyn Fn(Job) -> Result<(), LaneClosed> + Send + Sync>);

/// The lane has ended, so its owner is stopping.
#[derive(Debug, thiserror::Error)]
#[error("the executor lane has ended")]
pub struct LaneClosed;

impl Lane {
    /// A lane over any way of running jobs in order.
    pub fn new(submit: impl Fn(Job) -> Result<(), LaneClosed> + Send + Sync + 'static) -> Self {
        Self(Arc::new(submit))
    }

    /// Submits a job; returns at once.
    ///
    /// # Errors
    /// [`LaneClosed`] when the lane's thread has ended; the job is dropped.
    pub fn submit(&self, job: impl FnOnce() + Send + 'static) -> Result<(), LaneClosed> {
        (self.0)(Box::new(job))
    }

    /// Does a piece of work on the lane and gives its result.
    ///
    /// # Errors
    /// [`LaneClosed`] when the lane has ended before, or in the middle of it.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, LaneClosed> {
        let (done, result) = oneshot::channel();
        self.submit(move || drop(done.send(work())))?;
        result.await.map_err(|_| LaneClosed)
    }
}

impl std::fmt::Debug for Lane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Lane")
    }
}

/// One thread a lane.
#[derive(Debug, Clone, Copy, Default)]
pub struct ThreadExecutor;

impl Executor for ThreadExecutor {
    fn lane(&self, name: &str) -> std::io::Result<Lane> {
        let (sender, receiver): (SyncSender<Job>, _) = sync_channel(LANE_CAPACITY);
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            for job in receiver {
                job();
            }
        })?;
        Ok(Lane::new(move |job| match sender.try_send(job) {
            Ok(()) => Ok(()),
            Err(TrySendError::Disconnected(_)) => Err(LaneClosed),
            Err(TrySendError::Full(_)) => panic!("more than {LANE_CAPACITY} jobs wait in one lane"),
        }))
    }

    fn helpers(&self) -> usize {
        HELPERS
    }
}
