//! Starting and stopping a node.
//!
//! A node has a thread of its own for Raft ("raft"), on which everything below the API lives; the front
//! door has its threads, and the WAL, apply and snapshots have lanes. [`Server::start`] returns once the
//! node serves; a stop undoes the same steps in reverse: streams end, the front door drains, Raft stops, the
//! data directory is released.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use futures_util::future::{Either, select};
use openraft::impls::TokioRuntime;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tonic_health::server::HealthReporter;

use super::calls::Calls;
use super::checkpoints::record_leases;
use super::config::{ClusterState, Config, ConfigError};
use super::corruption::look_for_corruption;
use super::directory::Members;
use super::dispatch::{Parts, Peers, Probes, Services};
use super::expiry::expire_leases;
use super::force::{ForceError, check_directory, force_new_cluster};
use super::founders::{Founders, JoinError};
use super::health::BackendHealth;
use super::identity::Identity;
use super::leading::lead_leases;
use super::listen::{Bound, ListenError, Listener};
use super::members::keep_members;
use super::metrics::NodeMetrics;
use super::peer_tls::PeerTls;
use super::publish::publish;
use super::slow::slow_applies;
use super::urls::MemberUrl;
use super::workers::FrontDoor;
use crate::api::{
    Backend, ClusterService, KvService, LearnerCalls, LeaseService, Limits, MaintenanceService, RequireLeader,
    SharedBackend, WatchService, WatchSettings, answer_questions,
};
use crate::apply::{Machine, State};
use crate::cluster::KNOWN_VERSION;
use crate::consensus::{ConsensusError, GrpcTransport, HandoverError, Node, NodeOptions, PeerNode, PeerService};
use crate::http::Paths;
use crate::lease::Keeper;
use crate::storage::{DataDir, DataDirError, StdVfs, WalOptions};
use crate::tls::{Connector, TlsError};
use crate::types::{MemberId, ThreadExecutor};
use crate::watch::Hub;

/// The production runtime, file system and executor.
type Production = TokioRuntime;

/// A node that cannot find itself leader for this long after its log was read does not start.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// What a member says, and ends, that was removed.
const REMOVED: &str = "the member has been permanently removed from the cluster; its data directory can be removed";

/// Connections to the extra URLs of figures and health checks, at most.
const SIDE_CONNECTIONS: usize = 64;

/// Connections of peers, at most, and those among them that have not said yet what they want: handshakes above all.
const PEER_CONNECTIONS: usize = 256;
const PEER_NEWCOMERS: usize = 128;

/// Starts nodes.
#[derive(Debug)]
pub struct Server;

/// Why a node did not start. Each is one line that names what is wrong and the mend.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A client URL.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The data directory.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// A file of TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A cluster that cannot be joined.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// The cluster's version is above this program's.
    #[error("the cluster has version {cluster}, and this server knows {KNOWN_VERSION}: use the newer server")]
    TooOld {
        /// The cluster's.
        cluster: u32,
    },
    /// No new cluster is forced.
    #[error(transparent)]
    Force(#[from] ForceError),
    /// The cluster has removed this member.
    #[error("{REMOVED}")]
    Removed,
    /// The log or the snapshot.
    #[error(transparent)]
    Consensus(#[from] ConsensusError),
    /// Anything else of the system: threads, file descriptors.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
    /// The future of the start was dropped.
    #[error("stopped before it was ready")]
    Stopped,
    /// The starting thread ended without a word, which is a bug.
    #[error("cannot start: the node's thread has panicked")]
    Panicked,
}

/// Why a node stopped by itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// A disk that fails, or state that contradicts itself: going on would endanger what was acknowledged.
    #[error("the node has stopped: {0}")]
    Fatal(String),
}

/// A node that serves. Dropping it stops the node in the background; [`Running::shutdown`] waits for it.
#[derive(Debug)]
pub struct Running {
    urls: Urls,
    stop: CancellationToken,
    ended: oneshot::Receiver<Result<(), RunError>>,
    /// Kept when the node has ended, so that it can be asked for again.
    outcome: Option<Result<(), RunError>>,
}

/// Where a node serves, with the ports that were really bound.
#[derive(Debug, Clone)]
struct Urls {
    client: Vec<String>,
    metrics: Vec<String>,
}

impl Server {
    /// Starts a node and returns once it serves. Works on any async runtime: the node brings its own
    /// threads. Dropping the future stops what was started.
    ///
    /// # Errors
    /// See [`StartError`].
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use registry_server::server::{Config, Server};
    ///
    /// let config = Config {
    ///     data_dir: "/var/lib/registry".into(),
    ///     listen_client_urls: vec!["http://127.0.0.1:0".parse()?],
    ///     ..Config::default()
    /// };
    /// let node = Server::start(config).await?;
    /// println!("serving at {}", node.client_url());
    /// node.shutdown().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn start(config: Config) -> Result<Running, StartError> {
        config.validate()?;
        let stop = CancellationToken::new();
        // If this future is dropped half-way, the thread finds it cancelled and undoes what it did.
        let guard = stop.clone().drop_guard();
        let (started, outcome) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let token = stop.clone();
        thread::Builder::new().name("raft".to_owned()).spawn(move || run(&config, &token, started, end))?;
        let urls = outcome.await.map_err(|_| StartError::Panicked)??;
        drop(guard.disarm());
        Ok(Running { urls, stop, ended, outcome: None })
    }
}

impl Running {
    /// The first client URL, with the port that was really bound.
    #[must_use]
    pub fn client_url(&self) -> &str {
        &self.urls.client[0]
    }

    /// All client URLs, with the ports that were really bound.
    #[must_use]
    pub fn client_urls(&self) -> &[String] {
        &self.urls.client
    }

    /// All extra URLs of `/metrics` and the health checks, with the ports that were really bound.
    #[must_use]
    pub fn metrics_urls(&self) -> &[String] {
        &self.urls.metrics
    }

    /// Waits until the node has stopped by itself. Dropping the future changes nothing.
    ///
    /// # Errors
    /// Why it stopped.
    pub async fn stopped(&mut self) -> Result<(), RunError> {
        let outcome = match self.outcome.take() {
            Some(outcome) => outcome,
            None => {
                (&mut self.ended).await.unwrap_or_else(|_| Err(RunError::Fatal("its thread has panicked".to_owned())))
            }
        };
        self.outcome = Some(outcome.clone());
        outcome
    }

    /// Ends streams, finishes requests under way, stops Raft, and waits for all of it.
    ///
    /// # Errors
    /// When the node had failed before.
    pub async fn shutdown(mut self) -> Result<(), RunError> {
        self.stop.cancel();
        self.stopped().await
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

type Started = oneshot::Sender<Result<Urls, StartError>>;

/// The body of the node's thread.
fn run(config: &Config, stop: &CancellationToken, started: Started, end: oneshot::Sender<Result<(), RunError>>) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return drop(started.send(Err(error.into()))),
    };
    let outcome = runtime.block_on(async {
        let serving = match Serving::begin(config, stop).await {
            Ok(serving) => serving,
            Err(error) => {
                drop(started.send(Err(error)));
                return Ok(());
            }
        };
        // Nobody waits any more: `stop` is cancelled and the node ends at once.
        drop(started.send(Ok(serving.urls.clone())));
        serving.until_stopped(stop).await
    });
    // Whoever waits for the end may open the data directory again.
    drop(runtime);
    drop(end.send(outcome));
}

/// A node that serves, with what must end in order.
struct Serving {
    urls: Urls,
    node: Node<Machine, Production, StdVfs>,
    door: FrontDoor,
    /// The extra URLs of figures and health checks.
    side_door: Option<FrontDoor>,
    /// Where peers come in.
    peer_door: Option<FrontDoor>,
    /// Cancelled when this member was removed from the cluster.
    removed: CancellationToken,
    health: HealthReporter,
    /// Held until the end: the lock is in it.
    _data_dir: DataDir<StdVfs>,
}

impl Serving {
    async fn begin(config: &Config, stop: &CancellationToken) -> Result<Self, StartError> {
        let bound = Listener::bind(&config.listen_client_urls)?;
        let side_bound = Listener::bind(&config.listen_metrics_urls)?;
        let peer_bound = bind_peers(config)?;
        if config.force_new_cluster {
            check_directory(&StdVfs, &config.data_dir)?;
        }
        let data_dir = DataDir::open(&StdVfs, &config.data_dir, config.wal_dir.as_deref())?;
        let tls = PeerTls::open(config, &StdVfs, &data_dir)?;
        let peer_bound = peer_bound.with_tls(tls.acceptor).with_newcomers(PEER_NEWCOMERS);
        let joins = config.initial_cluster_state == ClusterState::Existing;
        let founders = if joins { Founders::none(config) } else { Founders::new(config) };
        let identity = match Identity::load(&StdVfs, data_dir.root())? {
            Some(identity) => identity,
            None => {
                let identity =
                    if joins { Founders::join(config, tls.connector.as_ref()).await? } else { founders.identity() };
                identity.save(&StdVfs, data_dir.root())?;
                identity
            }
        };
        let peer_urls = founders.own_urls().to_vec();

        let state = Arc::new(State::default());
        let hub = Hub::new(state.clone());
        let keeper = Arc::new(Keeper::default());
        let machine = Machine::new(state.clone(), keeper.clone(), hub.clone());
        let options = node_options(config, identity, founders.into_nodes(), &data_dir);
        if config.force_new_cluster {
            force_new_cluster(StdVfs, &options, identity.cluster, data_dir.root(), tls.connector.as_ref()).await?;
        }
        let directory = Arc::new(Members(state.clone()));
        let removed = CancellationToken::new();
        let transport = Arc::new(transport(config, identity, directory.clone(), removed.clone(), tls.connector));
        let node: Node<Machine, Production, _> =
            Node::start(&options, StdVfs, &ThreadExecutor, transport, machine).await?;
        let peer_service = PeerService::new(node.receiver(), directory, identity.cluster, identity.member);
        let backend = Arc::new(Backend {
            node: node.clone(),
            state,
            keeper,
            cluster: identity.cluster,
            member: identity.member,
            limits: limits(config),
            raising: tokio::sync::Mutex::default(),
            changing: tokio::sync::Mutex::default(),
            has_peer_port: !peer_bound.addresses().is_empty(),
        });
        answer_questions(&backend);
        // Before anything is waited for: without its peers a member finds no leader.
        let peer_door = match open_peer_door(config, peer_bound, peer_service) {
            Ok(door) => door,
            Err(error) => {
                node.shutdown().await;
                return Err(error.into());
            }
        };
        let opening = open(config, &backend, &hub, peer_urls, (bound, side_bound), stop);
        let opening = async { removed.run_until_cancelled(opening).await.unwrap_or(Err(StartError::Removed)) };
        match stop.run_until_cancelled(opening).await.unwrap_or(Err(StartError::Stopped)) {
            Ok(Open { urls, door, side_door, health }) => {
                Ok(Self { urls, node, door, side_door, peer_door, removed, health, _data_dir: data_dir })
            }
            Err(error) => {
                node.shutdown().await;
                if let Some(door) = peer_door {
                    door.shutdown().await;
                }
                Err(error)
            }
        }
    }

    async fn until_stopped(mut self, stop: &CancellationToken) -> Result<(), RunError> {
        let removed = async {
            self.removed.cancelled().await;
            REMOVED.to_owned()
        };
        let failed = select(Box::pin(self.node.failed()), Box::pin(removed));
        let failure = match select(Box::pin(stop.cancelled()), failed).await {
            Either::Left(_) => None,
            Either::Right((Either::Left((failure, _)) | Either::Right((failure, _)), _)) => Some(failure),
        };
        if let Some(failure) = &failure {
            tracing::error!(%failure, "the node cannot go on and stops");
        }
        // First of all, while requests are still taken: those under way are answered by the new leader.
        if failure.is_none() {
            match self.node.hand_over(None).await {
                Ok(()) => tracing::info!("leadership was handed over"),
                Err(HandoverError::NotLeader | HandoverError::BadTarget) => {}
                Err(error) => tracing::warn!(%error, "leadership was not handed over"),
            }
        }
        tracing::info!("stopping: streams end, requests under way are finished");
        stop.cancel();
        // Ends the streams that watch the health.
        self.health.clear_service_status("").await;
        self.door.shutdown().await;
        if let Some(door) = self.side_door {
            door.shutdown().await;
        }
        self.node.shutdown().await;
        if let Some(door) = self.peer_door {
            door.shutdown().await;
        }
        tracing::info!("stopped");
        failure.map_or(Ok(()), |failure| Err(RunError::Fatal(failure)))
    }
}

/// What a node that serves has beside Raft.
struct Open {
    urls: Urls,
    door: FrontDoor,
    side_door: Option<FrontDoor>,
    health: HealthReporter,
}

/// Waits for Raft, tells the cluster who this is, and opens the door.
async fn open(
    config: &Config,
    backend: &SharedBackend<Production, StdVfs>,
    hub: &Arc<Hub>,
    peer_urls: Vec<String>,
    (bound, side_bound): (Bound, Bound),
    stop: &CancellationToken,
) -> Result<Open, StartError> {
    // Whoever has peers waits for them, for as long as it takes.
    let timeout = (!config.has_others()).then_some(READY_TIMEOUT);
    backend.node.ready(timeout).await?;
    publish(backend, config, peer_urls, bound.addresses()).await?;
    let urls = Urls {
        client: listening_urls(&config.listen_client_urls, &bound),
        metrics: listening_urls(&config.listen_metrics_urls, &side_bound),
    };
    let calls = Calls::new(config.warning_unary_request_duration);
    let metrics = NodeMetrics { backend: backend.clone(), hub: hub.clone(), calls: calls.clone() };
    let paths = Paths::new(Arc::new(BackendHealth::new(backend.clone())), metrics.source());
    let side_door = open_side_door(config, side_bound, paths.clone())?;
    let (door, health) = open_door(config, backend, hub, (paths, calls), bound, stop)?;
    // Not before clients can come in: nobody could keep a lease alive.
    drop(tokio::spawn(lead_leases(backend.node.clone(), backend.keeper.clone())));
    drop(tokio::spawn(keep_members(backend.node.clone(), backend.state.clone(), backend.member)));
    drop(tokio::spawn(expire_leases(backend.node.clone(), backend.keeper.clone())));
    drop(tokio::spawn(record_leases(backend.node.clone(), backend.keeper.clone())));
    drop(tokio::spawn(look_for_corruption(backend.clone(), config.corrupt_check_time)));
    let (cluster, member) = (backend.cluster, backend.member);
    tracing::info!(%cluster, %member, urls = ?urls.client, "ready to serve client requests");
    Ok(Open { urls, door, side_door, health })
}

fn node_options(
    config: &Config,
    identity: Identity,
    founders: BTreeMap<MemberId, PeerNode>,
    data_dir: &DataDir<StdVfs>,
) -> NodeOptions {
    NodeOptions {
        member: identity.member,
        founders,
        life: fastrand::u64(1..),
        heartbeat_interval: config.heartbeat_interval,
        election_timeout: config.election_timeout,
        snapshot_after_bytes: config.snapshot_log_bytes,
        wal_dir: data_dir.wal_dir().to_owned(),
        snapshot_dir: data_dir.snap_dir().to_owned(),
        wal: wal_options(config),
        slow_apply: Some(slow_applies(config.warning_apply_duration)),
    }
}

/// Reaches the peers. One that is silent for half an election is asked for a sign of life, so that a call finds out
/// within an election that nobody is there.
fn transport(
    config: &Config,
    identity: Identity,
    directory: Arc<Members>,
    removed: CancellationToken,
    tls: Option<Connector>,
) -> GrpcTransport {
    GrpcTransport {
        directory,
        removed,
        cluster: identity.cluster,
        member: identity.member,
        silence: config.election_timeout / 2,
        max_message_bytes: config.max_peer_message_bytes(),
        tls,
    }
}

/// A member that is alone so far serves nobody there, so it can do without the port; it only cannot be joined then.
fn bind_peers(config: &Config) -> Result<Bound, StartError> {
    match Listener::bind(&config.listen_peer_urls) {
        Err(error) if !config.has_others() => {
            tracing::info!(%error, "the peer port is not served, so no member can be added");
            Ok(Listener::bind(&[])?)
        }
        bound => Ok(bound?),
    }
}

/// Serves the peers on a thread of its own, so that no client's load holds up a heartbeat.
fn open_peer_door(config: &Config, bound: Bound, service: PeerService) -> io::Result<Option<FrontDoor>> {
    if bound.addresses().is_empty() {
        return Ok(None);
    }
    let small = Config { worker_threads: Some(1), max_connections: PEER_CONNECTIONS, ..config.clone() };
    FrontDoor::start(bound, Peers::new(service, config), &small).map(Some)
}

fn wal_options(config: &Config) -> WalOptions {
    WalOptions {
        segment_bytes: config.segment_bytes(),
        unsafe_no_fsync: config.unsafe_no_fsync,
        // A client that could guess it could put what looks like the log's own headers into a value.
        salt: fastrand::u64(..),
        ..WalOptions::default()
    }
}

fn limits(config: &Config) -> Limits {
    // etcd's rule: one and a half election timeouts, in whole seconds, rounded up.
    let min_lease_ttl = (config.election_timeout * 3 / 2).as_millis().div_ceil(1000);
    Limits {
        max_txn_ops: config.max_txn_ops,
        max_request_bytes: config.max_request_bytes,
        min_lease_ttl_seconds: i64::try_from(min_lease_ttl).unwrap_or(i64::MAX),
        quota_bytes: config.quota_bytes.unwrap_or(0),
    }
}

/// The listen URLs with the ports that the system chose.
fn listening_urls(urls: &[MemberUrl], bound: &Bound) -> Vec<String> {
    let ports = bound.addresses().iter().map(std::net::SocketAddr::port);
    urls.iter().zip(ports).map(|(url, port)| url.with_port(port).to_string()).collect()
}

fn open_door(
    config: &Config,
    backend: &SharedBackend<Production, StdVfs>,
    hub: &Arc<Hub>,
    (paths, calls): (Paths, Arc<Calls>),
    bound: Bound,
    stop: &CancellationToken,
) -> Result<(FrontDoor, HealthReporter), StartError> {
    // A new reporter says that the server as a whole, "", is serving.
    let health = HealthReporter::new();
    let headers = {
        let backend = backend.clone();
        Arc::new(move |revision| backend.header(revision))
    };
    let leader = {
        let node = backend.node.clone();
        Arc::new(RequireLeader::new(move || node.status().leader.is_some()))
    };
    let (watching, node, patience) = (leader.clone(), backend.node.clone(), 3 * config.election_timeout);
    drop(tokio::spawn(async move { node.while_running(watching.watch::<Production>(patience)).await }));
    let services = Services::new(
        Parts {
            kv: KvService::new(backend.clone()),
            watch: WatchService::new(hub.clone(), headers, watch_settings(config), leader.clone(), stop.clone()),
            lease: LeaseService::new(backend.clone(), leader.clone(), stop.clone()),
            cluster: ClusterService::new(backend.clone()),
            maintenance: MaintenanceService::new(backend.clone()),
            health: health.clone(),
            paths,
            calls,
            leader,
            learner: {
                let backend = backend.clone();
                LearnerCalls::new(move || backend.is_learner())
            },
        },
        config,
    );
    Ok((FrontDoor::start(bound, services, config)?, health))
}

/// Serves probes and figures where clients do not come; a thread and a few connections are enough for them.
fn open_side_door(config: &Config, bound: Bound, paths: Paths) -> io::Result<Option<FrontDoor>> {
    if bound.addresses().is_empty() {
        return Ok(None);
    }
    let small = Config { worker_threads: Some(1), max_connections: SIDE_CONNECTIONS, ..config.clone() };
    FrontDoor::start(bound, Probes(paths), &small).map(Some)
}

fn watch_settings(config: &Config) -> WatchSettings {
    let limits = crate::watch::Limits { fragment_bytes: config.max_message_bytes(), ..crate::watch::Limits::default() };
    WatchSettings { progress_interval: config.watch_progress_notify_interval, limits }
}
