//! The steps of serving, in their order: register, serve, show as draining, stop, finish, revoke.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

use super::{ServeError, Stop, Until};
use crate::client::Register;
use crate::clock::later;
use crate::error::Error;
use crate::instance::Status;
use crate::registration::machine::Machine;
use crate::registration::{LeaseState, Registration, Shutdown, StateReceiver};

type Serving = Pin<Box<dyn Future<Output = Result<(), ServeError>> + Send>>;

pub(super) async fn run(
    register: Register,
    mut serving: Serving,
    stop: Stop,
    mut until: Until,
    shutdown: Shutdown,
) -> Result<(), ServeError> {
    let registration = register.begin().map_err(ServeError::Registration)?;
    tokio::select! {
        biased;
        () = &mut until => {
            // It never stood for sure: nobody has to be told, and what has been granted can go at once.
            let deadline = later(Instant::now(), shutdown.limit());
            let (ended, revoked) = tokio::join!(finish(serving, &stop, deadline), revoke(registration, deadline));
            return ended.and(revoked);
        }
        ended = &mut serving => {
            let revoked = revoke(registration, later(Instant::now(), shutdown.limit())).await;
            return ended.and(revoked);
        }
        registered = registration.standing() => registered.map_err(ServeError::Registration)?,
    }
    let mut state = registration.state();
    tokio::select! {
        biased;
        () = &mut until => drain(registration, serving, &stop, shutdown).await,
        ended = &mut serving => {
            let revoked = revoke(registration, later(Instant::now(), shutdown.limit())).await;
            // The server's own error is why it ended.
            ended.and(revoked)
        }
        error = lost(&mut state) => {
            if let Err(error) = finish(serving, &stop, later(Instant::now(), shutdown.limit())).await {
                tracing::warn!(%error, "the server did not end well after its registration was lost");
            }
            Err(ServeError::Registration(error))
        }
    }
}

/// Waits until the registration has ended by itself, and says why.
async fn lost(state: &mut StateReceiver) -> Error {
    match state.wait_for(|state| matches!(state, LeaseState::Closed(_))).await {
        Ok(closed) => closed.error().cloned().unwrap_or(Error::Closed),
        Err(error) => error,
    }
}

/// Visible as draining → clients have had time → the server stops and finishes → the lease goes.
async fn drain(
    registration: Registration,
    mut serving: Serving,
    stop: &Stop,
    shutdown: Shutdown,
) -> Result<(), ServeError> {
    let deadline = later(Instant::now(), shutdown.limit());
    let finished_by = deadline - Machine::revoke_reserve(shutdown.limit());
    let early = tokio::select! {
        biased;
        ended = &mut serving => Some(ended),
        () = notice(&registration, shutdown, finished_by) => None,
    };
    let ended = match early {
        Some(ended) => ended,
        None => finish(serving, stop, finished_by).await,
    };
    let revoked = revoke(registration, deadline).await;
    ended.and(revoked)
}

/// Shows the instance as draining and gives clients the time to see it. A registry that is away is not waited for
/// beyond a quarter of the whole time.
async fn notice(registration: &Registration, shutdown: Shutdown, finished_by: Instant) {
    let visible_by = later(Instant::now(), shutdown.limit() / 4);
    let shown = timeout_at(visible_by.min(finished_by), registration.set_status(Status::Draining)).await;
    if let Ok(Err(error)) | Err(error) = shown.map_err(|_| Error::Deadline) {
        tracing::warn!(%error, "the instance could not be shown as draining");
    }
    sleep_until(later(Instant::now(), shutdown.drain_time()).min(finished_by)).await;
}

async fn finish(serving: Serving, stop: &Stop, by: Instant) -> Result<(), ServeError> {
    stop.tell();
    timeout_at(by, serving).await.unwrap_or(Err(ServeError::Unfinished))
}

async fn revoke(registration: Registration, deadline: Instant) -> Result<(), ServeError> {
    let limit = deadline.saturating_duration_since(Instant::now());
    let shutdown = Shutdown::new().drain(Duration::ZERO).deadline(limit);
    registration.shutdown(shutdown).await.map_err(ServeError::Registration)
}
