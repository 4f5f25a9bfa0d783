//! Requests to endpoints of the caller's choice: one, or each of them.
//!
//! A [`Pinned`] is the channel to a single endpoint, over the balancer's own connection, so a client that was
//! generated for the channel works with it as well. Nothing is sent twice from here.

use std::collections::HashSet;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;
use futures_util::StreamExt;
use futures_util::stream;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::{Balance, Shared, dispatch};
use crate::body::{RequestBody, ResponseBody};
use crate::error::{BoxError, Error};
use crate::target::Target;

/// A service that sends every request to one endpoint of a [`Balance`]; see [`Balance::endpoints`].
///
/// It is always ready. While the endpoint is not connected, and after it went, requests fail at once with an
/// [`Error::Endpoint`], or UNAVAILABLE for a gRPC call. It keeps the channel alive.
pub struct Pinned<S> {
    shared: Arc<Shared<S>>,
    target: Target,
}

/// Requests to this endpoint have nowhere to go now.
#[derive(Debug, thiserror::Error)]
#[error("it is not connected")]
pub(super) struct NotConnected;

impl<S> Balance<S> {
    /// All endpoints that discovery knows and that this channel connects to, connected or not, each as a service of
    /// its own.
    pub fn endpoints(&self) -> Vec<Pinned<S>> {
        let picker = self.shared.board.picker.load();
        // A connection that has ended since is in neither list of the others, or, if that was seen when the picker
        // was published, in both.
        let targets = picker.members().map(|member| &member.target).chain(&picker.outlook.absent);
        let mut seen = HashSet::new();
        let once = targets.filter(|target| seen.insert(target.key()));
        once.map(|target| Pinned { shared: Arc::clone(&self.shared), target: target.clone() }).collect()
    }

    /// Makes a call to each endpoint, `at_once` at a time (at least 1), and answers what became of each, as they
    /// come. An endpoint that is not connected has its error among the answers.
    ///
    /// Calls begin as the stream is polled; dropping it cancels those under way and makes no more.
    ///
    /// ```
    /// use futures_util::StreamExt;
    /// use http::Request;
    /// use http_body_util::Empty;
    /// use tower::ServiceExt;
    /// use tower_discovery::HttpChannel;
    ///
    /// # async fn example(channel: HttpChannel) -> Result<(), http::Error> {
    /// let mut answers = channel.broadcast(8, |endpoint| {
    ///     let request = Request::post("/cache/clear").body(Empty::new()).expect("it is a request");
    ///     endpoint.oneshot(request)
    /// });
    /// while let Some((target, answer)) = answers.next().await {
    ///     match answer {
    ///         Ok(answer) => println!("{target}: {}", answer.status()),
    ///         Err(error) => println!("{error}"),
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn broadcast<F, A>(&self, at_once: usize, mut call: F) -> impl Stream<Item = (Target, A::Output)> + use<S, F, A>
    where
        F: FnMut(Pinned<S>) -> A,
        A: Future,
    {
        let calls = stream::iter(self.endpoints()).map(move |endpoint| {
            let target = endpoint.target.clone();
            let answer = call(endpoint);
            async move { (target, answer.await) }
        });
        Box::pin(calls.buffer_unordered(at_once.max(1)))
    }
}

impl<S> Pinned<S> {
    /// The endpoint.
    pub fn target(&self) -> &Target {
        &self.target
    }
}

// The bounds are those of `Balance`; a trait that names them once would stand in the public API.
impl<S, B, R> Service<Request<B>> for Pinned<S>
where
    S: Service<Request<RequestBody>, Response = Response<R>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
    R: Body<Data = Bytes> + Send + 'static,
{
    type Response = Response<ResponseBody<R>>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Error>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let request = request.map(RequestBody::new);
        Box::pin(dispatch::call(Arc::clone(&self.shared), Some(self.target.clone()), request))
    }
}

impl<S> Clone for Pinned<S> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), target: self.target.clone() }
    }
}

impl<S> fmt::Debug for Pinned<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Pinned").field(&self.target).finish()
    }
}
