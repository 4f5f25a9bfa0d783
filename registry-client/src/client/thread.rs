//! The SDK's thread: a runtime of its own, so that a user's blocked or dropped runtime neither starves a
//! keep-alive nor stops a revoke.
//!
//! The thread ends when the last handle is gone and everything on it has finished.

use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::workplace::Task;
use crate::clock::Clock;
use crate::error::Error;
use crate::registration::outstanding::Outstanding;

/// How often it is looked whether the machine was asleep.
const SUSPEND_CHECK: Duration = Duration::from_secs(1);
/// The two clocks differ by less than this unless it was.
const SUSPEND_TOLERANCE: Duration = Duration::from_millis(500);

/// A handle to the thread; dropping it lets the thread end with its work.
pub(super) struct Thread {
    handle: Handle,
    tracker: TaskTracker,
    _stop: DropGuard,
}

impl Thread {
    /// Starts it with the streams that live as long as it does.
    pub(super) fn start(
        streams: Vec<Task>,
        resumes: watch::Sender<u64>,
        outstanding: Arc<Outstanding>,
    ) -> Result<Self, Error> {
        let (stop, tracker) = (CancellationToken::new(), TaskTracker::new());
        let (stopped, tracked) = (stop.clone(), tracker.clone());
        let (started, handle) = sync_channel(1);
        let main = move || {
            let runtime = match Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(started.send(Err(error))),
            };
            drop(started.send(Ok(runtime.handle().clone())));
            runtime.block_on(async move {
                // These live as long as the runtime.
                streams.into_iter().for_each(|stream| drop(tokio::spawn(stream)));
                drop(tokio::spawn(tell_resumes(resumes)));
                stopped.cancelled().await;
                tracked.close();
                tracked.wait().await;
            });
            drop(runtime);
            outstanding.abandon();
        };
        let thread = std::thread::Builder::new().name("registry-sdk".to_owned()).spawn(main);
        let failed = |error: std::io::Error| Error::Setting(format!("the SDK's thread cannot be started: {error}"));
        drop(thread.map_err(failed)?);
        let handle = handle.recv().map_err(|_| Error::Closed)?.map_err(failed)?;
        Ok(Self { handle, tracker, _stop: stop.drop_guard() })
    }

    /// Runs something on the thread, which does not end before it has finished.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(self.tracker.spawn_on(task, &self.handle));
    }

    /// How many of them, and of the streams, have not ended.
    pub(super) fn tasks(&self) -> usize {
        self.handle.metrics().num_alive_tasks()
    }
}

/// Timers stand still while the machine is suspended; the boot-time clock tells.
async fn tell_resumes(resumes: watch::Sender<u64>) {
    let clock = Clock::Machine;
    loop {
        let (boot, awake) = (clock.boot_time(), Instant::now());
        tokio::time::sleep(SUSPEND_CHECK).await;
        let asleep = clock.boot_time().saturating_sub(boot).saturating_sub(awake.elapsed());
        if asleep > SUSPEND_TOLERANCE {
            resumes.send_modify(|count| *count += 1);
        }
    }
}
