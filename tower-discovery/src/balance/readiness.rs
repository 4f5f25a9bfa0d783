//! Whether a channel can serve, for the health check of the program that uses it.
//!
//! The driver says how the channel stands whenever it publishes a picker; nobody polls.

use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;

use super::Balance;

/// How a channel stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Standing {
    /// Endpoints that discovery knows and that the channel connects to; `None` before it has told anything.
    pub known: Option<usize>,
    /// Those that requests can go to.
    pub connected: usize,
}

/// Whether a channel is as its user wants it; made by [`Balance::readiness`] and [`Balance::ready_when`].
///
/// It does not keep the channel alive, and is not ready once that has ended. In an axum service:
///
/// ```
/// use http::StatusCode;
/// use tower_discovery::GrpcChannel;
///
/// # fn example(channel: &GrpcChannel) {
/// let pay = channel.readiness();
/// // Router::new().route("/readyz", get(readyz))
/// let readyz = move || {
///     let status = if pay.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
///     std::future::ready((status, format!("{:?}", pay.standing())))
/// };
/// # drop(readyz());
/// # }
/// ```
///
/// In a tonic service with tonic-health:
///
/// ```
/// use tonic_health::ServingStatus;
/// use tower_discovery::GrpcChannel;
///
/// # fn example(channel: &GrpcChannel) {
/// let (reporter, health) = tonic_health::server::health_reporter();
/// let mut pay = channel.ready_when(|standing| standing.connected >= 2);
/// tokio::spawn(async move {
///     while let Some(is_ready) = pay.changed().await {
///         let status = if is_ready { ServingStatus::Serving } else { ServingStatus::NotServing };
///         reporter.set_service_status("", status).await;
///     }
/// });
/// # drop(health);
/// # }
/// ```
#[derive(Clone)]
pub struct Readiness {
    standing: watch::Receiver<Standing>,
    condition: Arc<dyn Fn(Standing) -> bool + Send + Sync>,
    /// What [`Self::changed`] answered last.
    told: Option<bool>,
}

/// The channel whose readiness was waited for has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the channel has ended")]
pub struct ChannelEnded;

impl<S> Balance<S> {
    /// Ready while at least one endpoint is connected.
    pub fn readiness(&self) -> Readiness {
        self.ready_when(|standing| standing.connected > 0)
    }

    /// Ready while the channel stands as `condition` wants it.
    pub fn ready_when(&self, condition: impl Fn(Standing) -> bool + Send + Sync + 'static) -> Readiness {
        let standing = self.shared.board.standing.subscribe();
        Readiness { standing, condition: Arc::new(condition), told: None }
    }
}

impl Readiness {
    /// Whether it is ready now.
    pub fn is_ready(&self) -> bool {
        self.standing.has_changed().is_ok() && (self.condition)(self.standing())
    }

    /// How the channel stands now.
    pub fn standing(&self) -> Standing {
        *self.standing.borrow()
    }

    /// Waits until it is ready. Dropping the future has no effect.
    ///
    /// # Errors
    /// When the channel ends before.
    pub async fn ready(&self) -> Result<(), ChannelEnded> {
        let mut standing = self.standing.clone();
        let ready = standing.wait_for(|standing| (self.condition)(*standing)).await;
        ready.map(drop).map_err(|_| ChannelEnded)
    }

    /// Whether it is ready, once that is not what was answered last; at once the first time. `None` when the
    /// channel has ended. Dropping the future loses nothing.
    pub async fn changed(&mut self) -> Option<bool> {
        let (condition, told) = (Arc::clone(&self.condition), self.told);
        let news = self.standing.wait_for(|standing| told != Some(condition(*standing))).await.ok()?;
        let is_ready = condition(*news);
        self.told = Some(is_ready);
        Some(is_ready)
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Readiness").field("standing", &self.standing()).finish_non_exhaustive()
    }
}
