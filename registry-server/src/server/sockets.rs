//! What is listened on and accepted: TCP ports, and sockets in the file system.
//!
//! A socket's file is there as long as somebody listens: one that a killed server has left is replaced, one that is in use or
//! is no socket is left alone, and an own one is removed at the stop.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FileType, lstat};
use rustix::io::Errno;
use socket2::{Domain, SockAddr, SockRef, Socket, TcpKeepalive, Type};
use tokio_util::either::Either;

use super::listen::{ListenError, explain};
use super::urls::MemberUrl;
use crate::storage::{StdVfs, Vfs};

/// How many connections the system keeps ready for a socket, at most.
const BACKLOG: i32 = 4096;
/// How long a TCP connection is silent before the system asks whether the other side is there, and how often it asks then,
/// as in etcd.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// A socket that holds its place and accepts nothing yet.
#[derive(Debug)]
pub(super) enum Listening {
    Tcp(TcpListener),
    Unix(SocketFile),
}

/// A socket in the file system. Dropping it removes the file, if it is still the same.
#[derive(Debug)]
pub(super) struct SocketFile {
    listener: UnixListener,
    file: OwnFile,
}

#[derive(Debug)]
struct OwnFile {
    path: PathBuf,
    /// File system and number.
    id: (u64, u64),
}

/// The same, on the runtime that accepts.
#[derive(Debug)]
pub(super) enum AsyncListening {
    Tcp(tokio::net::TcpListener),
    Unix(tokio::net::UnixListener, #[expect(dead_code, reason = "removed when it is dropped")] SocketGuard),
}

/// Removes a socket's file.
#[derive(Debug)]
pub(super) struct SocketGuard(#[expect(dead_code, reason = "removed when it is dropped")] OwnFile);

/// A connection that was accepted; as a plain socket it can be registered anew with a worker's runtime.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A connection on a worker's runtime.
pub(super) type AsyncStream = Either<tokio::net::TcpStream, tokio::net::UnixStream>;

impl Listening {
    /// Where it stands, if that is an address.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(socket) => socket.local_addr().ok(),
            Self::Unix(_) => None,
        }
    }

    /// The same on this runtime.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn register(self) -> io::Result<AsyncListening> {
        match self {
            Self::Tcp(socket) => tokio::net::TcpListener::from_std(socket).map(AsyncListening::Tcp),
            Self::Unix(SocketFile { listener, file }) => {
                let listener = tokio::net::UnixListener::from_std(listener)?;
                Ok(AsyncListening::Unix(listener, SocketGuard(file)))
            }
        }
    }
}

impl AsyncListening {
    /// The next connection, and where it comes from.
    ///
    /// # Errors
    /// The system's, of this connection or of all.
    pub(super) async fn accept(&self) -> io::Result<(Stream, Option<SocketAddr>)> {
        match self {
            Self::Tcp(socket) => {
                let (stream, remote) = socket.accept().await?;
                // Answers are gathered before they are written, so Nagle's algorithm would only delay them.
                stream.set_nodelay(true)?;
                let keep_alive = TcpKeepalive::new().with_time(KEEP_ALIVE).with_interval(KEEP_ALIVE);
                SockRef::from(&stream).set_tcp_keepalive(&keep_alive)?;
                Ok((Stream::Tcp(stream.into_std()?), Some(remote)))
            }
            Self::Unix(socket, _) => Ok((Stream::Unix(socket.accept().await?.0.into_std()?), None)),
        }
    }
}

impl Stream {
    /// The same on this runtime.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn register(self) -> io::Result<AsyncStream> {
        match self {
            Self::Tcp(stream) => tokio::net::TcpStream::from_std(stream).map(Either::Left),
            Self::Unix(stream) => tokio::net::UnixStream::from_std(stream).map(Either::Right),
        }
    }
}

impl Drop for OwnFile {
    fn drop(&mut self) {
        if id_of(&self.path).is_ok_and(|id| id == self.id) {
            // Somebody else may have removed it meanwhile.
            drop(StdVfs.remove_file(&self.path));
        }
    }
}

/// Listens on a socket at `path`, in place of one that nobody listens on any more.
///
/// # Errors
/// Somebody listens there, the path is something else, and the system's.
pub(super) fn bind_socket(url: &MemberUrl, path: &Path) -> Result<SocketFile, ListenError> {
    let failed = |error| explain(url, error);
    match lstat(path) {
        Ok(known) if FileType::from_raw_mode(known.st_mode) != FileType::Socket => {
            return Err(ListenError::NoSocket { url: url.clone() });
        }
        Ok(_) if is_listened_on(path).map_err(failed)? => return Err(ListenError::InUse { url: url.clone() }),
        Ok(_) => StdVfs.remove_file(path).map_err(failed)?,
        Err(Errno::NOENT) => {}
        Err(error) => return Err(failed(error.into())),
    }
    let bind = || {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.bind(&SockAddr::unix(path)?)?;
        let file = OwnFile { path: path.to_owned(), id: id_of(path)? };
        socket.listen(BACKLOG)?;
        Ok(SocketFile { listener: UnixListener::from(socket), file })
    };
    bind().map_err(failed)
}

/// Whether somebody accepts connections at a socket. Does not wait.
fn is_listened_on(path: &Path) -> io::Result<bool> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    match socket.connect(&SockAddr::unix(path)?) {
        Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) => Ok(false),
        // It has no room for one more, so it is there.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(true),
        connected => connected.map(|()| true),
    }
}

fn id_of(path: &Path) -> io::Result<(u64, u64)> {
    let known = lstat(path)?;
    Ok((known.st_dev, known.st_ino))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(path: &Path) -> Result<SocketFile, ListenError> {
        let url: MemberUrl = format!("unix://{}", path.display()).parse().unwrap();
        bind_socket(&url, path)
    }

    #[test]
    fn a_socket_that_a_killed_server_has_left_is_replaced_and_an_own_one_removed() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("a.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "the library leaves it");
        let bound = bind(&path).unwrap();
        assert!(matches!(bind(&path), Err(ListenError::InUse { .. })));
        drop(bound);
        assert!(!path.exists());
    }

    #[test]
    fn what_is_no_socket_or_another_ones_is_left_alone() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("a.sock");
        std::fs::create_dir(&path).unwrap();
        let line = bind(&path).unwrap_err().to_string();
        assert!(line.contains("no socket") && line.contains("a.sock"), "{line}");
        std::fs::remove_dir(&path).unwrap();
        let bound = bind(&path).unwrap();
        StdVfs.remove_file(&path).unwrap();
        let other = UnixListener::bind(&path).unwrap();
        drop(bound);
        assert!(path.exists(), "it is another one's");
        drop(other);
    }

    #[tokio::test]
    async fn the_system_looks_after_silent_connections() {
        let listening = Listening::Tcp(TcpListener::bind("127.0.0.1:0").unwrap());
        let address = listening.address().unwrap();
        let Listening::Tcp(socket) = &listening else { unreachable!() };
        socket.set_nonblocking(true).unwrap();
        let listening = listening.register().unwrap();
        let client = tokio::net::TcpStream::connect(address).await.unwrap();
        let (Stream::Tcp(stream), Some(_)) = listening.accept().await.unwrap() else { panic!("it is TCP") };
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), KEEP_ALIVE);
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), KEEP_ALIVE);
        drop(client);
    }
}
