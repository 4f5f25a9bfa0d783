//! How a server is told to stop, and what listens.

use std::future::Future;
use std::io;
use std::net::SocketAddr;

use tokio_util::sync::CancellationToken;

/// Tells a server when to stop accepting. Clones are told together.
#[derive(Debug, Clone, Default)]
pub struct Stop(CancellationToken);

impl Stop {
    /// Completes when the server is to accept nothing more and to finish what it has: what
    /// `with_graceful_shutdown` and `serve_with_shutdown` want. Dropping the future has no effect.
    pub fn stopped(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.0.clone().cancelled_owned()
    }

    /// Whether it has been told.
    pub fn is_stopped(&self) -> bool {
        self.0.is_cancelled()
    }

    pub(super) fn tell(&self) {
        self.0.cancel();
    }
}

/// A listener that is bound to an address; implement it for others that wrap one.
pub trait Bound {
    /// The address, with the port that was given.
    ///
    /// # Errors
    /// When the operating system does not say.
    fn bound_to(&self) -> io::Result<SocketAddr>;
}

impl Bound for tokio::net::TcpListener {
    fn bound_to(&self) -> io::Result<SocketAddr> {
        self.local_addr()
    }
}

impl Bound for std::net::TcpListener {
    fn bound_to(&self) -> io::Result<SocketAddr> {
        self.local_addr()
    }
}
