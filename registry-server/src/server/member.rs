//! A member without its doors: everything between its files and its services.
//!
//! It is generic over runtime, file system and transport, so that what serves clients in production also runs, many
//! members in one process, in a simulation.

use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::{Either, select};
use tokio_util::sync::CancellationToken;
use tonic_health::server::HealthReporter;

use super::auto_compaction::compact_by;
use super::calls::Calls;
use super::checkpoints::record_leases;
use super::config::Config;
use super::corruption::look_for_corruption;
use super::directory::Members;
use super::dispatch::{Parts, Services};
use super::expiry::expire_leases;
use super::health::BackendHealth;
use super::identity::Identity;
use super::leading::lead_leases;
use super::members::{ask_when_silent, keep_members, notice_removal};
use super::metrics::NodeMetrics;
use super::others::Others;
use super::publish::publish;
use super::room::clear_when_there_is_room;
use super::round_trips::measure_round_trips;
use super::settings::limits;
use super::start::StartError;
use super::urls::MemberUrl;
use crate::api::audit::Audit;
use crate::api::{
    Backend, ClusterService, KvService, LearnerCalls, LeaseService, Logins, MaintenanceService, RequireLeader,
    Sessions, SharedBackend, WatchService, WatchSettings, answer_questions,
};
use crate::apply::{Machine, State};
use crate::auth::{Jwt, Passwords, Tokens};
use crate::consensus::{ConsensusError, Directory, Node, NodeOptions, PeerService, Transport};
use crate::http::Paths;
use crate::lease::Keeper;
use crate::storage::Vfs;
use crate::types::{Executor, Runtime};
use crate::watch::Hub;

/// A cluster of one that cannot find itself leader for this long after its log was read does not start.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// Between two looks whether the leader is there.
const PAUSE: Duration = Duration::from_millis(10);

/// All services of a member.
pub type MemberServices<R, V> =
    Services<KvService<R, V>, WatchService, LeaseService<R, V>, ClusterService<R, V>, MaintenanceService<R, V>>;

/// A member whose node runs. Clones are the same one.
pub struct Member<R: Runtime, V: Vfs> {
    /// What its services share.
    pub backend: SharedBackend<R, V>,
    /// Its watchers.
    pub hub: Arc<Hub>,
    /// What it knows of the others' addresses.
    pub directory: Arc<dyn Directory>,
    /// Cancelled when this member was removed from the cluster.
    pub removed: CancellationToken,
}

/// Whom a member's transport is for.
pub struct Reach {
    /// What the member knows of the others' addresses.
    pub directory: Arc<dyn Directory>,
    /// To be cancelled when a peer says that the member was removed.
    pub removed: CancellationToken,
}

impl<R: Runtime, V: Vfs> Member<R, V> {
    /// Starts the node on the files of a data directory that is open. Reads files before it returns. `transport` makes
    /// the way to the peers; `has_peer_port` says whether they can come here.
    ///
    /// # Errors
    /// The log or the snapshot.
    pub async fn start(
        config: &Config,
        identity: Identity,
        options: &NodeOptions,
        (vfs, executor): (V, &impl Executor),
        transport: impl FnOnce(Reach) -> Arc<dyn Transport>,
        has_peer_port: bool,
    ) -> Result<Self, ConsensusError> {
        let state = Arc::new(State::default());
        let hub = Hub::new(state.clone());
        let keeper = Arc::new(Keeper::default());
        let tokens = Arc::new(Tokens::<R>::new(config.auth.token_ttl));
        let machine = Machine::new(state.clone(), keeper.clone(), hub.clone()).telling(tokens.clone());
        let directory: Arc<dyn Directory> = Arc::new(Members(state.clone()));
        let removed = CancellationToken::new();
        let transport = transport(Reach { directory: directory.clone(), removed: removed.clone() });
        let node: Node<Machine, R, V> = Node::start(options, vfs, executor, transport, machine).await?;
        let backend = Arc::new(Backend {
            node: node.clone(),
            state,
            keeper,
            logins: Logins {
                tokens,
                jwt: OnceLock::new(),
                passwords: passwords(config),
                by_certificate: config.client_tls.client_cert_auth,
            },
            audit: Audit::new(config.audit_log.is_some()),
            cluster: identity.cluster,
            member: identity.member,
            limits: limits(config),
            raising: tokio::sync::Mutex::default(),
            changing: tokio::sync::Mutex::default(),
            has_peer_port,
        });
        answer_questions(&backend);
        drop(R::spawn(ask_when_silent(node.clone())));
        drop(R::spawn(notice_removal(node, backend.state.clone(), backend.member, removed.clone())));
        Ok(Self { backend, hub, directory, removed })
    }

    /// Has logins give tokens that carry their user, if any; to be said before clients can come in.
    pub fn sign_tokens(&self, jwt: Option<Jwt>) {
        if let Some(jwt) = jwt {
            drop(self.backend.logins.jwt.set(jwt));
        }
    }

    /// What answers its peers over gRPC.
    #[must_use]
    pub fn peer_service(&self) -> PeerService {
        let Backend { node, cluster, member, .. } = &*self.backend;
        PeerService::new(node.receiver(), self.directory.clone(), *cluster, *member).counting(node.counts().clone())
    }

    /// Waits for a leader, for as long as it takes if there are others, and tells the cluster who this is. Clients are served
    /// at `bound`.
    ///
    /// # Errors
    /// When the node stops, or the cluster has a version that this program does not know.
    pub async fn join(&self, config: &Config, peer_urls: Vec<String>, bound: &[MemberUrl]) -> Result<(), StartError> {
        let timeout = (!config.has_others()).then_some(READY_TIMEOUT);
        self.backend.node.ready(timeout).await?;
        self.backend.logins.tokens.open();
        publish(&self.backend, config, peer_urls, bound).await?;
        // After a restart the leader of before is a memory, and there may be nothing to publish: nobody is told that this
        // member is ready before its leader has been heard of, which clients can ask for.
        let node = &self.backend.node;
        let heard = async {
            while node.status().leader.is_none() {
                R::sleep(PAUSE).await;
            }
        };
        match select(pin!(node.failed()), pin!(heard)).await {
            Either::Left((failure, _)) => Err(ConsensusError::Raft(failure).into()),
            Either::Right(_) => Ok(()),
        }
    }

    /// What answers probes, and whoever wants figures.
    #[must_use]
    pub fn paths(&self, calls: &Arc<Calls>) -> Paths {
        let (backend, hub) = (self.backend.clone(), self.hub.clone());
        let metrics = NodeMetrics { backend: backend.clone(), hub, calls: calls.clone() };
        Paths::new(Arc::new(BackendHealth::new(backend)), metrics.source())
    }

    /// What answers its clients. Streams end when `stop` is cancelled.
    #[must_use]
    pub fn services(
        &self,
        config: &Config,
        (paths, calls): (Paths, Arc<Calls>),
        health: HealthReporter,
        stop: &CancellationToken,
    ) -> MemberServices<R, V> {
        let backend = &self.backend;
        let headers = {
            let backend = backend.clone();
            Arc::new(move |revision| backend.header(revision))
        };
        let leader = {
            let node = backend.node.clone();
            Arc::new(RequireLeader::new(move || node.status().leader.is_some()))
        };
        let (watching, node, patience) = (leader.clone(), backend.node.clone(), 3 * config.election_timeout);
        drop(R::spawn(async move { node.while_running(watching.watch::<R>(patience)).await }));
        let watch = WatchService::new(
            self.hub.clone(),
            headers,
            watch_settings(config),
            leader.clone(),
            backend.clone(),
            stop.clone(),
        );
        let sessions = Sessions::new(backend.clone(), watch.clone(), leader.clone());
        let parts = Parts {
            kv: KvService::new(backend.clone()),
            watch,
            lease: LeaseService::new(backend.clone(), leader.clone(), stop.clone()),
            cluster: ClusterService::new(backend.clone()),
            maintenance: MaintenanceService::new(backend.clone(), stop.clone()),
            health,
            others: Others::new(backend, &sessions, config, stop),
            paths,
            calls,
            leader,
            learner: {
                let backend = backend.clone();
                LearnerCalls::new(move || backend.is_learner())
            },
        };
        Services::new(parts, config)
    }

    /// Begins what a member does on its own, until its node stops. Not before clients can come in: nobody could keep a
    /// lease alive.
    pub fn work(&self, config: &Config) {
        let Backend { node, state, keeper, member, .. } = &*self.backend;
        drop(R::spawn(lead_leases(node.clone(), keeper.clone())));
        drop(R::spawn(keep_members(node.clone(), state.clone(), *member)));
        drop(R::spawn(expire_leases(node.clone(), keeper.clone())));
        drop(R::spawn(record_leases(node.clone(), keeper.clone())));
        drop(R::spawn(measure_round_trips(node.clone())));
        drop(R::spawn(compact_by(self.backend.clone(), config.auto_compaction())));
        drop(R::spawn(clear_when_there_is_room(self.backend.clone())));
        let (tokens, running) = (self.backend.logins.tokens.clone(), node.clone());
        drop(R::spawn(async move { running.while_running(tokens.sweep()).await }));
        drop(R::spawn(look_for_corruption(self.backend.clone(), config.corrupt_check_time)));
    }
}

impl<R: Runtime, V: Vfs> Clone for Member<R, V> {
    fn clone(&self) -> Self {
        Self {
            backend: self.backend.clone(),
            hub: self.hub.clone(),
            directory: self.directory.clone(),
            removed: self.removed.clone(),
        }
    }
}

impl<R: Runtime, V: Vfs> std::fmt::Debug for Member<R, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Member").field("member", &self.backend.member).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Reach {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reach")
    }
}

/// A quarter of the machine, so that a flood of logins leaves the rest to everybody else.
fn passwords(config: &Config) -> Passwords {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    Passwords::new(config.auth.bcrypt_cost, cores / 4)
}

fn watch_settings(config: &Config) -> WatchSettings {
    let usual =
        || crate::watch::Limits { fragment_bytes: config.max_message_bytes(), ..crate::watch::Limits::default() };
    let limits = config.watch_limits.clone().unwrap_or_else(usual);
    WatchSettings { progress_interval: config.watch_progress_notify_interval, limits }
}
