//! A client inside a simulation: the network, the clock and the place of its tasks are given.
//!
//! Not part of the API: for the simulation of a whole cluster in one process, in this workspace. See
//! [`crate::RegistryBuilder::build_simulated`].

use std::sync::Arc;

pub use crate::channel::{BoxFuture, Connector, Link, SendError};

/// Puts a task where it is to run. Dropping the task unfinished, even unpolled, is allowed at any time.
pub type Spawn = Arc<dyn Fn(BoxFuture<()>) + Send + Sync>;
