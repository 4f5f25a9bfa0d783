//! Ports of loopback that stay a cluster's own as long as it lasts.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpSocket;

/// A port that is held for a member, through all its lives.
///
/// Held by a socket that is bound and never listens: Linux gives the port to nobody who asks for any port,
/// and lets the member listen on it all the same, as both sides set `SO_REUSEADDR`.
#[derive(Debug)]
pub struct Port {
    address: SocketAddr,
    /// None for one in a namespace, where nobody else takes any.
    _held: Option<TcpSocket>,
}

impl Port {
    /// Takes a port that the system chooses.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn take() -> Self {
        let held = TcpSocket::new_v4().expect("sockets can be made");
        held.set_reuseaddr(true).expect("an option that every TCP socket has");
        held.bind((Ipv4Addr::LOCALHOST, 0).into()).expect("loopback has free ports");
        let address = held.local_addr().expect("it is bound");
        Self { address, _held: Some(held) }
    }

    /// One in a namespace of the member's own.
    pub(crate) fn in_namespace(address: SocketAddr) -> Self {
        Self { address, _held: None }
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same as a URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}
