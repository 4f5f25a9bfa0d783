//! What a node answers its peers.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{Stream, StreamExt};
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::ClientWriteError;
use openraft::raft::{AppendEntriesRequest, ClientWriteResult};
use tokio::sync::oneshot;

use super::applier::RaftHandle;
use super::batcher::reserve;
use super::error::ProposeError;
use super::leaders::{Leader, Leaders};
use super::messages::{
    Proposed, SnapshotHead, Taken, append_from_bytes, appended_to_bytes, installed_to_bytes, read_index_to_bytes,
    snapshot_part, transfer_from_bytes, transferred_to_bytes, vote_request_from_bytes, vote_response_to_bytes,
};
use super::reads::read_index;
use super::snapshots::Snapshots;
use super::state_machine::StateMachine;
use super::transport::{Answers, Call, LinkError, Messages};
use super::types::{Batch, Callback, RaftSnapshot, TypeConfig};
use crate::storage::{Vfs, Wal};
use crate::types::{MemberId, Runtime};

/// Answers peers, whatever runtime and member it is on.
pub trait Receive: Send + Sync + 'static {
    /// Answers one message.
    fn call(&self, call: Call, body: Bytes) -> BoxFuture<'static, Result<Bytes, LinkError>>;

    /// Takes entries as they come, and answers each message in order once its entries are on disk. A stream of
    /// requests that ends in an error of the network is only cut off.
    fn append(&self, requests: Messages) -> Answers;

    /// Whether Raft's membership, as this node knows it, has a member.
    fn is_member(&self, member: MemberId) -> bool;

    /// Whether Raft's membership, as this node knows it, has one vote, which is this node's.
    fn is_only_voter(&self) -> bool;

    /// Takes a snapshot and installs it.
    fn install(&self, parts: Messages) -> BoxFuture<'static, Result<Bytes, LinkError>>;
}

/// Answers what the services of other members ask.
pub type Ask = Arc<dyn Fn(Bytes) -> BoxFuture<'static, Result<Bytes, String>> + Send + Sync>;

/// The answering side of a node.
pub(super) struct Receiver<S: StateMachine, R: Runtime, V: Vfs> {
    pub(super) raft: RaftHandle<S, R, V>,
    pub(super) wal: Wal<V>,
    pub(super) leaders: Leaders<S, R, V>,
    pub(super) snapshots: Snapshots<V>,
    pub(super) ask: Arc<parking_lot::RwLock<Option<Ask>>>,
}

impl<S: StateMachine, R: Runtime, V: Vfs> Clone for Receiver<S, R, V> {
    fn clone(&self) -> Self {
        Self {
            raft: self.raft.clone(),
            wal: self.wal.clone(),
            leaders: self.leaders.clone(),
            snapshots: self.snapshots.clone(),
            ask: self.ask.clone(),
        }
    }
}

impl<S: StateMachine, R: Runtime, V: Vfs> Receive for Receiver<S, R, V> {
    fn call(&self, call: Call, body: Bytes) -> BoxFuture<'static, Result<Bytes, LinkError>> {
        let this = self.clone();
        Box::pin(async move { this.answer(call, body).await })
    }

    fn append(&self, requests: Messages) -> Answers {
        let this = self.clone();
        // Ends at the first message that cannot be read or taken: openraft sends again from there.
        let taken = requests.then(move |request| {
            this.leaders.heard();
            let wal = this.wal.clone();
            async move { admitted::<S, R, V>(request, &wal).await }
        });
        let (stop, stopped) = oneshot::channel();
        let taken = until_refused(taken, stop);
        let results = self.raft.stream_append(taken);
        let answers = results.map(|result| match result {
            Ok(result) => Ok(appended_to_bytes(&result)),
            Err(fatal) => Err(LinkError::Refused(fatal.to_string())),
        });
        let refusal = futures_util::stream::once(stopped).filter_map(|why| async { why.ok().map(Err) });
        answers.chain(refusal).boxed()
    }

    fn is_member(&self, member: MemberId) -> bool {
        let metrics = self.raft.server_metrics();
        let metrics = metrics.borrow_watched();
        metrics.membership_config.membership().get_node(&member.0).is_some()
    }

    fn is_only_voter(&self) -> bool {
        let metrics = self.raft.server_metrics();
        let metrics = metrics.borrow_watched();
        metrics.membership_config.voter_ids().eq([metrics.id])
    }

    fn install(&self, parts: Messages) -> BoxFuture<'static, Result<Bytes, LinkError>> {
        let this = self.clone();
        Box::pin(async move { this.receive_snapshot(parts).await.map_err(LinkError::Refused) })
    }
}

impl<S: StateMachine, R: Runtime, V: Vfs> Receiver<S, R, V> {
    async fn answer(&self, call: Call, body: Bytes) -> Result<Bytes, LinkError> {
        match call {
            Call::Vote => {
                let response = self.raft.vote(vote_request_from_bytes(body).map_err(refused)?).await;
                Ok(vote_response_to_bytes(&response.map_err(refused)?))
            }
            Call::PreVote => {
                let response = self.raft.pre_vote(vote_request_from_bytes(body).map_err(refused)?).await;
                Ok(vote_response_to_bytes(&response.map_err(refused)?))
            }
            Call::TransferLeader => {
                let request = transfer_from_bytes(body).map_err(refused)?;
                let response = self.raft.handle_transfer_leader(request).await.map_err(refused)?;
                Ok(transferred_to_bytes::<S, R>(&response))
            }
            Call::Propose => Ok(self.take(Proposed::from_bytes(body).map_err(refused)?).await.to_bytes()),
            Call::ReadIndex => Ok(read_index_to_bytes(read_index(&self.raft).await.ok().as_ref())),
            Call::Ask => {
                let ask = self.ask.read().clone();
                match ask {
                    Some(ask) => ask(body).await.map_err(LinkError::Refused),
                    None => Err(LinkError::Refused("it is starting".to_owned())),
                }
            }
        }
    }

    /// Puts another member's batch into this leader's log.
    async fn take(&self, proposed: Proposed) -> Taken {
        if self.leaders.now() != Some(Leader::Myself(proposed.leader)) {
            return Taken::NotLeader;
        }
        let reservation = match reserve(&self.wal, proposed.commands.len()).await {
            Ok(reservation) => reservation,
            Err(ProposeError::NoSpace) => return Taken::NoSpace,
            Err(ProposeError::TooLarge) => return Taken::TooLarge,
            Err(_) => return Taken::NotLeader,
        };
        let (ended, end) = oneshot::channel();
        let done = Callback::new(move |result: ClientWriteResult<TypeConfig<S, R>>| {
            drop(reservation);
            let taken = match result {
                Ok(_) => Taken::Committed,
                Err(ClientWriteError::ForwardToLeader(_)) => Taken::NotLeader,
                Err(_) => Taken::Unknown,
            };
            // Whoever sent it may be gone.
            let _ = ended.send(taken);
        });
        let entry = Batch { origin: proposed.origin, commands: proposed.commands };
        if self.raft.write(entry).responder(done).with_leader(proposed.leader).await.is_err() {
            return Taken::Unknown;
        }
        end.await.unwrap_or(Taken::Unknown)
    }

    async fn receive_snapshot(&self, mut parts: Messages) -> Result<Bytes, String> {
        let head = parts.next().await.ok_or("a snapshot without a head")?;
        let head = SnapshotHead::from_bytes(head).map_err(text)?;
        // openraft takes it for a bug of its own, and panics, when a snapshot is of a later leader than its sender.
        let last = head.meta.last_log_id.ok_or("an empty snapshot")?;
        if last.leader_id > head.vote.leader_id {
            return Err("a snapshot from beyond its sender's term".to_owned());
        }
        let committed = self.raft.data_metrics().borrow_watched().local_committed;
        if committed.is_some_and(|committed| committed.index >= last.index) {
            // All of it is here already; what the sender knows of this node is old.
            let vote = self.raft.server_metrics().borrow_watched().vote;
            return Ok(installed_to_bytes(&vote));
        }
        tracing::info!(meta = %head.meta, "a snapshot is coming");
        let mut incoming = self.snapshots.begin_incoming(&head.meta).await.map_err(text)?;
        let whole = loop {
            let part = parts.next().await.ok_or("the snapshot was cut off")?;
            match snapshot_part(part).map_err(text)? {
                Some(block) => incoming = self.snapshots.add_incoming(incoming, block).await.map_err(text)?,
                None => break incoming,
            }
        };
        let path = self.snapshots.hold_incoming(whole);
        let snapshot = RaftSnapshot { meta: head.meta, snapshot: path.clone() };
        let response = self.raft.install_full_snapshot(head.vote, snapshot).await;
        // One that was refused is removed.
        self.snapshots.forget_incoming(path).await;
        let response = response.map_err(text)?;
        Ok(installed_to_bytes(&response.vote))
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn refused(error: impl std::fmt::Display) -> LinkError {
    LinkError::Refused(error.to_string())
}

/// Reads an append and makes sure that the log has room for it: openraft takes no error of the log lightly.
async fn admitted<S: StateMachine, R: Runtime, V: Vfs>(
    request: Bytes,
    wal: &Wal<V>,
) -> Result<AppendEntriesRequest<TypeConfig<S, R>>, LinkError> {
    let bytes = request.len();
    let request = append_from_bytes(request).map_err(refused)?;
    if !request.entries.is_empty() {
        // Given back at once: what is under way is bounded, and the log keeps more than that in reserve. A message may
        // hold several entries, and so more than one entry may take: refused for that, it would come again for ever.
        let bytes = bytes.min(wal.max_entry_bytes());
        reserve(wal, bytes).await.map_err(|error| LinkError::Refused(error.to_string()))?;
    }
    Ok(request)
}

/// The requests up to the first that is refused; says why.
fn until_refused<T: Send + 'static>(
    requests: impl Stream<Item = Result<T, LinkError>> + Send + 'static,
    stop: oneshot::Sender<LinkError>,
) -> impl Stream<Item = T> + Send + 'static {
    let mut stop = Some(stop);
    let refuse = move |error| drop(stop.take().map(|stop| stop.send(error)));
    requests.scan(refuse, |refuse, request| std::future::ready(request.map_err(refuse).ok()))
}
