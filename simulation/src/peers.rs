//! The transport seam: peers' messages over the simulated network, from a link to the receiver of the other member.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use registry_server::consensus::{
    Admission, Answers, Call, Caller, Link, LinkError, Messages, NotAdmitted, PeerNode, Receive, Transport,
};
use registry_server::server::{MemberServices, Reach};
use registry_server::storage::MemVfs;
use registry_server::types::{ClusterId, MemberId};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::network::{Broken, Connection, Network, Site, pipe};
use crate::process::Process;
use crate::runtime::Simulated;

/// How late a message that was doubled comes again, at most.
const DOUBLED: Duration = Duration::from_secs(3);

/// Where a running member is reached.
pub(crate) struct Port {
    /// Whose tasks answer.
    pub process: Arc<Process>,
    /// For peers.
    pub receiver: Arc<dyn Receive>,
    /// Who may call.
    pub admission: Admission,
    /// For clients, once the member serves them.
    pub services: Mutex<Option<Arc<MemberServices<Simulated, MemVfs>>>>,
}

/// The ports of all running members, by the number of the member.
#[derive(Default)]
pub(crate) struct Ports(Mutex<BTreeMap<u32, Arc<Port>>>);

impl Ports {
    /// Opens or, with none, closes a member's port.
    pub(crate) fn set(&self, member: u32, port: Option<Arc<Port>>) {
        let mut ports = self.0.lock();
        match port {
            Some(port) => drop(ports.insert(member, port)),
            None => drop(ports.remove(&member)),
        }
    }

    /// A member's port, if it is open.
    #[must_use]
    pub(crate) fn get(&self, member: u32) -> Option<Arc<Port>> {
        self.0.lock().get(&member).cloned()
    }
}

/// A member's way to its peers.
pub(crate) struct Wires(pub Arc<Exchange>);

/// What a member needs to reach its peers.
pub(crate) struct Exchange {
    /// Whose.
    pub own: (u32, MemberId, ClusterId),
    /// What is known of the others.
    pub reach: Reach,
    /// Over which it goes.
    pub network: Arc<Network>,
    /// Where it ends.
    pub ports: Arc<Ports>,
    /// Which member has which URL.
    pub urls: fn(&str) -> Option<u32>,
}

impl Transport for Wires {
    fn link(&self, to: MemberId, node: &PeerNode) -> Arc<dyn Link> {
        Arc::new(Wire(Arc::new(Shared {
            wires: self.0.clone(),
            to,
            urls: node.peer_urls.clone(),
            connection: Mutex::default(),
        })))
    }
}

/// A link.
struct Wire(Arc<Shared>);

struct Shared {
    wires: Arc<Exchange>,
    to: MemberId,
    urls: Vec<String>,
    connection: Mutex<Option<(Arc<Connection>, Arc<Process>)>>,
}

/// A connection that is open, and who is at the other end.
struct Open {
    connection: Arc<Connection>,
    port: Arc<Port>,
    from: Site,
    to: Site,
}

impl Shared {
    /// Connects if need be: a message there and one back.
    async fn open(&self) -> Result<Open, LinkError> {
        let urls = self.wires.reach.directory.peer_urls(self.to).unwrap_or_else(|| self.urls.clone());
        let number = urls.iter().find_map(|url| (self.wires.urls)(url));
        let number = number.ok_or_else(|| LinkError::NotSent("it has no address".to_owned()))?;
        let (from, to) = (Site::Member(self.wires.own.0), Site::Member(number));
        let refused = || LinkError::NotSent("connection refused".to_owned());
        let known = self.connection.lock().clone();
        if let Some((connection, process)) = known
            && !connection.is_broken()
            && let Some(port) = self.wires.ports.get(number)
            && Arc::ptr_eq(&port.process, &process)
        {
            return Ok(Open { connection, port, from, to });
        }
        let network = &self.wires.network;
        let connection = network.connect(from, to);
        let not_sent = |_: Broken| LinkError::NotSent("no connection".to_owned());
        network.pass(from, to, &connection).await.map_err(not_sent)?;
        let port = self.wires.ports.get(number).ok_or_else(refused)?;
        network.pass(to, from, &connection).await.map_err(not_sent)?;
        *self.connection.lock() = Some((connection.clone(), port.process.clone()));
        Ok(Open { connection, port, from, to })
    }

    async fn open_within(&self, limit: Duration) -> Result<Open, LinkError> {
        let opened = timeout(limit, self.open()).await;
        opened.unwrap_or_else(|_| Err(LinkError::NotSent(format!("no connection within {limit:?}"))))
    }

    fn caller(&self) -> Caller {
        let (_, member, cluster) = self.wires.own;
        Caller { from: Some(member), cluster: Some(cluster), to: Some(self.to) }
    }

    fn refused(&self, why: &NotAdmitted) -> LinkError {
        if *why == NotAdmitted::Removed {
            self.wires.reach.removed.cancel();
        }
        LinkError::Refused(why.to_string())
    }

    async fn ask(&self, open: &Open, call: Call, body: Bytes) -> Result<Bytes, LinkError> {
        let network = &self.wires.network;
        let lost = |_: Broken| LinkError::Lost("the connection was lost".to_owned());
        network.pass(open.from, open.to, &open.connection).await.map_err(lost)?;
        if matches!(call, Call::Vote | Call::PreVote | Call::ReadIndex) && network.doubles() {
            deliver_again(open.port.clone(), call, body.clone());
        }
        let (done, answer) = oneshot::channel();
        let (port, caller) = (open.port.clone(), self.caller());
        drop(open.port.process.spawn(async move {
            let answer = match port.admission.check(caller) {
                Ok(()) => Ok(port.receiver.call(call, body).await),
                Err(why) => Err(why),
            };
            drop(done.send(answer));
        }));
        let answer = open.connection.hold(answer).await.map_err(lost)?.map_err(|_| lost(Broken))?;
        network.pass(open.to, open.from, &open.connection).await.map_err(lost)?;
        answer.map_err(|why| self.refused(&why))?
    }
}

/// What an earlier connection still had under way comes later.
fn deliver_again(port: Arc<Port>, call: Call, body: Bytes) {
    let late = DOUBLED.mul_f64(fastrand::f64());
    let process = port.process.clone();
    drop(process.spawn(async move {
        tokio::time::sleep(late).await;
        drop(port.receiver.call(call, body).await);
    }));
}

impl Link for Wire {
    fn call(&self, call: Call, body: Bytes, limit: Duration) -> BoxFuture<'static, Result<Bytes, LinkError>> {
        let shared = self.0.clone();
        Box::pin(async move {
            let open = shared.open_within(limit).await?;
            let answer = timeout(limit, shared.ask(&open, call, body)).await;
            answer.unwrap_or_else(|_| Err(LinkError::Lost(format!("no answer within {limit:?}"))))
        })
    }

    fn append(&self, requests: Messages, limit: Duration) -> BoxFuture<'static, Result<Answers, LinkError>> {
        let shared = self.0.clone();
        Box::pin(async move {
            let open = shared.open_within(limit).await?;
            open.port.admission.check(shared.caller()).map_err(|why| shared.refused(&why))?;
            let network = &shared.wires.network;
            let coming = send_all(network, &open, requests);
            let (mut back, answers) = pipe(network, &open.connection, open.to, open.from);
            let receiver = open.port.receiver.clone();
            drop(open.port.process.spawn(async move {
                let mut answers = receiver.append(coming);
                while let Some(answer) = answers.next().await {
                    if back.send(answer).await.is_err() {
                        return;
                    }
                }
                back.finish().await;
            }));
            let lost = |_: Broken| LinkError::Lost("the connection was lost".to_owned());
            Ok(answers.map(move |answer| answer.map_err(lost)?).boxed())
        })
    }

    fn install(&self, parts: Messages) -> BoxFuture<'static, Result<Bytes, LinkError>> {
        let shared = self.0.clone();
        Box::pin(async move {
            let open = shared.open().await?;
            open.port.admission.check(shared.caller()).map_err(|why| shared.refused(&why))?;
            let network = &shared.wires.network;
            let coming = send_all(network, &open, parts);
            let (done, answer) = oneshot::channel();
            let receiver = open.port.receiver.clone();
            drop(open.port.process.spawn(async move { drop(done.send(receiver.install(coming).await)) }));
            let lost = |_: Broken| LinkError::Lost("the connection was lost".to_owned());
            let answer = open.connection.hold(answer).await.map_err(lost)?.map_err(|_| lost(Broken))?;
            network.pass(open.to, open.from, &open.connection).await.map_err(lost)?;
            answer
        })
    }
}

/// Sends messages, in a task of whoever sends, until the other side wants no more; gives what arrives.
fn send_all(network: &Arc<Network>, open: &Open, messages: Messages) -> Messages {
    let (inlet, outlet) = pipe(network, &open.connection, open.from, open.to);
    drop(Process::spawn_here(inlet.carry(messages)));
    // Cut off at the end: how it ended is the sender's business.
    outlet.scan((), |(), message| std::future::ready(message.ok())).boxed()
}
