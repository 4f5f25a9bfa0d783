//! A view's snapshots as a stream of changes.
//!
//! Snapshots are conflated before they come here, so a reader that was slow gets one batch that leads to
//! the newest set. The stream ends only with what feeds the watch; errors of discovery are not in it: a
//! registry that is away changes nothing.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use registry_client::{Changes, View};

use crate::diff::{Change, Diff};

/// The changes of a view, one batch a snapshot. The first batch comes with the first list, though it be empty.
#[derive(Debug)]
pub(crate) struct Resolve {
    view: View,
    snapshots: Changes,
    diff: Diff,
}

impl Resolve {
    pub(crate) fn new(view: View) -> Self {
        Self { snapshots: view.changes(), view, diff: Diff::default() }
    }
}

impl Stream for Resolve {
    type Item = Vec<Change>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Vec<Change>>> {
        let this = &mut *self;
        let next = ready!(Pin::new(&mut this.snapshots).poll_next(cx));
        Poll::Ready(next.map(|snapshot| this.diff.advance(this.view.endpoints(&snapshot))))
    }
}
