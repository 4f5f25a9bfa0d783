//! The words of every room: identifiers that are never bare integers, and the executor seam.

mod executor;
mod ids;

pub use executor::{Executor, Job, Lane, LaneClosed, ThreadExecutor};
pub use ids::{ClusterId, LeaseId, MemberId, Revision};
