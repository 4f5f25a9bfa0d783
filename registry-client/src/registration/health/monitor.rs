//! Asks a probe again and again, and tells the machine when the verdict changes.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

use super::gate::Gate;
use super::{BoxError, PlacedCheck, Probe};
use crate::clock::later;
use crate::instance::Status;
use crate::registration::machine::Event;

/// How often it is asked at least until the first success: a start should not wait for a long interval.
const START_INTERVAL: Duration = Duration::from_secs(1);

/// Runs until it is dropped; what it has spawned is aborted then.
pub(crate) async fn monitor(check: PlacedCheck, route: mpsc::Sender<Event>) {
    let PlacedCheck { check, place } = check;
    let mut gate = Gate::new(check.thresholds);
    let mut running = Running(None);
    loop {
        let began = Instant::now();
        let answer = match &check.probe {
            Probe::Network(network) => timed(check.timeout, network.probe(&check.security)).await,
            Probe::Callback(probe) => match &place {
                Some(place) => running.ask(check.timeout, || place.spawn(probe())).await,
                None => Err("there is no runtime for the callback".into()),
            },
        };
        if let Err(error) = &answer {
            tracing::debug!(%error, "the health check failed");
        }
        if let Some(status) = gate.note(answer.is_ok()) {
            match &answer {
                Ok(()) => tracing::info!("the health check passes"),
                Err(error) => tracing::warn!(%error, "the health check fails: the instance is shown as down"),
            }
            if route.send(Event::Health { status }).await.is_err() {
                return;
            }
        }
        let first = gate.status() == Status::Starting;
        let interval = if first { check.interval.min(START_INTERVAL) } else { check.interval };
        sleep_until(later(began, interval)).await;
    }
}

async fn timed<T>(limit: Duration, answer: impl Future<Output = Result<T, BoxError>>) -> Result<T, BoxError> {
    timeout(limit, answer).await.unwrap_or_else(|_| Err(format!("no answer within {limit:?}").into()))
}

/// The callback's task: one at a time, however long one blocks its runtime.
struct Running(Option<JoinHandle<Result<(), BoxError>>>);

impl Running {
    async fn ask(
        &mut self,
        limit: Duration,
        spawn: impl FnOnce() -> JoinHandle<Result<(), BoxError>>,
    ) -> Result<(), BoxError> {
        if self.0.as_ref().is_some_and(|before| !before.is_finished()) {
            return Err("the callback before has not ended yet".into());
        }
        let task = self.0.insert(spawn());
        let joined = timed(limit, async { task.await.map_err(BoxError::from) }).await;
        match joined {
            Ok(answer) => {
                self.0 = None;
                answer
            }
            Err(error) => {
                // Aborting one that blocks has no effect until it yields.
                self.abort();
                Err(error)
            }
        }
    }

    fn abort(&self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::super::HealthCheck;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_interval_longer_than_any_clock_is_waited_for() {
        let check = HealthCheck::callback(|| async { Ok::<(), std::io::Error>(()) }).interval(Duration::MAX);
        let (route, mut told) = mpsc::channel(1);
        let asking = tokio::spawn(monitor(check.checked().unwrap(), route));
        assert!(matches!(told.recv().await, Some(Event::Health { status: Status::Up })));
        assert!(timeout(Duration::from_secs(3600), told.recv()).await.is_err(), "it waits");
        assert!(!asking.is_finished());
        asking.abort();
    }
}
