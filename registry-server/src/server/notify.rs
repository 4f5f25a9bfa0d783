//! Telling systemd what the service is doing, as `Type=notify` asks for: a datagram to the socket that it names.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Names the socket.
const VARIABLE: &str = "NOTIFY_SOCKET";
/// Clients are served.
const READY: &str = "READY=1";
/// The end has begun.
const STOPPING: &str = "STOPPING=1";

/// Tells that clients are served.
pub(super) fn ready() {
    tell(READY);
}

/// Tells that the service is about to end.
pub(super) fn stopping() {
    tell(STOPPING);
}

fn tell(state: &str) {
    let Some(socket) = std::env::var_os(VARIABLE).filter(|socket| !socket.is_empty()) else { return };
    if let Err(error) = send(&socket, state) {
        tracing::warn!(socket = %socket.display(), %error, state, "systemd could not be told of the service's state");
    }
}

/// Sends without waiting. A name that begins with @ is one outside the file system.
fn send(socket: &OsStr, state: &str) -> io::Result<()> {
    let address = match socket.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(socket)?,
    };
    let datagram = UnixDatagram::unbound()?;
    datagram.set_nonblocking(true)?;
    datagram.send_to_addr(state.as_bytes(), &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_sent_to_sockets_of_both_kinds() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("notify");
        let name = format!("registry-test-{}", std::process::id());
        let abstract_name = SocketAddr::from_abstract_name(&name).unwrap();
        let sockets = [UnixDatagram::bind(&path).unwrap(), UnixDatagram::bind_addr(&abstract_name).unwrap()];
        for (socket, address) in sockets.iter().zip([path.into_os_string(), format!("@{name}").into()]) {
            send(&address, READY).unwrap();
            let mut text = [0; 16];
            let length = socket.recv(&mut text).unwrap();
            assert_eq!(&text[..length], READY.as_bytes());
        }
        assert!(send(OsStr::new("/nowhere/notify"), READY).is_err());
    }
}
