//! Binding ports, and the loop that accepts from them.
//!
//! Binding stands apart from serving, so that a port in use is told before anything is opened on disk,
//! and so that a port chosen by the system is known before it is advertised.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::sockets::{AsyncListening, Listening, Stream, bind_socket};
use super::urls::MemberUrl;
use super::workers::Desk;
use crate::tls::Acceptor;

/// How many connections the system keeps ready for us, at most; it may keep fewer.
const BACKLOG: i32 = 4096;
/// After a failed accept. The cause is mostly a lack of file descriptors, which only time cures.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Makes [`Bound`] sockets.
#[derive(Debug)]
pub struct Listener;

/// Sockets that hold their ports and accept nothing yet.
#[derive(Debug)]
pub struct Bound {
    sockets: Vec<Listening>,
    /// As they were given, with the ports that were really bound.
    urls: Vec<MemberUrl>,
    tls: Option<Acceptor>,
    max_newcomers: Option<usize>,
}

/// A URL that cannot be listened on; the text names the address and the mend.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Something else has the path of a socket.
    #[error("cannot listen on {url}: there is a file that is no socket; remove it, or choose another path")]
    NoSocket {
        /// As it was given.
        url: MemberUrl,
    },
    /// The host is a name other than localhost.
    #[error("cannot listen on {url}: give a URL with an IP address of this machine, or localhost")]
    BadHost {
        /// As it was given.
        url: MemberUrl,
    },
    /// Somebody has the port.
    #[error("cannot listen on {url}: the port is in use; stop the program that has it, or choose another port")]
    InUse {
        /// As it was given.
        url: MemberUrl,
    },
    /// Ports below 1024 are the system's.
    #[error("cannot listen on {url}: not permitted; choose a port from 1024 on, or run with the right to bind it")]
    NotPermitted {
        /// As it was given.
        url: MemberUrl,
    },
    /// The address belongs to another machine.
    #[error("cannot listen on {url}: this machine does not have the address; give one of its own, or 0.0.0.0")]
    NotOurs {
        /// As it was given.
        url: MemberUrl,
    },
    /// Anything else the system says.
    #[error("cannot listen on {url}: {source}")]
    Other {
        /// As it was given.
        url: MemberUrl,
        /// What the system said.
        source: io::Error,
    },
}

impl Listener {
    /// Takes the ports of all `urls`, or of none.
    ///
    /// # Errors
    /// For the first URL that cannot be listened on.
    pub fn bind(urls: &[MemberUrl]) -> Result<Bound, ListenError> {
        let mut bound = Bound { sockets: Vec::new(), urls: Vec::new(), tls: None, max_newcomers: None };
        for url in urls {
            let (socket, url) = match url.socket() {
                Some(path) => (Listening::Unix(bind_socket(url, path)?), url.clone()),
                None => {
                    let address = url.bind_address().ok_or_else(|| ListenError::BadHost { url: url.clone() })?;
                    let (socket, address) = bind_one(address).map_err(|error| explain(url, error))?;
                    (Listening::Tcp(socket), url.with_port(address.port()))
                }
            };
            bound.sockets.push(socket);
            bound.urls.push(url);
        }
        Ok(bound)
    }
}

impl Bound {
    /// The URLs, with the ports that were really bound.
    #[must_use]
    pub fn urls(&self) -> &[MemberUrl] {
        &self.urls
    }

    /// Where the sockets with an address really stand, in the order of the URLs.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.sockets.iter().filter_map(Listening::address).collect()
    }

    /// The same with what secures the sockets of https URLs; without it nobody gets in there.
    pub(super) fn with_tls(self, tls: Option<Acceptor>) -> Self {
        Self { tls, ..self }
    }

    /// The same with a bound for connections that have not said yet what they want, below that for all.
    pub(super) fn with_newcomers(self, most: usize) -> Self {
        Self { max_newcomers: Some(most), ..self }
    }

    /// That bound.
    pub(super) fn max_newcomers(&self) -> Option<usize> {
        self.max_newcomers
    }

    /// The sockets, each with what comes before the first byte that is read from its connections.
    pub(super) fn into_sockets(self) -> Vec<(Entrance, Listening)> {
        let entrance = |url: &MemberUrl| match (url.scheme().is_secure(), &self.tls) {
            (false, _) => Entrance::Plain,
            (true, Some(tls)) => Entrance::Tls(tls.clone()),
            (true, None) => Entrance::Shut,
        };
        self.urls.iter().map(entrance).zip(self.sockets).collect()
    }
}

/// What comes before the first byte of a connection.
#[derive(Debug, Clone)]
pub(super) enum Entrance {
    /// Nothing.
    Plain,
    /// A handshake.
    Tls(Acceptor),
    /// The end: TLS is asked for, and there is no certificate. Validated settings have none of these.
    Shut,
}

/// A connection that was accepted, with its place among `max_connections`.
pub(super) struct Accepted {
    pub(super) stream: Stream,
    /// Where it comes from, if that is an address.
    pub(super) remote: Option<SocketAddr>,
    pub(super) entrance: Entrance,
    /// Given back when the connection is dropped.
    pub(super) place: OwnedSemaphorePermit,
}

/// Accepts until `stop`. Without a free place nothing is accepted, so that callers wait in the system's
/// queue and not in our memory.
pub(super) async fn accept_loop(
    (entrance, socket): (Entrance, AsyncListening),
    places: Arc<Semaphore>,
    desk: Arc<Desk>,
    stop: CancellationToken,
) {
    let accepting = async {
        loop {
            let Ok(place) = places.clone().acquire_owned().await else { return };
            match socket.accept().await {
                Ok((stream, remote)) => {
                    desk.hand_over(Accepted { stream, remote, entrance: entrance.clone(), place }).await;
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "accepting a connection failed; trying again");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    tokio::select! {
        biased;
        () = stop.cancelled() => {}
        () = accepting => {}
    }
}

/// The caller went away before it was accepted: nothing is wrong with the listener.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, InvalidInput, NotConnected};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | InvalidInput | NotConnected)
}

fn bind_one(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for the last run's connections to time out.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    let listener = TcpListener::from(socket);
    let address = listener.local_addr()?;
    Ok((listener, address))
}

pub(super) fn explain(url: &MemberUrl, source: io::Error) -> ListenError {
    let url = url.clone();
    match source.kind() {
        io::ErrorKind::AddrInUse => ListenError::InUse { url },
        io::ErrorKind::PermissionDenied => ListenError::NotPermitted { url },
        io::ErrorKind::AddrNotAvailable => ListenError::NotOurs { url },
        _ => ListenError::Other { url, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(url: &str) -> Result<Bound, ListenError> {
        Listener::bind(&[url.parse().unwrap()])
    }

    #[test]
    fn a_port_chosen_by_the_system_is_told() {
        let bound = bind("http://localhost:0").unwrap();
        assert_ne!(bound.addresses()[0].port(), 0);
    }

    #[test]
    fn a_port_in_use_is_one_line_with_the_address() {
        let first = bind("http://127.0.0.1:0").unwrap();
        let url = MemberUrl::http(first.addresses()[0]);
        let line = bind(&url.to_string()).unwrap_err().to_string();
        assert!(line.contains(&url.to_string()) && line.contains("in use") && !line.contains('\n'), "{line}");
    }

    #[test]
    fn an_address_of_another_machine_is_told_so() {
        assert!(matches!(bind("http://192.0.2.1:0"), Err(ListenError::NotOurs { .. })));
        assert!(matches!(bind("http://registry.example:1"), Err(ListenError::BadHost { .. })));
    }
}
