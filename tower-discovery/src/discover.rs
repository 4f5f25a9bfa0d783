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
}

impl ServiceWatchExt for View {
    fn discover<M, S>(&self, make: M) -> Discover<M>
    where
        M: FnMut(&Target) -> S + Unpin,
    {
        Discover { resolve: Resolve::new(self.clone()), waiting: VecDeque::new(), make }
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
