//! A client's way to the registry, which a test can cut, freeze and break.
//!
//! In front of each member stands a proxy on loopback; they run on a thread of the line's own, so that a test that
//! blocks its runtime does not hold the client up.

use std::net::{SocketAddr, TcpListener};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use registry_client::{Registry, RegistryBuilder};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::TestingError;

/// What is read at once.
const CHUNK_BYTES: usize = 16 * 1024;

/// What happens to connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Open,
    /// They are closed, and new ones at once.
    Cut,
    /// They stay, and nothing gets through.
    Frozen,
}

#[derive(Debug, Clone, Copy)]
struct State {
    mode: Mode,
    /// Connections of earlier generations are closed.
    generation: u64,
}

/// The way of one client to all members. Dropping it cuts the way.
#[derive(Debug)]
pub struct Line {
    endpoints: Vec<String>,
    /// None when it is being dropped.
    state: Option<watch::Sender<State>>,
    thread: Option<JoinHandle<()>>,
}

impl Line {
    pub(super) fn to(targets: Vec<SocketAddr>) -> Result<Self, TestingError> {
        let fault = || TestingError::system("no port for a client's way to the registry");
        let bind = |target| {
            let listener = TcpListener::bind(("127.0.0.1", 0))?;
            listener.set_nonblocking(true)?;
            Ok::<_, std::io::Error>((listener, target))
        };
        let doors: Vec<_> = targets.into_iter().map(bind).collect::<Result<_, _>>().map_err(fault())?;
        let address = |(door, _): &(TcpListener, SocketAddr)| Ok(format!("http://{}", door.local_addr()?));
        let endpoints = doors.iter().map(address).collect::<Result<_, std::io::Error>>().map_err(fault())?;
        let (state, states) = watch::channel(State { mode: Mode::Open, generation: 0 });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(fault())?;
        let thread = thread::Builder::new().name("registry-line".to_owned());
        let run = move || runtime.block_on(serve(doors, states));
        let thread = thread.spawn(run).map_err(TestingError::system("no thread for a client's way"))?;
        Ok(Self { endpoints, state: Some(state), thread: Some(thread) })
    }

    /// The addresses under which the client finds the members.
    #[must_use]
    pub fn endpoints(&self) -> &[String] {
        &self.endpoints
    }

    /// Begins a client that comes by this way.
    pub fn client(&self) -> RegistryBuilder {
        Registry::builder(self.endpoints.iter().map(String::as_str))
    }

    /// A partition that both sides notice: connections are closed, and new ones at once.
    pub fn cut(&self) {
        self.set(Mode::Cut);
    }

    /// A partition that nobody notices but by silence: connections stay, new ones are accepted, and nothing gets
    /// through until it is open again. Then everything does, however late.
    pub fn freeze(&self) {
        self.set(Mode::Frozen);
    }

    /// Everything gets through.
    pub fn open(&self) {
        self.set(Mode::Open);
    }

    /// Breaks all connections there are, with every stream on them. New ones get through, if they did before.
    pub fn drop_streams(&self) {
        if let Some(state) = &self.state {
            state.send_modify(|state| state.generation += 1);
        }
    }

    fn set(&self, mode: Mode) {
        if let Some(state) = &self.state {
            state.send_modify(|state| state.mode = mode);
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        drop(self.state.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Before the next connection is taken after one that could not be.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// Until the line is dropped.
async fn serve(doors: Vec<(TcpListener, SocketAddr)>, mut states: watch::Receiver<State>) {
    for (door, target) in doors {
        drop(tokio::spawn(accept(door, target, states.clone())));
    }
    while states.changed().await.is_ok() {}
}

async fn accept(door: TcpListener, target: SocketAddr, states: watch::Receiver<State>) {
    let Ok(door) = tokio::net::TcpListener::from_std(door) else { return };
    loop {
        match door.accept().await {
            Ok((near, _)) if states.borrow().mode != Mode::Cut => {
                drop(tokio::spawn(carry(near, target, states.clone())));
            }
            Ok(_) => {}
            // Of this one connection, or too many are open: the next one may come.
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// Carries a connection to its end, or to the line's.
async fn carry(near: TcpStream, target: SocketAddr, mut states: watch::Receiver<State>) {
    let born = states.borrow().generation;
    let Ok(far) = TcpStream::connect(target).await else { return };
    // Latency counts for messages that wait for each other.
    drop((near.set_nodelay(true), far.set_nodelay(true)));
    let (near_in, near_out) = near.into_split();
    let (far_in, far_out) = far.into_split();
    tokio::select! {
        () = pump(near_in, far_out, states.clone()) => {}
        () = pump(far_in, near_out, states.clone()) => {}
        _ = states.wait_for(|state| state.mode == Mode::Cut || state.generation != born) => {}
    }
}

async fn pump(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    mut states: watch::Receiver<State>,
) {
    let mut chunk = vec![0; CHUNK_BYTES];
    while let Ok(read @ 1..) = from.read(&mut chunk).await {
        let is_open = states.wait_for(|state| state.mode == Mode::Open).await.is_ok();
        if !is_open || to.write_all(&chunk[..read]).await.is_err() {
            return;
        }
    }
}
