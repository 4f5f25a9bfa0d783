//! Registering services and finding them, on any server that speaks etcd's v3 API.
//!
//! A registration is a lease, a keep-alive and one key, and it gives all three back whatever happens to
//! the process; a [`ServiceWatch`] is the list of a service's instances that stays current and outlives
//! the registry's absence.
//!
//! Rooms: [`instance`] is what is registered, [`registration`] holds it in the registry, [`serve`] does
//! both around a server, [`watch`] is how
//! it is found, [`client`] owns the thread on which all of it happens, `channel` is the way to the
//! registry.
//!
//! # Features
//! All are off unless asked for:
//!
//! | feature | what it brings |
//! |---|---|
//! | `tls` | `TlsConfig`: TLS to the registry, rustls with ring |
//! | `health` | health checks over HTTP and by gRPC's health service |
//! | `metrics` | the figures below |
//! | `etcd-client` | `Registry::from_etcd_client`: over an `etcd_client::Client` (0.21) that the program has. Building needs `protoc` |
//! All are off unless asked for: `tls` (`TlsConfig`, rustls with ring), `health` (health checks over HTTP and gRPC; over TLS with both) and `metrics`.
//!
//! # Logs
//! Events of [`tracing`](https://docs.rs/tracing) have the room as their target, so that
//! `registry_client::registration=debug` shows one of them:
//!
//! | target | what is told |
//! |---|---|
//! | `registry_client::channel` | connections, tokens: who is refused at `warn`, the rest at `debug` |
//! | `registry_client::registration` | each change of state at `debug`, at `warn` from where the lease is in doubt on; inside the span `registration` with `service` and `id` |
//! | `registry_client::watch` | lost streams at `debug`, records that cannot be read and another registry at `warn`; inside the span `watch` with `service` |
//! | `registry_client::client` | the end of the process before the last revoke, at `warn` |
//!
//! No password and no token is ever in them.
//!
//! # Metrics
//! With the feature `metrics` a client tells the recorder that is installed for the [`metrics`](https://docs.rs/metrics) facade:
//!
//! | name | kind | labels | what it is |
//! |---|---|---|---|
//! | `registry_client_registrations` | gauge | `state`: `registering`, `active`, `suspect`, `lost`, `reregistering`, `draining` | registrations that live |
//! | `registry_client_reregistrations_total` | counter | | how often one had lost its lease or its key |
//! | `registry_client_keepalives_sent_total` | counter | | |
//! | `registry_client_keepalives_failed_total` | counter | `reason`: `lease_gone`, `stream_lost` | answered with a TTL of 0, or not at all |
//! | `registry_client_keepalive_seconds` | histogram | | from a keep-alive to its answer |
//! | `registry_client_connections_total` | counter | `endpoint` | the first one and each reconnect |
//! | `registry_client_connection_failures_total` | counter | `endpoint` | |
//! | `registry_client_logins_total` | counter | `outcome`: `token`, `not_needed`, `refused`, `failed` | |
//! | `registry_client_watch_streams_lost_total` | counter | | |
//! | `registry_client_watch_resyncs_total` | counter | `service` | lists because history had a gap, as after a compaction |
//! | `registry_client_instances` | gauge | `service` | in the newest snapshot |
//! | `registry_client_undecodable_records` | gauge | `service` | in the newest snapshot |
//! | `registry_client_stale_since_seconds` | gauge | `service` | Unix time since when the snapshot may be old; 0 while it is current |
//! The [`guide`] shows how to register, how to shut down, and what happens when something goes wrong.
//!
//! # What outlives the process
//! No lease outlives its registration by more than its TTL plus one election, as long as the cluster has
//! a quorum. On an etcd without lease checkpoints each election starts the TTL anew.

mod backoff;
mod channel;
pub mod client;
mod clock;
pub mod error;
pub mod guide;
pub mod instance;
mod meters;
#[doc(hidden)]
pub mod planted;
pub mod registration;
pub mod serve;
#[cfg(feature = "simulation")]
#[doc(hidden)]
pub mod simulation;
pub mod watch;

#[cfg(feature = "tls")]
pub use channel::TlsConfig;
pub use client::{Register, RegisterAll, Registry, RegistryBuilder, RegistryGuard, Remove, WatchBuilder};
pub use error::{Error, LeaseTrouble};
pub use instance::{Endpoint, EndpointError, Instance, InstanceBuilder, InstanceError, Status};
pub use registration::{
    Conflict, HealthCheck, LeaseState, Registration, Registrations, Removed, Shutdown, StateReceiver, shutdown_signal,
};
pub use serve::{Advertise, AdvertiseError, Serve, ServeError, Stop};
pub use watch::{
    Changes, Discovered, EmptyPolicy, Freshness, LossPolicy, Publisher, Selector, ServiceWatch, Snapshot, View,
};
