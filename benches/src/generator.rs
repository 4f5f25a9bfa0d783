//! A load on a running server: connects, loads keys, warms up, measures.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use hdrhistogram::Histogram;
use tokio::time::{Instant, sleep};

use crate::BenchError;
use crate::channel::Endpoint;
use crate::clients::Fanout;
use crate::crew::{Crew, Plan};
use crate::keys::Keys;
use crate::load::{Amount, Load};
use crate::phase::Phase;
use crate::preload::preload;
use crate::recorder::{self, Recorder};

/// How often whoever watches is told how far a phase is.
const REPORT_EVERY: Duration = Duration::from_millis(250);

/// What a phase has done.
#[derive(Debug, Clone)]
pub struct Measured {
    /// Operations; for watch: events.
    pub operations: u64,
    /// From the first operation's beginning to the last one's end.
    pub elapsed: Duration,
    /// Latencies in nanoseconds.
    pub latency: Histogram<u64>,
}

/// Stops a phase, which is no news to one that has ended.
struct StopOnDrop(Arc<Phase>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Connected clients of one load. Dropping it closes their connections.
#[derive(Debug)]
pub struct Generator {
    load: Arc<Load>,
    crews: Vec<Crew>,
    recorders: Vec<Arc<Recorder>>,
}

impl Generator {
    /// Loads the keys that the load needs, and connects all its clients; their connections go around the endpoints,
    /// of which what is done by one alone takes the first.
    ///
    /// # Errors
    /// A load that cannot be made, a server that cannot be reached, or the first operation it refused.
    pub async fn start(load: Load, endpoints: &[&str]) -> Result<Self, BenchError> {
        load.validate()?;
        if load.needs_keys() {
            let [first, ..] = endpoints else { return Err(nowhere()) };
            preload(&load, &Endpoint::parse(first)?, &Keys::new(&load)).await?;
        }
        Self::connect(load, endpoints).await
    }

    /// Connects all clients of a load whose keys are there already, if it needs them.
    ///
    /// # Errors
    /// A load that cannot be made, or a server that cannot be reached.
    pub async fn connect(load: Load, endpoints: &[&str]) -> Result<Self, BenchError> {
        load.validate()?;
        let endpoints: Arc<[Endpoint]> =
            endpoints.iter().map(|text| Endpoint::parse(text)).collect::<Result<_, _>>()?;
        if endpoints.is_empty() {
            return Err(nowhere());
        }
        let keys = Arc::new(Keys::new(&load));
        let window = load.rate.is_none().then_some(load.window);
        let fanout = Arc::new(Fanout::new(load.arrivals(), window));
        let load = Arc::new(load);
        let (mut crews, mut recorders) = (Vec::new(), Vec::new());
        for thread in 0..load.threads {
            let recorder = Arc::new(Recorder::new());
            recorders.push(Arc::clone(&recorder));
            let (load, endpoints, keys) = (Arc::clone(&load), Arc::clone(&endpoints), Arc::clone(&keys));
            let plan = Plan { load, endpoints, keys, fanout: Arc::clone(&fanout), recorder, thread };
            crews.push(Crew::start(plan).await?);
        }
        Ok(Self { load, crews, recorders })
    }

    /// Runs the load without keeping figures.
    ///
    /// # Errors
    /// The first operation that failed.
    pub async fn warm_up(&self) -> Result<(), BenchError> {
        if !self.load.warmup.is_zero() {
            self.run(Amount::Time(self.load.warmup), &mut |_, _| {}).await?;
        }
        Ok(())
    }

    /// Runs the load. `watch` is told a few times a second which part of it is through (0 to 1) and how many
    /// operations have been done.
    ///
    /// # Errors
    /// The first operation that failed.
    pub async fn measure(&self, watch: &mut (dyn FnMut(f64, u64) + Send)) -> Result<Measured, BenchError> {
        self.run(self.load.amount, watch).await
    }

    /// As [`Self::measure`], but for so long instead of the load's amount.
    ///
    /// # Errors
    /// The first operation that failed.
    pub async fn measure_for(
        &self,
        time: Duration,
        watch: &mut (dyn FnMut(f64, u64) + Send),
    ) -> Result<Measured, BenchError> {
        self.run(Amount::Time(time), watch).await
    }

    async fn run(&self, amount: Amount, watch: &mut (dyn FnMut(f64, u64) + Send)) -> Result<Measured, BenchError> {
        let started = Instant::now();
        let phase = Arc::new(Phase::new(started, amount, self.load.rate));
        // Crews end when they are through with their phase: one that was given up must not go on for a minute.
        let _given_up = StopOnDrop(Arc::clone(&phase));
        let crews = try_join_all(self.crews.iter().map(|crew| crew.run(Arc::clone(&phase))));
        let tell = async {
            loop {
                sleep(REPORT_EVERY).await;
                watch(phase.progress(), self.recorders.iter().map(|recorder| recorder.count()).sum());
            }
        };
        tokio::select! {
            ended = crews => ended.map(drop)?,
            () = tell => {}
        }
        let elapsed = started.elapsed();
        // Taken only now: one thread's watchers may still have been receiving when another was through.
        let latency = self.take_latencies();
        match phase.take_failure() {
            Some(failure) => Err(failure),
            None => Ok(Measured { operations: latency.len(), elapsed, latency }),
        }
    }

    fn take_latencies(&self) -> Histogram<u64> {
        let mut all = recorder::empty();
        for recorder in &self.recorders {
            all += recorder.take();
        }
        all
    }
}

fn nowhere() -> BenchError {
    BenchError::Load("a load needs at least one endpoint".to_owned())
}
