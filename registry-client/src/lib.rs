//! Registering services and finding them, on any server that speaks etcd's v3 API.
//!
//! A registration is a lease, a keep-alive and one key, and it gives all three back whatever happens to
//! the process; a [`ServiceWatch`] is the list of a service's instances that stays current and outlives
//! the registry's absence.
//!
//! Rooms: [`instance`] is what is registered, [`watch`] is how it is found.

pub mod error;
pub mod instance;
pub mod watch;

pub use error::Error;
pub use instance::{Endpoint, EndpointError, Instance, InstanceBuilder, InstanceError, Status};
pub use watch::{Changes, Discovered, Freshness, Publisher, Selector, ServiceWatch, Snapshot, View};
