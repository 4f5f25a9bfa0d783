//! The runtime seam on virtual time: tasks of the current process, its clock, and random numbers of the seed.
//!
//! Underneath is tokio's runtime of one thread with its clock stopped: it polls tasks in the order in which they were
//! woken, and when all wait it goes to the next timer. So the services and the SDK, which use tokio's timers, run as they
//! are. openraft's own simulated runtime gives the watch channel, as tokio's wakes those who wait in random order.

use std::fmt;
use std::future::Future;
use std::ops::{Add, AddAssign, Sub, SubAssign};
use std::time::Duration;

use openraft::AsyncRuntime;
use openraft_rt_sim::{SimRuntime, SimWatch};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::error::Elapsed;

use crate::process::Process;
use crate::world;

/// The runtime of all simulated members.
#[derive(Debug)]
pub(crate) struct Simulated(tokio::runtime::Runtime);

/// What the clock of a process shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Instant(Duration);

impl openraft::Instant for Instant {
    fn now() -> Self {
        Self(world::now() + Process::current().map_or(Duration::ZERO, |process| process.clock()))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, more: Duration) -> Self {
        Self(self.0 + more)
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, more: Duration) {
        self.0 += more;
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;

    fn sub(self, less: Duration) -> Self {
        Self(self.0.saturating_sub(less))
    }
}

impl SubAssign<Duration> for Instant {
    fn sub_assign(&mut self, less: Duration) {
        self.0 = self.0.saturating_sub(less);
    }
}

impl Sub for Instant {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl AsyncRuntime for Simulated {
    type JoinError = JoinError;
    type JoinHandle<T: Send + 'static> = JoinHandle<T>;
    type Sleep = tokio::time::Sleep;
    type Instant = Instant;
    type TimeoutError = Elapsed;
    type Timeout<R, T: Future<Output = R> + Send> = tokio::time::Timeout<T>;
    type ThreadLocalRng = SmallRng;

    fn spawn<T>(future: T) -> JoinHandle<T::Output>
    where
        T: Future + Send + 'static,
        T::Output: Send + 'static,
    {
        Process::spawn_here(future)
    }

    fn sleep(duration: Duration) -> Self::Sleep {
        tokio::time::sleep(duration)
    }

    fn sleep_until(deadline: Instant) -> Self::Sleep {
        tokio::time::sleep(deadline - <Instant as openraft::Instant>::now())
    }

    fn timeout<R, F: Future<Output = R> + Send>(duration: Duration, future: F) -> Self::Timeout<R, F> {
        tokio::time::timeout(duration, future)
    }

    fn timeout_at<R, F: Future<Output = R> + Send>(deadline: Instant, future: F) -> Self::Timeout<R, F> {
        tokio::time::timeout(deadline - <Instant as openraft::Instant>::now(), future)
    }

    fn is_panic(error: &JoinError) -> bool {
        error.is_panic()
    }

    fn thread_rng() -> SmallRng {
        SmallRng::seed_from_u64(fastrand::u64(..))
    }

    type Mpsc = <SimRuntime as AsyncRuntime>::Mpsc;
    type Watch = SimWatch;
    type Oneshot = <SimRuntime as AsyncRuntime>::Oneshot;
    type Mutex<T: Send + 'static> = <SimRuntime as AsyncRuntime>::Mutex<T>;

    fn new(_threads: usize) -> Self {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        Self(
            builder
                .enable_time()
                .start_paused(true)
                .build()
                .expect("a runtime without I/O needs nothing of the system"),
        )
    }

    fn block_on<F: Future<Output = T>, T>(&mut self, future: F) -> T {
        self.0.block_on(future)
    }

    /// Done at once: no time passes while it runs.
    async fn spawn_blocking<F, T>(work: F) -> Result<T, std::io::Error>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        tokio::task::yield_now().await;
        Ok(work())
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.0.as_secs_f64())
    }
}
