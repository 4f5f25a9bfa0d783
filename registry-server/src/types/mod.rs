//! The words of every room: identifiers that are never bare integers, and the runtime and executor seams.

mod executor;
mod ids;
mod runtime;

pub use executor::{Executor, Job, Lane, LaneClosed, ThreadExecutor};
pub use ids::{ClusterId, LeaseId, MemberId, Revision};
pub use runtime::Runtime;
