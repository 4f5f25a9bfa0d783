//! The stream of snapshots of a watch or of a view.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use tokio_stream::wrappers::WatchStream;

use super::snapshot::{Freshness, Snapshot};
use super::view::View;
use super::{Published, ServiceWatch};

/// The newest snapshot, each time there is one; see [`ServiceWatch::changes`] and [`View::changes`].
///
/// The stream ends with what feeds the watch. It keeps the watch alive.
#[derive(Debug)]
pub struct Changes {
    published: WatchStream<Published>,
    _watch: ServiceWatch,
    view: Option<View>,
    /// What was handed out last.
    last: Option<Arc<Snapshot>>,
}

impl Changes {
    pub(super) fn new(watch: ServiceWatch, view: Option<View>) -> Self {
        Self { published: WatchStream::new(watch.published()), _watch: watch, view, last: None }
    }
}

impl Stream for Changes {
    type Item = Arc<Snapshot>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Arc<Snapshot>>> {
        loop {
            let Some(published) = ready!(Pin::new(&mut self.published).poll_next(context)) else {
                return Poll::Ready(None);
            };
            if published.snapshot.freshness() == Freshness::Pending {
                continue;
            }
            let snapshot = match &self.view {
                Some(view) => view.filter(&published.snapshot),
                None => published.snapshot,
            };
            if self.last.as_ref().is_some_and(|last| last.is_same_as(&snapshot)) {
                continue;
            }
            self.last = Some(Arc::clone(&snapshot));
            return Poll::Ready(Some(snapshot));
        }
    }
}
