//! Watch: what was written reaches those who watch it, in order, without a gap and without a duplicate.
//!
//! The apply thread publishes each revision once to the [`Hub`]. The hub finds the groups of watchers that
//! it concerns (`groups`, over `interval`), has the events encoded once for each group (`encode`) and
//! puts them into the bounded queue of each stream (`queue`). A [`WatchStream`] is polled by the task of
//! its client: it merges what waits (`backlog`), and feeds from [`History`] the watchers that start in the
//! past or did not keep up (`catch_up`). The gRPC service over it is `api::watch`.
//!
//! What always holds:
//! - A watcher is live (the hub feeds it) or behind (its stream feeds it from history), never both, and goes
//!   from one to the other at a revision, under the hub's lock.
//! - A watcher that cannot be served is cancelled with the compacted revision; nothing is dropped silently.
//! - A progress answer of revision r follows every event up to r.
//! - Locks are taken in the order hub, queue. Wakers are called with neither held.

mod backlog;
mod catch_up;
mod counts;
mod encode;
mod groups;
mod history;
mod hub;
mod interval;
mod limits;
mod members;
mod queue;
mod range;
mod request;
mod stream;
#[cfg(test)]
mod tests;
mod watchers;

pub use counts::Counts;
pub use history::{Compacted, History};
pub use hub::Hub;
pub use limits::Limits;
pub use stream::{Headers, WatchStream};
