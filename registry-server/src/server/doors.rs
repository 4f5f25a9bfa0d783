//! The doors of a node: where clients, peers and probes come in.

use std::io;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tonic_health::server::HealthReporter;

use super::calls::Calls;
use super::config::Config;
use super::dispatch::{Parts, Peers, Probes, Services};
use super::listen::{Bound, Listener};
use super::start::{Production, StartError};
use super::urls::MemberUrl;
use super::workers::FrontDoor;
use crate::api::{
    ClusterService, KvService, LearnerCalls, LeaseService, MaintenanceService, RequireLeader, SharedBackend,
    WatchService, WatchSettings,
};
use crate::consensus::PeerService;
use crate::http::Paths;
use crate::storage::StdVfs;
use crate::watch::Hub;

/// Connections of peers, at most, and those among them that have not said yet what they want: handshakes above all.
const PEER_CONNECTIONS: usize = 256;
pub(super) const PEER_NEWCOMERS: usize = 128;

/// Connections to the extra URLs of figures and health checks, at most.
const SIDE_CONNECTIONS: usize = 64;

/// A member that is alone so far serves nobody there, so it can do without the port; it only cannot be joined then.
pub(super) fn bind_peers(config: &Config) -> Result<Bound, StartError> {
    match Listener::bind(&config.listen_peer_urls) {
        Err(error) if !config.has_others() => {
            tracing::info!(%error, "the peer port is not served, so no member can be added");
            Ok(Listener::bind(&[])?)
        }
        bound => Ok(bound?),
    }
}

/// Serves the peers on a thread of its own, so that no client's load holds up a heartbeat.
pub(super) fn open_peer_door(config: &Config, bound: Bound, service: PeerService) -> io::Result<Option<FrontDoor>> {
    if bound.addresses().is_empty() {
        return Ok(None);
    }
    let small = Config { worker_threads: Some(1), max_connections: PEER_CONNECTIONS, ..config.clone() };
    FrontDoor::start(bound, Peers::new(service, config), &small).map(Some)
}

/// Serves the clients, and says so to whoever asks for the health.
pub(super) fn open_door(
    config: &Config,
    backend: &SharedBackend<Production, StdVfs>,
    hub: &Arc<Hub>,
    (paths, calls): (Paths, Arc<Calls>),
    bound: Bound,
    stop: &CancellationToken,
) -> Result<(FrontDoor, HealthReporter), StartError> {
    // A new reporter says that the server as a whole, "", is serving.
    let health = HealthReporter::new();
    let headers = {
        let backend = backend.clone();
        Arc::new(move |revision| backend.header(revision))
    };
    let leader = {
        let node = backend.node.clone();
        Arc::new(RequireLeader::new(move || node.status().leader.is_some()))
    };
    let (watching, node, patience) = (leader.clone(), backend.node.clone(), 3 * config.election_timeout);
    drop(tokio::spawn(async move { node.while_running(watching.watch::<Production>(patience)).await }));
    let services = Services::new(
        Parts {
            kv: KvService::new(backend.clone()),
            watch: WatchService::new(hub.clone(), headers, watch_settings(config), leader.clone(), stop.clone()),
            lease: LeaseService::new(backend.clone(), leader.clone(), stop.clone()),
            cluster: ClusterService::new(backend.clone()),
            maintenance: MaintenanceService::new(backend.clone()),
            health: health.clone(),
            paths,
            calls,
            leader,
            learner: {
                let backend = backend.clone();
                LearnerCalls::new(move || backend.is_learner())
            },
        },
        config,
    );
    Ok((FrontDoor::start(bound, services, config)?, health))
}

/// Serves probes and figures where clients do not come; a thread and a few connections are enough for them.
pub(super) fn open_side_door(config: &Config, bound: Bound, paths: Paths) -> io::Result<Option<FrontDoor>> {
    if bound.addresses().is_empty() {
        return Ok(None);
    }
    let small = Config { worker_threads: Some(1), max_connections: SIDE_CONNECTIONS, ..config.clone() };
    FrontDoor::start(bound, Probes(paths), &small).map(Some)
}

fn watch_settings(config: &Config) -> WatchSettings {
    let limits = crate::watch::Limits { fragment_bytes: config.max_message_bytes(), ..crate::watch::Limits::default() };
    WatchSettings { progress_interval: config.watch_progress_notify_interval, limits }
}

/// The listen URLs with the ports that the system chose.
pub(super) fn listening_urls(urls: &[MemberUrl], bound: &Bound) -> Vec<String> {
    let ports = bound.addresses().iter().map(std::net::SocketAddr::port);
    urls.iter().zip(ports).map(|(url, port)| url.with_port(port).to_string()).collect()
}
