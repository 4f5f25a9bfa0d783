//! What a client does when its turn comes: one file for each kind of call.

mod fanout;
mod keep_alive;
mod kv;
pub(crate) mod watch;

use std::future::Future;

pub(crate) use fanout::{EVENTS_LIMIT, Fanout};
pub(crate) use keep_alive::keep_alives;
pub(crate) use kv::{gets, put_all, puts, ranges, txns};
use tokio::time::Instant;
pub(crate) use watch::watches;

use crate::BenchError;

/// No answer of a sensible load is larger.
pub(crate) const MAX_ANSWER_BYTES: usize = 256 << 20;

/// A client with at most one operation under way.
pub(crate) trait Client: Send + 'static {
    /// Whether an act is one operation, timed by whoever calls it; otherwise the client records by itself.
    const TIMED: bool = true;

    /// One operation. `due` is when it should have begun.
    fn act(&mut self, due: Instant) -> impl Future<Output = Result<(), BenchError>> + Send;

    /// Waits for what acts have left under way. Called at the end of a phase.
    fn settle(&mut self) -> impl Future<Output = Result<(), BenchError>> + Send {
        std::future::ready(Ok(()))
    }
}
