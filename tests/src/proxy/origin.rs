//! Who has opened a connection, as the kernel tells (Linux).

use std::net::{SocketAddr, SocketAddrV4};
use std::path::Path;

/// The member whose process owns the socket at `client`, connected to `door`; none if that is no member's.
pub(super) fn member(client: SocketAddr, door: SocketAddr, pids: &[Option<u32>]) -> Option<usize> {
    let inode = inode(client, door)?;
    let owns = |pid: &Option<u32>| pid.is_some_and(|pid| has_socket(pid, &inode));
    pids.iter().position(owns)
}

/// The inode of the socket between two addresses, from its own side.
fn inode(local: SocketAddr, remote: SocketAddr) -> Option<String> {
    let (SocketAddr::V4(local), SocketAddr::V4(remote)) = (local, remote) else { return None };
    let wanted = [hex(local), hex(remote)];
    let table = std::fs::read_to_string("/proc/net/tcp").ok()?;
    let line = table.lines().find(|line| line.split_whitespace().skip(1).take(2).eq(wanted.iter()))?;
    line.split_whitespace().nth(9).map(str::to_owned)
}

/// An address as the table has it: the bytes as this machine reads them as a number.
fn hex(address: SocketAddrV4) -> String {
    format!("{:08X}:{:04X}", u32::from_ne_bytes(address.ip().octets()), address.port())
}

fn has_socket(pid: u32, inode: &str) -> bool {
    let wanted = format!("socket:[{inode}]");
    let Ok(descriptors) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    descriptors.flatten().any(|descriptor| {
        std::fs::read_link(descriptor.path()).is_ok_and(|target| target.as_path() == Path::new(&wanted))
    })
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_connection_is_told_by_its_process() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let door = listener.local_addr().unwrap();
        let stream = TcpStream::connect(door).unwrap();
        let client = stream.local_addr().unwrap();
        let own = std::process::id();
        assert_eq!(member(client, door, &[None, Some(1), Some(own)]), Some(2));
        assert_eq!(member(client, door, &[None, Some(u32::MAX)]), None);
        drop(stream);
    }
}
