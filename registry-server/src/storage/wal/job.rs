//! The log's jobs on its two lanes, and its end: every job is counted, so that closing can wait for the last.
//!
//! What always holds: a job that panics, or is dropped by its lane, closes the log for good instead of
//! leaving callers without an answer; once a closed log has no job, it touches its directory never again.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::done::Done;
use super::{Core, Wal, WalError};
use crate::storage::vfs::Vfs;
use crate::types::Lane;

/// Called once, when something that is waited for has happened.
pub(super) type Wake = Box<dyn FnOnce() + Send>;

/// What counts the jobs and ends the log.
#[derive(Default)]
pub(super) struct Jobs {
    /// Submitted or running.
    count: usize,
    closed: bool,
    /// Called when a closed log's last job has ended.
    on_closed: Vec<Wake>,
}

impl Jobs {
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }
}

/// One submitted job, until it has ended in whatever way.
struct Job<V: Vfs> {
    core: Arc<Core<V>>,
    started: bool,
}

impl<V: Vfs> Wal<V> {
    /// Ends the log: no batch is begun any more, what waits is answered with [`WalError::Closed`], and so is
    /// every later call. `done` is called when the batch, the zero-fill and the removal under way have ended,
    /// on a lane or at once; from then on nothing of this log touches its directory, so that another may be
    /// opened there. Calling it again is harmless: each `done` is called.
    pub fn close(&self, done: impl FnOnce() + Send + 'static) {
        let waiters = {
            let mut state = self.core.state.lock();
            state.jobs.closed = true;
            state.jobs.on_closed.push(Box::new(done));
            std::mem::take(&mut state.waiters)
        };
        wake_all(waiters);
        self.core.end_when_idle();
    }
}

impl<V: Vfs> Core<V> {
    /// Runs a job on one of the log's lanes.
    pub(super) fn submit(self: &Arc<Self>, lane: &Lane, run: impl FnOnce(&Arc<Self>) + Send + 'static) {
        self.state.lock().jobs.count += 1;
        let mut job = Job { core: self.clone(), started: false };
        let submitted = lane.submit(move || {
            job.started = true;
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(&job.core))) {
                job.core.fail(io::Error::other(format!("the log's thread panicked: {}", panic_text(&*panic))), []);
            }
        });
        // A job that was refused was dropped, and that told everyone.
        drop(submitted);
    }

    /// Ends a closed log when its last job has ended.
    fn end_when_idle(&self) {
        let (waiting, on_closed) = {
            let mut state = self.state.lock();
            if !state.jobs.closed || state.jobs.count > 0 {
                return;
            }
            (state.queue.drain(), std::mem::take(&mut state.jobs.on_closed))
        };
        answer_all(waiting, &WalError::Closed);
        wake_all(on_closed);
    }
}

impl<V: Vfs> Drop for Job<V> {
    fn drop(&mut self) {
        if !self.started && !self.core.state.lock().jobs.closed {
            self.core.fail(io::Error::other("the log's thread has ended"), []);
        }
        self.core.state.lock().jobs.count -= 1;
        self.core.end_when_idle();
    }
}

/// Answers everyone with the same error, in order.
pub(super) fn answer_all(dones: impl IntoIterator<Item = Done>, error: &WalError) {
    for done in dones {
        done.answer(Err(error.clone()));
    }
}

pub(super) fn wake_all(wakes: Vec<Wake>) {
    for wake in wakes {
        wake();
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text")
}
