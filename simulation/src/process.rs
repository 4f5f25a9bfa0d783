//! Simulated processes: tasks that can be paused and killed together, as the kernel does it with a process.
//!
//! Every task belongs to the process that was running when it was spawned. A paused process is not polled while time goes
//! on; a killed one has its tasks dropped and says nothing more. What a process runs next may be put off at random, so
//! that tasks are not always polled in the order in which they were woken.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::{AbortHandle, JoinHandle};

use crate::world;

/// Finished tasks are forgotten when there are this many more than were alive.
const FORGET_AFTER: usize = 256;

/// After so many polls the clock must have moved, or tasks keep each other busy for ever.
const MOST_POLLS: u32 = 1 << 18;

thread_local! {
    static CURRENT: RefCell<Option<Arc<Process>>> = const { RefCell::new(None) };
    /// Polls since the clock was looked at, and what it showed.
    static POLLS: Cell<(u32, Duration)> = const { Cell::new((0, Duration::ZERO)) };
}

/// Begins to count anew, for the next simulation of this thread.
pub(crate) fn forget_polls() {
    POLLS.set((0, Duration::ZERO));
}

/// Counts a poll.
///
/// # Panics
/// When time stands still: the panic names the process, and the simulation it is in has found something.
fn count_poll(process: &Process) {
    let (polls, seen) = POLLS.get();
    if polls < MOST_POLLS {
        POLLS.set((polls + 1, seen));
        return;
    }
    let now = world::now();
    POLLS.set((0, now));
    assert!(now != seen, "{} is busy for ever: no time passes in {MOST_POLLS} polls", process.name);
}

/// A process. It has a clock of its own.
pub(crate) struct Process {
    name: String,
    /// What its clock shows when the simulation's shows zero.
    clock: Duration,
    /// One in so many polls is put off; none if 0.
    yields: u64,
    /// How long a sync takes on its disk, in microseconds, at most.
    sync_us: AtomicU64,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    life: Life,
    /// Who was to be polled while it was paused.
    parked: Vec<Waker>,
    tasks: Vec<AbortHandle>,
    forget_at: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Life {
    #[default]
    Running,
    Paused,
    Killed,
}

impl Process {
    /// A process that runs. `clock` is what its clock is ahead; of `yields` polls one is put off, none if it is 0.
    #[must_use]
    pub(crate) fn new(name: impl Into<String>, clock: Duration, yields: u64) -> Arc<Self> {
        let inner = Mutex::new(Inner { forget_at: FORGET_AFTER, ..Inner::default() });
        Arc::new(Self { name: name.into(), clock, yields, sync_us: AtomicU64::new(1_000), inner })
    }

    /// What its clock is ahead of the simulation's.
    pub(crate) fn clock(&self) -> Duration {
        self.clock
    }

    /// Makes its disk fast or slow.
    pub(crate) fn set_sync(&self, longest: Duration) {
        self.sync_us.store(longest.as_micros() as u64, Ordering::Relaxed);
    }

    /// How long a sync takes at most.
    pub(crate) fn sync(&self) -> Duration {
        Duration::from_micros(self.sync_us.load(Ordering::Relaxed))
    }

    /// The process whose task is running; outside of all, none.
    #[must_use]
    pub(crate) fn current() -> Option<Arc<Self>> {
        CURRENT.with_borrow(Clone::clone)
    }

    /// Spawns a task of the process whose task is running, or of none.
    pub(crate) fn spawn_here<F>(future: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        match Self::current() {
            Some(process) => process.spawn(future),
            None => tokio::spawn(future),
        }
    }

    /// Spawns a task of this process.
    pub(crate) fn spawn<F>(self: &Arc<Self>, future: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        let task = tokio::spawn(Gated { process: self.clone(), future: Some(Box::pin(future)) });
        let mut inner = self.inner.lock();
        if inner.life == Life::Killed {
            task.abort();
            return task;
        }
        if inner.tasks.len() >= inner.forget_at {
            inner.tasks.retain(|task| !task.is_finished());
            inner.forget_at = inner.tasks.len() + FORGET_AFTER;
        }
        inner.tasks.push(task.abort_handle());
        task
    }

    /// Stops polling it.
    pub(crate) fn pause(&self) {
        let mut inner = self.inner.lock();
        if inner.life == Life::Running {
            inner.life = Life::Paused;
        }
    }

    /// Goes on polling it.
    pub(crate) fn resume(&self) {
        let parked = {
            let mut inner = self.inner.lock();
            if inner.life != Life::Paused {
                return;
            }
            inner.life = Life::Running;
            std::mem::take(&mut inner.parked)
        };
        parked.into_iter().for_each(Waker::wake);
    }

    /// Drops all its tasks.
    pub(crate) fn kill(&self) {
        let tasks = {
            let mut inner = self.inner.lock();
            inner.life = Life::Killed;
            inner.parked.clear();
            std::mem::take(&mut inner.tasks)
        };
        tasks.into_iter().for_each(|task| task.abort());
    }

    /// Whether a task may be polled now; one that may not is woken when it may.
    fn admits(&self, cx: &mut Context<'_>) -> bool {
        let mut inner = self.inner.lock();
        match inner.life {
            Life::Running => {}
            Life::Paused => {
                inner.parked.push(cx.waker().clone());
                return false;
            }
            Life::Killed => return false,
        }
        if self.yields > 0 && fastrand::u64(..self.yields) == 0 {
            cx.waker().wake_by_ref();
            return false;
        }
        true
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process").field("name", &self.name).finish_non_exhaustive()
    }
}

/// While it lives, `process` is the current one.
struct Entered(Option<Arc<Process>>);

impl Entered {
    fn enter(process: &Arc<Process>) -> Self {
        Self(CURRENT.replace(Some(process.clone())))
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}

/// A task of a process.
struct Gated<F> {
    process: Arc<Process>,
    /// Taken when it is dropped, which is done inside the process as well.
    future: Option<Pin<Box<F>>>,
}

impl<F: Future> Future for Gated<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        if !self.process.admits(cx) {
            return Poll::Pending;
        }
        count_poll(&self.process);
        let _entered = Entered::enter(&self.process);
        match &mut self.future {
            Some(future) => future.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}

impl<F> Drop for Gated<F> {
    fn drop(&mut self) {
        let _entered = Entered::enter(&self.process);
        drop(self.future.take());
    }
}
