//! A plain [`tower::discover::Discover`] over a view, for any balancer that takes one.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use registry_client::View;
use tower::discover;

use crate::diff::Change;
use crate::resolve::Resolve;
use crate::target::{Key, Target};
#[cfg(feature = "tonic")]
use crate::tonic_feed::TonicSender;

/// Makes streams of changes out of a view of a service.
///
/// ```
/// use registry_client::{Selector, ServiceWatch};
/// use tower_discovery::{ServiceWatchExt, Target};
///
/// # let (watch, _publisher) = ServiceWatch::manual("pay");
/// let view = watch.select(Selector::endpoint("grpc"));
/// let endpoints = view.discover(|target: &Target| target.endpoint().uri());
/// # fn takes_any_discover<D: tower::discover::Discover>(_: D) {}
/// takes_any_discover(endpoints);
/// ```
pub trait ServiceWatchExt {
    /// The endpoints of the view as a stream of [`discover::Change`], each with the service that `make`
    /// makes of it.
    ///
    /// A changed weight is no change here, as a plain balancer could only reconnect on it. The stream
    /// never yields an error, and ends only with what feeds the watch.
    fn discover<M, S>(&self, make: M) -> Discover<M>
    where
        M: FnMut(&Target) -> S + Unpin;

    /// Feeds tonic's own [`balance_channel`](tonic::transport::Channel::balance_channel) with the endpoints of the view,
    /// for as long as the channel lives. Feature `tonic`; see [`drive_tonic_with`](Self::drive_tonic_with).
    #[cfg(feature = "tonic")]
    fn drive_tonic(&self, sender: TonicSender) -> impl Future<Output = ()> + Send + 'static;

    /// As [`drive_tonic`](Self::drive_tonic), with `configure` saying how each endpoint is connected to: its TLS, its
    /// timeouts, its keep-alive.
    ///
    /// The future is a task to spawn: it ends when the channel is dropped or discovery ends, and dropping it stops the
    /// feed. An address that tonic cannot read is left out, with a warning in the log.
    ///
    /// # What tonic's balancer cannot do
    /// It takes addresses, and its own rules apply to all else; [`GrpcChannel`](crate::GrpcChannel) has none of these
    /// limits.
    /// - It takes changes in when a request comes. While a channel is idle its queue fills up and the feed waits, so the
    ///   first request after that may go to an endpoint that went long ago. The newest set follows at once.
    /// - An endpoint that cannot be connected to counts as ready, and has nothing pending: requests go there and fail.
    /// - Requests wait without a limit while the set is empty: give each a timeout (`grpc-timeout`, or
    ///   [`Endpoint::timeout`](tonic::transport::Endpoint::timeout) for those that an endpoint has).
    /// - All requests pass through one task and its queue of 1,024; weights, zones and failures are not looked at, and nothing
    ///   is sent again that a closing connection gave back.
    #[cfg(feature = "tonic")]
    fn drive_tonic_with<F>(&self, sender: TonicSender, configure: F) -> impl Future<Output = ()> + Send + 'static
    where
        F: FnMut(&Target, tonic::transport::Endpoint) -> tonic::transport::Endpoint + Send + 'static;
}

impl ServiceWatchExt for View {
    fn discover<M, S>(&self, make: M) -> Discover<M>
    where
        M: FnMut(&Target) -> S + Unpin,
    {
        Discover { resolve: Resolve::new(self.clone()), waiting: VecDeque::new(), make }
    }

    #[cfg(feature = "tonic")]
    fn drive_tonic(&self, sender: TonicSender) -> impl Future<Output = ()> + Send + 'static {
        self.drive_tonic_with(sender, |_, endpoint| endpoint)
    }

    #[cfg(feature = "tonic")]
    fn drive_tonic_with<F>(&self, sender: TonicSender, configure: F) -> impl Future<Output = ()> + Send + 'static
    where
        F: FnMut(&Target, tonic::transport::Endpoint) -> tonic::transport::Endpoint + Send + 'static,
    {
        crate::tonic_feed::feed(Resolve::new(self.clone()), sender, configure)
    }
}

/// The stream of [`ServiceWatchExt::discover`].
#[derive(Debug)]
pub struct Discover<M> {
    resolve: Resolve,
    /// The rest of the last batch: at most one change for each endpoint that came or went.
    waiting: VecDeque<Change>,
    make: M,
}

impl<M, S> Stream for Discover<M>
where
    M: FnMut(&Target) -> S + Unpin,
{
    type Item = Result<discover::Change<Key, S>, Infallible>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            match this.waiting.pop_front() {
                Some(Change::Insert(target)) => {
                    let service = (this.make)(&target);
                    return Poll::Ready(Some(Ok(discover::Change::Insert(target.key().clone(), service))));
                }
                Some(Change::Remove(key)) => return Poll::Ready(Some(Ok(discover::Change::Remove(key)))),
                Some(Change::Update(_)) => {}
                None => match ready!(Pin::new(&mut this.resolve).poll_next(cx)) {
                    Some(batch) => this.waiting.extend(batch),
                    None => return Poll::Ready(None),
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use registry_client::{Instance, Selector, ServiceWatch};

    use super::*;

    #[tokio::test]
    async fn changes_come_as_tower_discover_wants_them() {
        let (watch, mut publisher) = ServiceWatch::manual("pay");
        let view = watch.select(Selector::endpoint("grpc"));
        let mut discover = view.discover(|target: &Target| target.endpoint().port());
        fn is_discover<D: discover::Discover>(_: &D) {}
        is_discover(&discover);

        publisher.put(Instance::builder("pay").id("a").endpoint("grpc", "http://h:1").build().unwrap());
        let Some(Ok(discover::Change::Insert(key, port))) = discover.next().await else { panic!("no insert") };
        assert_eq!((key.id(), port), ("a", 1));
        publisher.remove("a");
        assert!(matches!(discover.next().await, Some(Ok(discover::Change::Remove(_)))));
        drop((publisher, watch, view));
        assert!(discover.next().await.is_none());
    }
}
