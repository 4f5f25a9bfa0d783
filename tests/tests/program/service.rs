//! What a service tells systemd.

use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use registry_tests::budget::START;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::NODE;

/// Killed and reaped when it is dropped.
pub(crate) struct Service(pub(crate) Child);

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn next(socket: &UnixDatagram) -> String {
    let mut text = [0; 64];
    let length = socket.recv(&mut text).expect("something is told in time");
    String::from_utf8_lossy(&text[..length]).into_owned()
}

#[test]
fn systemd_is_told_when_clients_are_served_and_when_the_end_begins() {
    let dir = TempDir::new().expect("directories can be made");
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("sockets can be made");
    socket.set_read_timeout(Some(START)).expect("it can be set");
    let mut command = Command::new(NODE);
    command.env_clear().env("NOTIFY_SOCKET", &path).env("ETCD_DATA_DIR", dir.path().join("data"));
    command.arg("--listen-client-urls=http://127.0.0.1:0").arg("--wal-segment-bytes=16777216");
    let mut service = Service(command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().expect("it can be started"));
    assert_eq!(next(&socket), "READY=1");
    socket.set_read_timeout(Some(Duration::from_millis(50))).expect("it can be set");
    assert!(socket.recv(&mut [0; 64]).is_err(), "nothing more is told");
    socket.set_read_timeout(Some(START)).expect("it can be set");
    kill_process(Pid::from_child(&service.0), Signal::TERM).expect("it runs");
    assert_eq!(next(&socket), "STOPPING=1");
    assert!(service.0.wait().expect("it is a child").success());
}
