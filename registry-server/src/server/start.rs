//! Starting and stopping a node.
//!
//! A node has a thread of its own for Raft ("raft"), on which everything below the API lives; the front
//! door has its threads, and the WAL, apply and snapshots have lanes. [`Server::start`] returns once the
//! node serves; a stop undoes the same steps in reverse: streams end, the front door drains, Raft stops, the
//! data directory is released.

use std::io;
use std::sync::Arc;
use std::thread;

use futures_util::future::{Either, select};
use openraft::impls::TokioRuntime;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tonic_health::server::HealthReporter;

use super::auth_settings::AuthSettingsError;
use super::calls::Calls;
use super::client_tls;
use super::config::{ClusterState, Config, ConfigError};
use super::doors::{PEER_NEWCOMERS, SIDE_NEWCOMERS, bind_peers, listening_urls, open_peer_door, open_side_door};
use super::force::{ForceError, check_directory, force_new_cluster};
use super::founders::{Founders, JoinError};
use super::identity::Identity;
use super::listen::{Bound, ListenError, Listener};
use super::member::Member;
use super::peer_tls::PeerTls;
use super::settings::{node_options, transport};
use super::takeover::{TakeoverError, take_over};
use super::workers::FrontDoor;
use crate::apply::Machine;
use crate::cluster::KNOWN_VERSION;
use crate::consensus::{ConsensusError, HandoverError, Node, Transport};
use crate::storage::{DataDir, DataDirError, StdVfs};
use crate::tls::{Connector, TlsError};
use crate::traces::Exporting;
use crate::types::ThreadExecutor;

/// The production runtime, file system and executor.
pub(super) type Production = TokioRuntime;

/// What a member says, and ends, that was removed.
const REMOVED: &str = "the member has been permanently removed from the cluster; its data directory can be removed";

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
    /// A data directory of etcd's.
    #[error(transparent)]
    Takeover(#[from] TakeoverError),
    /// A file of TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The keys of tokens.
    #[error(transparent)]
    Auth(#[from] AuthSettingsError),
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
    /// Sends what was traced.
    exporting: Option<Exporting>,
    /// Held until the end: the lock is in it.
    _data_dir: DataDir<StdVfs>,
}

impl Serving {
    async fn begin(config: &Config, stop: &CancellationToken) -> Result<Self, StartError> {
        let bound = Listener::bind(&config.listen_client_urls)?;
        let side_bound = Listener::bind(&config.listen_metrics_urls)?;
        let peer_bound = bind_peers(config)?;
        take_over(&StdVfs, config).await?;
        if config.force_new_cluster {
            check_directory(&StdVfs, &config.data_dir)?;
        }
        let data_dir = DataDir::open(&StdVfs, &config.data_dir, config.wal_dir.as_deref())?;
        let client_tls = client_tls::open(config, &StdVfs, &data_dir)?;
        let bound = bound.with_tls(client_tls.clone()).with_newcomers(config.max_connections.div_ceil(2));
        let side_bound = side_bound.with_tls(client_tls).with_newcomers(SIDE_NEWCOMERS);
        let tls = PeerTls::open(config, &StdVfs, &data_dir)?;
        let jwt = config.auth.open(&StdVfs)?;
        let peer_bound = peer_bound.with_tls(tls.acceptor).with_newcomers(PEER_NEWCOMERS);
        let (identity, founders) = identify(config, &data_dir, tls.connector.as_ref()).await?;
        let peer_urls = founders.own_urls().to_vec();

        let options = node_options(config, identity, founders.into_nodes(), &data_dir);
        if config.force_new_cluster {
            force_new_cluster(StdVfs, &options, identity.cluster, data_dir.root(), tls.connector.as_ref()).await?;
        }
        let reach = |reach| -> Arc<dyn Transport> { Arc::new(transport(config, identity, reach, tls.connector)) };
        let has_peer_port = !peer_bound.urls().is_empty();
        let ground = (StdVfs, &ThreadExecutor);
        let member = Member::start(config, identity, &options, ground, reach, has_peer_port).await?;
        member.sign_tokens(jwt);
        let (node, removed) = (member.backend.node.clone(), member.removed.clone());
        // Before anything is waited for: without its peers a member finds no leader.
        let peer_door = match open_peer_door(config, peer_bound, member.peer_service()) {
            Ok(door) => door,
            Err(error) => {
                node.shutdown().await;
                return Err(error.into());
            }
        };
        let opening = open(config, &member, peer_urls, (bound, side_bound), stop);
        let opening = async { removed.run_until_cancelled(opening).await.unwrap_or(Err(StartError::Removed)) };
        match stop.run_until_cancelled(opening).await.unwrap_or(Err(StartError::Stopped)) {
            Ok(Open { urls, door, side_door, health, exporting }) => {
                Ok(Self { urls, node, door, side_door, peer_door, removed, health, exporting, _data_dir: data_dir })
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
        if let Some(exporting) = self.exporting {
            exporting.finish().await;
        }
        tracing::info!("stopped");
        failure.map_or(Ok(()), |failure| Err(RunError::Fatal(failure)))
    }
}

/// Who this member is: what the data directory says, or on its first start the flags, or the cluster that it joins. And
/// who founds the cluster, if it does.
async fn identify(
    config: &Config,
    data_dir: &DataDir<StdVfs>,
    tls: Option<&Connector>,
) -> Result<(Identity, Founders), StartError> {
    let joins = config.initial_cluster_state == ClusterState::Existing;
    let founders = if joins { Founders::none(config) } else { Founders::new(config) };
    if let Some(identity) = Identity::load(&StdVfs, data_dir.root())? {
        return Ok((identity, founders));
    }
    let identity = if joins { Founders::join(config, tls).await? } else { founders.identity() };
    identity.save(&StdVfs, data_dir.root())?;
    Ok((identity, founders))
}

/// What a node that serves has beside Raft.
struct Open {
    urls: Urls,
    door: FrontDoor,
    side_door: Option<FrontDoor>,
    health: HealthReporter,
    exporting: Option<Exporting>,
}

/// Opens the side door, waits for Raft, tells the cluster who this is, and opens the door.
async fn open(
    config: &Config,
    member: &Member<Production, StdVfs>,
    peer_urls: Vec<String>,
    (bound, side_bound): (Bound, Bound),
    stop: &CancellationToken,
) -> Result<Open, StartError> {
    let urls = Urls { client: listening_urls(&bound), metrics: listening_urls(&side_bound) };
    let backend = &member.backend;
    let started = match &config.traces {
        Some(settings) => Some(Exporting::start(settings).await?),
        None => None,
    };
    let (exporting, traces) = started.unzip();
    let calls = Calls::traced(config.warning_unary_request_duration, traces);
    let paths = member.paths(&calls);
    // Before there is a leader: whoever restarts what does not answer would restart a member that waits for its majority.
    let side_door = open_side_door(config, side_bound, paths.clone())?;
    member.join(config, peer_urls, bound.urls()).await?;
    // A new reporter says that the server as a whole, "", is serving.
    let health = HealthReporter::new();
    let services = member.services(config, (paths, calls), health.clone(), stop);
    let door = FrontDoor::start(bound, services, config)?;
    member.work(config);
    tracing::info!(cluster = %backend.cluster, member = %backend.member, urls = ?urls.client, metrics_urls = ?urls.metrics, "ready to serve client requests");
    Ok(Open { urls, door, side_door, health, exporting })
}
