//! The runtime seam: clock, spawn and randomness.

use openraft::AsyncRuntime;

/// openraft's own runtime trait, for every room below `api`. Production is tokio; a simulation brings
/// virtual time. Its functions are static: a runtime is a type, not a value.
pub trait Runtime: AsyncRuntime + Send + Sync + 'static {}

impl<T: AsyncRuntime + Send + Sync + 'static> Runtime for T {}
