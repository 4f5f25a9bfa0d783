//! Keeping one endpoint connected: connect, wait for the end, pause, connect again.
//!
//! It ends by being dropped when the endpoint goes. It holds no connection: what it made is the driver's.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::poll_fn;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::TaskTracker;
use tower_service::Service;

use super::ConnectPolicy;
use super::permits::Permits;
use crate::error::{BoxError, ConnectError, ConnectTimeout};
use crate::target::{Key, Target};

/// A connection that ended sooner counts as a failure, so that an endpoint that accepts and hangs up is
/// not connected to in a loop.
const SHORTEST_LIFE: Duration = Duration::from_secs(1);

/// What the driver hears from an endpoint's task.
pub(super) struct News<S> {
    pub(super) key: Key,
    pub(super) serial: u64,
    pub(super) event: Event<S>,
}

pub(super) enum Event<S> {
    Connected {
        connection: S,
        /// Carries the connection's life.
        target: Target,
    },
    Lost,
    Failed(ConnectError),
}

/// One endpoint's task.
pub(super) struct Upkeep<C: Service<Target>> {
    pub(super) connector: C,
    pub(super) policy: ConnectPolicy,
    pub(super) permits: Permits,
    pub(super) tasks: TaskTracker,
    pub(super) target: Target,
    pub(super) serial: u64,
    pub(super) driver: mpsc::Sender<News<C::Response>>,
}

impl<C> Upkeep<C>
where
    C: Service<Target>,
    C::Error: Into<BoxError>,
{
    /// Runs until it is dropped or the driver is gone.
    pub(super) async fn run(mut self) {
        let mut failures = 0_u32;
        loop {
            let target = self.target.renewed(&self.tasks);
            let result = self.connect(&target, failures > 0).await;
            self.target.meters().tried_to_connect(result.is_ok());
            match result {
                Ok(connection) => {
                    let since = Instant::now();
                    let liveness = target.liveness().clone();
                    if !self.tell(Event::Connected { connection, target }).await {
                        return;
                    }
                    liveness.ended().await;
                    failures = if since.elapsed() < SHORTEST_LIFE { failures.saturating_add(1) } else { 0 };
                    tracing::debug!(target = %self.target, "connection lost");
                    if !self.tell(Event::Lost).await {
                        return;
                    }
                }
                Err(error) => {
                    failures = failures.saturating_add(1);
                    tracing::debug!(%error, failures, "cannot connect");
                    if !self.tell(Event::Failed(error)).await {
                        return;
                    }
                }
            }
            sleep(self.policy.backoff.pause(failures, fastrand::f64())).await;
        }
    }

    async fn connect(&mut self, target: &Target, has_failed: bool) -> Result<C::Response, ConnectError> {
        let permits = self.permits.clone();
        let mut permit = permits.acquire(has_failed).await;
        let connecting = async {
            poll_fn(|cx| self.connector.poll_ready(cx)).await.map_err(Into::into)?;
            self.connector.call(target.clone()).await.map_err(Into::into)
        };
        let failed = |source: BoxError| ConnectError { target: target.clone(), source };
        let mut connecting = pin!(timeout(self.policy.timeout, connecting));
        let connected = tokio::select! {
            biased;
            connected = &mut connecting => connected,
            // It goes on.
            () = permit.step_aside() => connecting.await,
        };
        match connected {
            Ok(result) => result.map_err(failed),
            Err(_) => Err(failed(ConnectTimeout(self.policy.timeout).into())),
        }
    }

    /// Whether the driver is still there.
    async fn tell(&mut self, event: Event<C::Response>) -> bool {
        let news = News { key: self.target.key().clone(), serial: self.serial, event };
        self.driver.send(news).await.is_ok()
    }
}
