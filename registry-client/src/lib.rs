//! Registering services and finding them, on any server that speaks etcd's v3 API.
//!
//! A registration is a lease, a keep-alive and one key, and it gives all three back whatever happens to
//! the process; a [`ServiceWatch`] is the list of a service's instances that stays current and outlives
//! the registry's absence.
//!
//! Rooms: [`instance`] is what is registered, [`registration`] holds it in the registry, [`watch`] is how
//! it is found, [`client`] owns the thread on which all of it happens, `channel` is the way to the
//! registry.
//!
//! # What outlives the process
//! No lease outlives its registration by more than its TTL plus one election, as long as the cluster has
//! a quorum. On an etcd without lease checkpoints each election starts the TTL anew.

mod backoff;
mod channel;
pub mod client;
mod clock;
pub mod error;
pub mod instance;
#[doc(hidden)]
pub mod planted;
pub mod registration;
#[cfg(feature = "simulation")]
#[doc(hidden)]
pub mod simulation;
pub mod watch;

#[cfg(feature = "tls")]
pub use channel::TlsConfig;
pub use client::{Register, Registry, RegistryBuilder, RegistryGuard, WatchBuilder};
pub use error::{Error, LeaseTrouble};
pub use instance::{Endpoint, EndpointError, Instance, InstanceBuilder, InstanceError, Status};
pub use registration::{Conflict, LeaseState, Registration, Shutdown, StateReceiver, shutdown_signal};
pub use watch::{Changes, Discovered, EmptyPolicy, Freshness, Publisher, Selector, ServiceWatch, Snapshot, View};
