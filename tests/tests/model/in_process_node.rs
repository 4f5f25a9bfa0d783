//! A node without a network, on a file system in memory: the services are called as the front door calls them,
//! and everything below them is what a real node has, but for the tasks that expire leases.

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use openraft::impls::TokioRuntime;
use registry_proto::etcdserverpb::kv_server::Kv;
use registry_proto::etcdserverpb::lease_client::LeaseClient;
use registry_proto::etcdserverpb::lease_server::{Lease, LeaseServer};
use registry_proto::etcdserverpb::watch_request::RequestUnion;
use registry_proto::etcdserverpb::{
    LeaseKeepAliveRequest, LeaseKeepAliveResponse, WatchCreateRequest, WatchRequest, WatchResponse,
};
use registry_server::api::audit::Audit;
use registry_server::api::{
    Backend, Caller, KvService, LeaseService, Limits, Logins, RequireLeader, WatchAnswers, WatchService, WatchSettings,
};
use registry_server::apply::{Machine, State};
use registry_server::consensus::{NoPeers, Node, NodeOptions, PeerNode};
use registry_server::lease::Keeper;
use registry_server::storage::{MemVfs, Vfs, WalOptions};
use registry_server::types::{ClusterId, MemberId, ThreadExecutor};
use registry_server::watch::Hub;
use registry_tests::model::{Answer, Feed, Operation, Subject};
use registry_tests::within;
use tokio::sync::{Mutex, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Iter, StreamExt};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

const WAL: &str = "/data/wal";
const SNAPSHOTS: &str = "/data/snap";
const MEMBER: MemberId = MemberId(7);
/// Snapshots come many times in a run.
const SNAPSHOT_AFTER_BYTES: u64 = 4 << 20;
/// Lost power is simulated by a copy of all files, so they are small.
const SEGMENT_BYTES: u64 = 4 << 20;

/// The node.
pub(crate) struct InProcessNode {
    vfs: MemVfs,
    node: Node<Machine, TokioRuntime, MemVfs>,
    kv: KvService<TokioRuntime, MemVfs>,
    lease: LeaseService<TokioRuntime, MemVfs>,
    watch: WatchService,
    keep_alive: Mutex<(mpsc::Sender<LeaseKeepAliveRequest>, Streaming<LeaseKeepAliveResponse>)>,
    stop: CancellationToken,
}

impl InProcessNode {
    pub(crate) async fn start() -> Self {
        let vfs = MemVfs::new();
        for dir in [WAL, SNAPSHOTS] {
            vfs.create_dir_all(Path::new(dir)).expect("the directory is made");
        }
        Self::start_on(vfs).await
    }

    /// Cuts the power: what was not synced is gone. A new node goes on with the rest.
    pub(crate) async fn lose_power(self) -> Self {
        let vfs = self.vfs.crash();
        self.stop().await;
        Self::start_on(vfs).await
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.node.shutdown().await;
    }

    /// Whether a snapshot was written.
    pub(crate) fn has_snapshot(&self) -> bool {
        let names = self.vfs.list(Path::new(SNAPSHOTS)).expect("the directory is there");
        names.iter().any(|name| name.ends_with(".snap"))
    }

    async fn start_on(vfs: MemVfs) -> Self {
        let state = Arc::new(State::default());
        let hub = Hub::new(state.clone());
        let keeper = Arc::new(Keeper::default());
        let machine = Machine::new(state.clone(), keeper.clone(), hub.clone());
        let node: Node<Machine, TokioRuntime, _> =
            Node::start(&options(), vfs.clone(), &ThreadExecutor, Arc::new(NoPeers), machine)
                .await
                .expect("the node starts");
        node.ready(Some(Duration::from_secs(60))).await.expect("the node is ready");
        keeper.lead(node.term());
        let backend = Arc::new(Backend {
            node: node.clone(),
            state,
            keeper,
            logins: Logins::default(),
            audit: Audit::default(),
            cluster: ClusterId(9),
            member: MEMBER,
            limits: Limits {
                max_learners: 1,
                max_txn_ops: 128,
                max_request_bytes: 1536 * 1024,
                max_answers_bytes: u64::MAX,
                min_lease_ttl_seconds: 2,
                quota_bytes: 0,
            },
            raising: Mutex::default(),
            changing: Mutex::default(),
            has_peer_port: false,
        });
        let stop = CancellationToken::new();
        let leader = Arc::new(RequireLeader::new(|| true));
        let headers = {
            let backend = backend.clone();
            Arc::new(move |revision| backend.header(revision))
        };
        let (requests, receiver) = mpsc::channel(1);
        let mut client =
            LeaseClient::new(LeaseServer::new(LeaseService::new(backend.clone(), leader.clone(), stop.clone())));
        let answers = client.lease_keep_alive(ReceiverStream::new(receiver)).await.expect("the stream opens");
        Self {
            vfs,
            node,
            kv: KvService::new(backend.clone()),
            lease: LeaseService::new(backend.clone(), leader.clone(), stop.clone()),
            watch: WatchService::new(hub, headers, WatchSettings::default(), leader, backend.clone(), stop.clone()),
            keep_alive: Mutex::new((requests, answers.into_inner())),
            stop,
        }
    }
}

fn options() -> NodeOptions {
    NodeOptions {
        member: MEMBER,
        founders: [(MEMBER, PeerNode { peer_urls: vec!["http://localhost:2380".to_owned()] })].into(),
        life: fastrand::u64(1..),
        heartbeat_interval: Duration::from_millis(100),
        election_timeout: Duration::from_secs(1),
        snapshot_after_bytes: SNAPSHOT_AFTER_BYTES,
        wal_dir: WAL.into(),
        snapshot_dir: SNAPSHOTS.into(),
        wal: WalOptions { segment_bytes: SEGMENT_BYTES, ..WalOptions::default() },
        keep_entries: 100,
        slow_apply: None,
    }
}

impl Subject for InProcessNode {
    type Feed = InProcessFeed;

    async fn answer(&self, operation: &Operation) -> Result<Answer, Status> {
        let (kv, lease) = (&self.kv, &self.lease);
        Ok(match operation.clone() {
            Operation::Range(request) => Answer::Range(kv.range(Request::new(request)).await?.into_inner()),
            Operation::Put(request) => Answer::Put(kv.put(Request::new(request)).await?.into_inner()),
            Operation::DeleteRange(request) => {
                kv.delete_range(Request::new(request)).await.map(Response::into_inner).map(Answer::DeleteRange)?
            }
            Operation::Txn(request) => Answer::Txn(kv.txn(Request::new(request)).await?.into_inner()),
            Operation::Compact(request) => Answer::Compact(kv.compact(Request::new(request)).await?.into_inner()),
            Operation::LeaseGrant(request) => {
                lease.lease_grant(Request::new(request)).await.map(Response::into_inner).map(Answer::LeaseGrant)?
            }
            Operation::LeaseRevoke(request) => {
                lease.lease_revoke(Request::new(request)).await.map(Response::into_inner).map(Answer::LeaseRevoke)?
            }
            Operation::LeaseTimeToLive(request) => {
                let answer = lease.lease_time_to_live(Request::new(request)).await?;
                Answer::LeaseTimeToLive(answer.into_inner())
            }
            Operation::LeaseLeases(request) => {
                lease.lease_leases(Request::new(request)).await.map(Response::into_inner).map(Answer::LeaseLeases)?
            }
            Operation::LeaseKeepAlive(request) => {
                let (requests, answers) = &mut *self.keep_alive.lock().await;
                requests.send(request).await.map_err(|error| Status::unknown(error.to_string()))?;
                let answer = answers.message().await?;
                Answer::LeaseKeepAlive(answer.ok_or_else(|| Status::unknown("the stream of keep-alives has ended"))?)
            }
        })
    }

    async fn watch(&self, request: WatchCreateRequest) -> InProcessFeed {
        let request = WatchRequest { request_union: Some(RequestUnion::CreateRequest(request)) };
        InProcessFeed(Box::pin(self.watch.answers(Caller::default(), tokio_stream::iter(vec![Ok(request)]), None)))
    }
}

type Requests = Iter<std::vec::IntoIter<Result<WatchRequest, Status>>>;

/// A watch stream of the node.
pub(crate) struct InProcessFeed(Pin<Box<WatchAnswers<Requests>>>);

impl Feed for InProcessFeed {
    async fn next(&mut self) -> Result<Option<WatchResponse>, Status> {
        within(self.0.next()).await.transpose()
    }
}
