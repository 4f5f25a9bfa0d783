//! A way to the server that a test can cut or freeze.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Open,
    /// Connections are closed, and new ones at once.
    Cut,
    /// Connections stay, and nothing gets through.
    Frozen,
}

/// Dropping it cuts the way.
pub(crate) struct Proxy {
    pub(crate) endpoint: String,
    mode: watch::Sender<Mode>,
}

impl Proxy {
    pub(crate) async fn new(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let (mode, modes) = watch::channel(Mode::Open);
        let target = target.strip_prefix("http://").unwrap().to_owned();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                if modes.has_changed().is_err() {
                    return;
                }
                if *modes.borrow() != Mode::Cut {
                    tokio::spawn(carry(near, target.clone(), modes.clone()));
                }
            }
        });
        Self { endpoint, mode }
    }

    pub(crate) fn cut(&self) {
        self.mode.send_replace(Mode::Cut);
    }

    pub(crate) fn freeze(&self) {
        self.mode.send_replace(Mode::Frozen);
    }

    pub(crate) fn open(&self) {
        self.mode.send_replace(Mode::Open);
    }
}

async fn carry(near: TcpStream, target: String, mut modes: watch::Receiver<Mode>) {
    let Ok(far) = TcpStream::connect(target).await else { return };
    near.set_nodelay(true).unwrap();
    far.set_nodelay(true).unwrap();
    let (near_in, near_out) = near.into_split();
    let (far_in, far_out) = far.into_split();
    tokio::select! {
        () = pump(near_in, far_out, modes.clone()) => {}
        () = pump(far_in, near_out, modes.clone()) => {}
        _ = modes.wait_for(|mode| *mode == Mode::Cut) => {}
    }
}

async fn pump(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    mut modes: watch::Receiver<Mode>,
) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        if modes.wait_for(|mode| *mode == Mode::Open).await.is_err() || to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
