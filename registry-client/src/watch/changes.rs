//! The stream of snapshots of a watch or of a view.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use tokio::time::Sleep;
use tokio_stream::wrappers::WatchStream;

use super::snapshot::{Freshness, Snapshot};
use super::view::View;
use super::{Published, ServiceWatch};

/// The newest snapshot, each time there is one; see [`ServiceWatch::changes`] and [`View::changes`].
///
/// The stream ends with what feeds the watch. It keeps the watch alive. A view that holds its last
/// instances needs a tokio runtime with time to be polled on.
#[derive(Debug)]
pub struct Changes {
    published: WatchStream<Published>,
    watch: ServiceWatch,
    view: Option<View>,
    /// What was handed out last.
    last: Option<Arc<Snapshot>>,
    /// When what is held back by the view's [`super::EmptyPolicy`] is over.
    held: Option<Pin<Box<Sleep>>>,
}

impl Changes {
    pub(super) fn new(watch: ServiceWatch, view: Option<View>) -> Self {
        Self { published: WatchStream::new(watch.published()), watch, view, last: None, held: None }
    }

    /// What is shown of a snapshot, unless it is what was handed out last.
    fn show(&mut self, whole: Arc<Snapshot>) -> Option<Arc<Snapshot>> {
        self.held = None;
        if whole.freshness() == Freshness::Pending {
            return None;
        }
        let snapshot = match &self.view {
            None => whole,
            Some(view) => {
                let (part, until) = view.filter(&whole);
                let left = until.map(|until| until.saturating_sub(self.watch.clock().boot_time()));
                self.held = left.map(|left| Box::pin(tokio::time::sleep(left)));
                part
            }
        };
        let same = self.last.as_ref().is_some_and(|last| last.is_same_as(&snapshot));
        (!same).then(|| {
            self.last = Some(Arc::clone(&snapshot));
            snapshot
        })
    }
}

impl Stream for Changes {
    type Item = Arc<Snapshot>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Arc<Snapshot>>> {
        loop {
            let whole = match Pin::new(&mut self.published).poll_next(context) {
                Poll::Ready(Some(published)) => published.snapshot,
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => {
                    let Some(held) = &mut self.held else { return Poll::Pending };
                    ready!(held.as_mut().poll(context));
                    self.watch.snapshot()
                }
            };
            if let Some(snapshot) = self.show(whole) {
                return Poll::Ready(Some(snapshot));
            }
        }
    }
}
