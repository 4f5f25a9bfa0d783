//! The paths between the members of a cluster, which can be cut without root.
//!
//! In front of each member's peer port stands a proxy, and the members know each other by the proxies'
//! addresses. Which member has opened a connection is told by the kernel's tables (`origin`): the process
//! that owns the other end is one of the members'. So each ordered pair of members has a path of its own,
//! over whichever connections their bytes go, and is cut by itself.
//!
//! What a cut can and cannot do: it stops bytes of one direction, on connections that are there and on those
//! that come. It is no loss of single packets, and acknowledgements of TCP are not cut: who sends in the other
//! direction does not notice by itself. A new connection over a cut path is accepted, as the proxy's port is
//! open, and then nothing comes back; only [`Cut::Reset`] ends it. Clients are not cut off: they reach every
//! member, as its client port has no proxy.

mod origin;
mod pump;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::pump::Link;

/// What happens to bytes on a path that is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// They wait, and come after healing: what TCP makes of packets that are lost for a while.
    Hold,
    /// They are swallowed. A connection that has lost some is reset after healing, as it cannot go on.
    Swallow,
    /// Connections are reset, those that are there and those that come.
    Reset,
}

/// Which paths are cut, by the sender and the receiver.
#[derive(Debug, Clone)]
struct Rules {
    members: usize,
    cuts: Vec<Option<Cut>>,
}

/// The proxies of a cluster. Dropping it closes all connections.
#[derive(Debug)]
pub struct Network {
    doors: Vec<SocketAddr>,
    rules: watch::Sender<Rules>,
    pids: Arc<Mutex<Vec<Option<u32>>>>,
    stop: CancellationToken,
    thread: Option<thread::JoinHandle<()>>,
}

impl Rules {
    fn of(&self, from: usize, to: usize) -> Option<Cut> {
        self.cuts[from * self.members + to]
    }

    fn set(&mut self, from: usize, to: usize, cut: Option<Cut>) {
        self.cuts[from * self.members + to] = cut;
    }

    fn set_around(&mut self, member: usize, cut: Option<Cut>) {
        for other in (0..self.members).filter(|other| *other != member) {
            self.set(member, other, cut);
            self.set(other, member, cut);
        }
    }
}

impl Network {
    /// Opens a proxy in front of each member's peer port.
    pub(crate) fn start(members: &[SocketAddr]) -> Self {
        let open = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has free ports");
        let listeners: Vec<_> = members.iter().map(|_| open()).collect();
        let doors = listeners.iter().map(|listener| listener.local_addr().expect("it is bound")).collect();
        let count = members.len();
        let rules = watch::Sender::new(Rules { members: count, cuts: vec![None; count * count] });
        let pids = Arc::new(Mutex::new(vec![None; count]));
        let stop = CancellationToken::new();
        let proxies: Vec<_> = listeners
            .into_iter()
            .zip(members)
            .enumerate()
            .map(|(to, (listener, target))| Proxy {
                to,
                target: *target,
                listener,
                rules: rules.subscribe(),
                pids: pids.clone(),
            })
            .collect();
        let token = stop.clone();
        // A thread of its own: a test that blocks for a moment does not hold the members up.
        let thread = thread::spawn(move || run(proxies, &token).expect("loopback works"));
        Self { doors, rules, pids, stop, thread: Some(thread) }
    }

    /// Where a member is to be found by the others.
    pub(crate) fn url(&self, member: usize) -> String {
        format!("http://{}", self.doors[member])
    }

    /// The members' processes, by which their connections are told apart.
    pub(crate) fn set_pids(&self, pids: Vec<Option<u32>>) {
        *self.pids.lock() = pids;
    }

    /// Cuts what one member says to another; the other way stays open.
    pub fn cut(&self, from: usize, to: usize, how: Cut) {
        self.rules.send_modify(|rules| rules.set(from, to, Some(how)));
    }

    /// Opens what one member says to another.
    pub fn mend(&self, from: usize, to: usize) {
        self.rules.send_modify(|rules| rules.set(from, to, None));
    }

    /// Cuts all that a member says and hears.
    pub fn isolate(&self, member: usize, how: Cut) {
        self.rules.send_modify(|rules| rules.set_around(member, Some(how)));
    }

    /// Opens all that a member says and hears.
    pub fn heal(&self, member: usize) {
        self.rules.send_modify(|rules| rules.set_around(member, None));
    }

    /// Opens everything.
    pub fn heal_all(&self) {
        self.rules.send_modify(|rules| rules.cuts.fill(None));
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// The proxy in front of one member.
#[derive(Debug)]
struct Proxy {
    /// Which one.
    to: usize,
    target: SocketAddr,
    listener: TcpListener,
    rules: watch::Receiver<Rules>,
    pids: Arc<Mutex<Vec<Option<u32>>>>,
}

fn run(proxies: Vec<Proxy>, stop: &CancellationToken) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        for proxy in proxies {
            tokio::spawn(async move { proxy.serve().await.expect("loopback works") });
        }
        stop.cancelled().await;
        Ok(())
    })
}

impl Proxy {
    async fn serve(self) -> io::Result<()> {
        self.listener.set_nonblocking(true)?;
        let door = self.listener.local_addr()?;
        let listener = tokio::net::TcpListener::from_std(self.listener)?;
        loop {
            let (client, address) = listener.accept().await?;
            // Who is no member, or is gone already, has nothing to say.
            let Some(from) = origin::member(address, door, &self.pids.lock()) else { continue };
            let link = Link { from, to: self.to, rules: self.rules.clone() };
            tokio::spawn(link.carry(client, self.target));
        }
    }
}
