//! openraft's network over links: its messages in our bytes.

use std::fmt::Display;
use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{BoxFuture, Either, select};
use futures_util::stream::{self, BoxStream, Stream, StreamExt};
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{Backoff, RPCOption};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::{OptionalSend, RaftNetworkFactory, RaftNetworkV2};

use super::messages::{
    SnapshotHead, append_to_bytes, appended_from_bytes, block_part, end_part, installed_from_bytes, transfer_to_bytes,
    transferred_from_bytes, vote_request_to_bytes, vote_response_from_bytes,
};
use super::state_machine::{RestoreError, StateMachine};
use super::transport::{Call, Link, LinkError, Messages, Transport};
use super::types::{PeerNode, RaftSnapshot, RaftVote, TypeConfig};
use crate::storage::{SnapshotReader, Vfs};
use crate::types::{Lane, MemberId, Runtime};

/// A peer that cannot be reached is tried again after 50 ms, then ever later, up to this.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Makes the connections of openraft's tasks: one for entries, one for heartbeats and one for snapshots of each peer,
/// over one link each.
pub(super) struct Peers<V> {
    transport: Arc<dyn Transport>,
    files: Files<V>,
    /// Votes are answered within this, or not at all.
    vote_limit: Duration,
    /// Snapshots that are being sent.
    sending: Arc<AtomicUsize>,
}

/// Where a snapshot's file is read, off the async threads.
#[derive(Clone)]
pub(super) struct Files<V> {
    pub(super) vfs: V,
    pub(super) lane: Lane,
}

impl<V: Vfs> Files<V> {
    /// A snapshot as it is sent: the head, its blocks, and the end. One that cannot be read has no end.
    fn parts(self, path: PathBuf, head: Bytes) -> Messages {
        let blocks = stream::unfold(Sending::Unopened(path), move |sending| {
            let files = self.clone();
            async move {
                let read = files.lane.run(move || sending.next(&files.vfs)).await;
                match read.map_err(io::Error::other).flatten() {
                    Ok(next) => next,
                    Err(error) => {
                        tracing::error!(%error, "a snapshot cannot be sent");
                        None
                    }
                }
            }
        });
        stream::iter([head]).chain(blocks).boxed()
    }
}

/// How far the reading of a snapshot that is sent has come.
enum Sending<V: Vfs> {
    Unopened(PathBuf),
    Open(Box<SnapshotReader<V>>),
    Ended,
}

impl<V: Vfs> Sending<V> {
    /// The next part, and what follows it. Blocking.
    fn next(self, vfs: &V) -> io::Result<Option<(Bytes, Self)>> {
        let mut reader = match self {
            Self::Unopened(path) => Box::new(SnapshotReader::open(vfs, &path).map_err(io::Error::other)?),
            Self::Open(reader) => reader,
            Self::Ended => return Ok(None),
        };
        Ok(Some(match reader.next_block().map_err(io::Error::other)? {
            Some(block) => (block_part(&block), Self::Open(reader)),
            None => (end_part(), Self::Ended),
        }))
    }
}

impl<V: Vfs> Peers<V> {
    pub(super) fn new(transport: Arc<dyn Transport>, files: Files<V>, vote_limit: Duration) -> Self {
        Self { transport, files, vote_limit, sending: Arc::default() }
    }

    /// How many snapshots are being sent.
    pub(super) fn sending(&self) -> Arc<AtomicUsize> {
        self.sending.clone()
    }
}

impl<S: StateMachine, R: Runtime, V: Vfs> RaftNetworkFactory<TypeConfig<S, R>> for Peers<V> {
    type Network = Peer<S, R, V>;

    async fn new_client(&mut self, target: u64, node: &PeerNode) -> Self::Network {
        let link = self.transport.link(MemberId(target), node);
        let (files, vote_limit, sending) = (self.files.clone(), self.vote_limit, self.sending.clone());
        Peer { link, files, vote_limit, sending, types: PhantomData }
    }
}

/// openraft's way to one peer.
pub(super) struct Peer<S, R, V> {
    link: Arc<dyn Link>,
    files: Files<V>,
    vote_limit: Duration,
    sending: Arc<AtomicUsize>,
    types: PhantomData<fn() -> (S, R)>,
}

/// One snapshot that is being sent, as long as it is there.
struct OneSending(Arc<AtomicUsize>);

impl OneSending {
    fn begin(sending: &Arc<AtomicUsize>) -> Self {
        sending.fetch_add(1, Ordering::Relaxed);
        Self(sending.clone())
    }
}

impl Drop for OneSending {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

type Config<S, R> = TypeConfig<S, R>;
type Rpc<T, S, R> = Result<T, RPCError<Config<S, R>>>;

impl<S: StateMachine, R: Runtime, V: Vfs> Peer<S, R, V> {
    async fn ask<T>(
        &self,
        call: Call,
        request: Bytes,
        limit: Duration,
        read: fn(Bytes) -> Result<T, RestoreError>,
    ) -> Rpc<T, S, R> {
        let answer = self.link.call(call, request, limit).await.map_err(rpc_error)?;
        read(answer).map_err(|error| network(error))
    }
}

/// What openraft does next depends on the kind: it waits longer and longer for a peer that cannot be reached.
fn rpc_error<S: StateMachine, R: Runtime>(error: LinkError) -> RPCError<Config<S, R>> {
    match error {
        LinkError::NotSent(_) | LinkError::Refused(_) => RPCError::Unreachable(Unreachable::new(&error)),
        LinkError::Lost(_) => network(error),
    }
}

fn network<S: StateMachine, R: Runtime>(error: impl Display) -> RPCError<Config<S, R>> {
    RPCError::Network(NetworkError::from_string(error))
}

impl<S: StateMachine, R: Runtime, V: Vfs> RaftNetworkV2<Config<S, R>> for Peer<S, R, V> {
    type SnapshotData = PathBuf;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Config<S, R>>,
        option: RPCOption,
    ) -> Rpc<AppendEntriesResponse<Config<S, R>>, S, R> {
        let mut answers = self.stream_append(stream::iter([request]), option).await?;
        match answers.next().await {
            Some(result) => result.map(AppendEntriesResponse::from),
            None => Err(network("the peer ended the stream without an answer")),
        }
    }

    fn stream_append<'s, I>(
        &'s mut self,
        input: I,
        option: RPCOption,
    ) -> BoxFuture<'s, Rpc<BoxStream<'s, Rpc<StreamAppendResult<Config<S, R>>, S, R>>, S, R>>
    where
        I: Stream<Item = AppendEntriesRequest<Config<S, R>>> + OptionalSend + Unpin + 'static,
    {
        let mut requests = input.map(|request| append_to_bytes(&request));
        Box::pin(async move {
            // openraft waits in this stream before it tries a peer again that could not be reached: whoever connects
            // before the first request knows of no pause.
            let Some(first) = requests.next().await else { return Ok(stream::empty().boxed()) };
            let requests = stream::iter([first]).chain(requests).boxed();
            let answers = self.link.append(requests, option.hard_ttl()).await.map_err(rpc_error)?;
            let read = |answer: Result<Bytes, LinkError>| {
                appended_from_bytes(answer.map_err(rpc_error)?).map_err(|error| network(error))
            };
            Ok(answers.map(read).boxed())
        })
    }

    async fn vote(
        &mut self,
        request: VoteRequest<Config<S, R>>,
        _option: RPCOption,
    ) -> Rpc<VoteResponse<Config<S, R>>, S, R> {
        self.ask(Call::Vote, vote_request_to_bytes(&request), self.vote_limit, vote_response_from_bytes).await
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<Config<S, R>>,
        _option: RPCOption,
    ) -> Rpc<VoteResponse<Config<S, R>>, S, R> {
        self.ask(Call::PreVote, vote_request_to_bytes(&request), self.vote_limit, vote_response_from_bytes).await
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<Config<S, R>>,
        _option: RPCOption,
    ) -> Rpc<TransferLeaderResponse<Config<S, R>>, S, R> {
        self.ask(Call::TransferLeader, transfer_to_bytes(&request), self.vote_limit, transferred_from_bytes).await
    }

    async fn full_snapshot(
        &mut self,
        vote: RaftVote,
        snapshot: RaftSnapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<Config<S, R>>, StreamingError<Config<S, R>>> {
        let _sending = OneSending::begin(&self.sending);
        let head = SnapshotHead { vote, meta: snapshot.meta };
        let parts = self.files.clone().parts(snapshot.snapshot, head.to_bytes());
        let installing = std::pin::pin!(R::timeout(option.hard_ttl(), self.link.install(parts)));
        let answer = match select(installing, std::pin::pin!(cancel)).await {
            Either::Left((Ok(answer), _)) => answer.map_err(|error| streaming(rpc_error(error)))?,
            Either::Left((Err(_), _)) => return Err(streaming(network("the peer did not take the snapshot in time"))),
            Either::Right((closed, _)) => return Err(StreamingError::Closed(closed)),
        };
        let vote = installed_from_bytes(answer).map_err(|error| streaming(network(error)))?;
        Ok(SnapshotResponse::new(vote))
    }

    fn backoff(&self) -> Option<Backoff> {
        let pauses = (0..).map(|tries: u32| Duration::from_millis(50 << tries.min(8)).min(LONGEST_PAUSE));
        Some(Backoff::new(pauses))
    }
}

fn streaming<S: StateMachine, R: Runtime>(error: RPCError<Config<S, R>>) -> StreamingError<Config<S, R>> {
    match error {
        RPCError::Unreachable(error) => StreamingError::Unreachable(error),
        RPCError::Timeout(error) => StreamingError::Timeout(error),
        RPCError::Network(error) => StreamingError::Network(error),
        RPCError::RemoteError(error) => StreamingError::Network(NetworkError::from_string(error)),
    }
}
