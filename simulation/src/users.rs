//! The users of a cluster: how clients of the load reach its members, and the processes in which the SDK runs.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use parking_lot::Mutex;
use registry_client::simulation::{BoxFuture, Connector, Link, SendError};
use registry_client::{Endpoint, Registry};
use registry_load::{Homes, Member, Members, Spawn};
use tonic::body::Body;

use crate::channel::{CallError, Channel};
use crate::cluster::Cluster;
use crate::network::Site;
use crate::node::Node;
use crate::process::Process;

/// Clients of the load have lower numbers, and processes of the SDK this one and higher.
const FIRST_PROCESS: u32 = 500;

/// So many of either can be cut off.
const MOST: u32 = 64;

/// The processes of the load's clients.
const LOAD_PROCESSES: usize = 4;

/// All users.
pub(crate) struct Users {
    cluster: Arc<Cluster>,
    /// Those of the load.
    load: Vec<Arc<Process>>,
    /// Those of the SDK, by their number.
    homes: Mutex<BTreeMap<u32, Arc<Process>>>,
    channels: Mutex<BTreeMap<(u32, u32), Channel>>,
}

impl Users {
    /// The users of a cluster.
    #[must_use]
    pub(crate) fn new(cluster: Arc<Cluster>) -> Arc<Self> {
        let load = (0..LOAD_PROCESSES).map(|number| Process::new(format!("clients {number}"), Duration::ZERO, 0));
        Arc::new(Self { cluster, load: load.collect(), homes: Mutex::default(), channels: Mutex::default() })
    }

    /// Puts the tasks of the load into its processes, one after the other.
    pub(crate) fn spawn(self: &Arc<Self>) -> Spawn {
        let (load, next) = (self.load.clone(), Mutex::new(0));
        Arc::new(move |task| {
            let mut next = next.lock();
            *next += 1;
            drop(load[*next % load.len()].spawn(task));
        })
    }

    /// All processes that there are now.
    #[must_use]
    pub(crate) fn processes(&self) -> Vec<Arc<Process>> {
        self.load.iter().chain(self.homes.lock().values()).cloned().collect()
    }

    /// Where users may be.
    pub(crate) fn sites() -> impl Iterator<Item = Site> {
        (0..MOST).chain(FIRST_PROCESS..FIRST_PROCESS + MOST).map(Site::Client)
    }

    fn channel(&self, client: u32, member: u32) -> Channel {
        let ground = &self.cluster.ground;
        let make = || Channel::new(ground.network.clone(), ground.ports.clone(), client, member);
        self.channels.lock().entry((client, member)).or_insert_with(make).clone()
    }
}

impl Members for Users {
    fn count(&self) -> usize {
        self.cluster.nodes().len()
    }

    fn is_there(&self, index: usize) -> bool {
        self.cluster.nodes().get(index).is_some_and(|node| !node.was_removed())
    }

    fn reach(&self, client: u32, index: usize) -> Member {
        let nodes = self.cluster.nodes();
        let node = &nodes[index % nodes.len()];
        Member::new(node.member.0, self.channel(client, node.number))
    }
}

impl Homes for Users {
    fn start(&self, number: u32) -> Registry {
        let process = Process::new(format!("process {number}"), Duration::ZERO, 0);
        drop(self.homes.lock().insert(number, process.clone()));
        let given: Vec<_> = self.cluster.nodes().iter().map(|node| node.number).collect();
        let urls: Vec<_> = given.iter().map(|number| format!("http://member-{number}:2379")).collect();
        let dial = Dial { cluster: self.cluster.clone(), process: FIRST_PROCESS + number, given };
        let spawn = Arc::new(move |task| drop(process.spawn(task)));
        let built = Registry::builder(urls).build_simulated(Arc::new(dial), spawn);
        built.expect("the endpoints are addresses")
    }

    fn kill(&self, number: u32) -> bool {
        if let Some(process) = self.homes.lock().remove(&number) {
            process.kill();
            self.cluster.ground.network.hang_up(Site::Client(FIRST_PROCESS + number));
        }
        true
    }
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Users").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

/// Opens the SDK's connections.
struct Dial {
    cluster: Arc<Cluster>,
    /// Whose connections, as a client's number.
    process: u32,
    /// The members that there were when the process began: it knows no others.
    given: Vec<u32>,
}

impl Dial {
    /// Which member is behind a name. The SDK goes by the names that it was given, so an operator who has replaced all of
    /// them has the names lead to those who are there now.
    fn resolve(&self, name: &str) -> Option<u32> {
        let named = name.strip_prefix("member-").and_then(|number| number.parse().ok())?;
        let nodes = self.cluster.nodes();
        let is_there = |node: &&Arc<Node>| !node.was_removed();
        let is_lost = !nodes.iter().filter(is_there).any(|node| self.given.contains(&node.number));
        let other = nodes.iter().find(is_there).filter(|_| is_lost);
        Some(other.map_or(named, |node| node.number))
    }
}

impl Connector for Dial {
    fn connect(&self, endpoint: &Endpoint) -> BoxFuture<Result<Box<dyn Link>, String>> {
        let ground = &self.cluster.ground;
        let channel = self
            .resolve(endpoint.host())
            .map(|member| Channel::new(ground.network.clone(), ground.ports.clone(), self.process, member));
        Box::pin(async move {
            let channel = channel.ok_or("no such host")?;
            channel.open().await.map_err(|error| error.to_string())?;
            Ok(Box::new(Line(channel)) as Box<dyn Link>)
        })
    }
}

impl fmt::Debug for Dial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dial").field("process", &self.process).finish_non_exhaustive()
    }
}

/// A connection of the SDK.
#[derive(Debug)]
struct Line(Channel);

impl Link for Line {
    fn is_usable(&self) -> bool {
        self.0.is_open()
    }

    fn send(&self, request: Request<Body>) -> BoxFuture<Result<Response<Body>, SendError>> {
        let channel = self.0.clone();
        Box::pin(async move {
            channel.send(request).await.map_err(|error| match error {
                CallError::Refused => SendError::NotSent(error.to_string()),
                CallError::Broken => SendError::Broken(error.to_string()),
            })
        })
    }
}
