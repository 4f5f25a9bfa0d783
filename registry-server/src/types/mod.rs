//! The words of every room: identifiers that are never bare integers, who asks, counts, the runtime and executor seams, and
//! which bug a test has planted.

mod author;
mod counts;
mod executor;
mod histogram;
mod ids;
pub mod planted;
mod runtime;

pub use author::Author;
pub use counts::{Counter, DURATION_BUCKETS, Durations, Gauge, Held};
pub use executor::{Executor, Job, Lane, LaneClosed, ThreadExecutor};
pub use histogram::Histogram;
pub use ids::{ClusterId, Grant, GrantNumber, LeaseId, MemberId, Revision};
pub use runtime::Runtime;
