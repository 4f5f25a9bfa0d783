//! The doors of a node: where clients, peers and probes come in.

use std::io;
use std::time::Duration;

use super::config::Config;
use super::dispatch::{Peers, Probes};
use super::listen::{Bound, Listener};
use super::start::StartError;
use super::urls::MemberUrl;
use super::workers::FrontDoor;
use crate::consensus::PeerService;
use crate::http::Paths;

/// Connections of peers, at most, and those among them that have not said yet what they want: handshakes above all.
const PEER_CONNECTIONS: usize = 256;
pub(super) const PEER_NEWCOMERS: usize = 128;

/// Connections to the extra URLs of figures and health checks, at most.
const SIDE_CONNECTIONS: usize = 64;
pub(super) const SIDE_NEWCOMERS: usize = 32;

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
    if bound.urls().is_empty() {
        return Ok(None);
    }
    let small = Config {
        worker_threads: Some(1),
        max_connections: PEER_CONNECTIONS,
        // Members ask each other as often as an election is due.
        grpc_keepalive_min_time: Duration::ZERO,
        ..config.clone()
    };
    FrontDoor::start(bound, Peers::new(service, config), &small).map(Some)
}

/// Serves probes and figures where clients do not come; a thread and a few connections are enough for them.
pub(super) fn open_side_door(config: &Config, bound: Bound, paths: Paths) -> io::Result<Option<FrontDoor>> {
    if bound.urls().is_empty() {
        return Ok(None);
    }
    let small = Config { worker_threads: Some(1), max_connections: SIDE_CONNECTIONS, ..config.clone() };
    FrontDoor::start(bound, Probes(paths), &small).map(Some)
}

/// The listen URLs with the ports that the system chose.
pub(super) fn listening_urls(bound: &Bound) -> Vec<String> {
    bound.urls().iter().map(MemberUrl::to_string).collect()
}
