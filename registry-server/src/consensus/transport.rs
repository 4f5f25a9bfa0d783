//! The seam to the peers: bytes from member to member.
//!
//! What the bytes mean is the business of `messages`; how they travel is the transport's. In production that
//! is gRPC (`peer_client`, `peer_service`); a simulation carries them in memory. A cluster of one has
//! [`NoPeers`].

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;

use super::types::PeerNode;
use crate::types::MemberId;

/// What is asked of a peer in one message and answered in one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// Its vote.
    Vote,
    /// Whether it would give its vote.
    PreVote,
    /// To take over as leader.
    TransferLeader,
    /// To put a batch of commands into the log.
    Propose,
    /// Up to which entry a read must wait.
    ReadIndex,
    /// Whatever the services want to know of the leader.
    Ask,
}

/// Why a peer did not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// The message did not leave: nothing happened.
    #[error("cannot reach the peer: {0}")]
    NotSent(String),
    /// The peer may have got it.
    #[error("the connection to the peer was lost: {0}")]
    Lost(String),
    /// The peer refused it unread or without doing anything.
    #[error("the peer refuses: {0}")]
    Refused(String),
}

/// A stream of messages that cannot fail on the sender's side.
pub type Messages = BoxStream<'static, Bytes>;

/// A stream of what the other side sends, up to its end or the first error.
pub type Answers = BoxStream<'static, Result<Bytes, LinkError>>;

/// A way to one peer. It connects when something is sent, and again after a connection was lost.
pub trait Link: Send + Sync + 'static {
    /// Sends a message and waits for the answer, `limit` in all.
    fn call(&self, call: Call, body: Bytes, limit: Duration) -> BoxFuture<'static, Result<Bytes, LinkError>>;

    /// Sends log entries, many messages under way at once; each is answered in order. `limit` is for the beginning.
    fn append(&self, requests: Messages, limit: Duration) -> BoxFuture<'static, Result<Answers, LinkError>>;

    /// Sends a snapshot in parts and waits until it is installed.
    fn install(&self, parts: Messages) -> BoxFuture<'static, Result<Bytes, LinkError>>;
}

/// Makes links.
pub trait Transport: Send + Sync + 'static {
    /// A link to a member; it costs nothing until it is used.
    fn link(&self, to: MemberId, node: &PeerNode) -> Arc<dyn Link>;
}

/// What a member knows of the others' addresses, beside Raft: clients may have changed them since.
pub trait Directory: Send + Sync + 'static {
    /// Where peers reach a member; none if it is not known yet.
    fn peer_urls(&self, member: MemberId) -> Option<Vec<String>>;

    /// Whether this was a member, and is none for good.
    fn was_removed(&self, member: MemberId) -> bool;

    /// The version that members have to know.
    fn version(&self) -> u32;

    /// All members.
    fn members(&self) -> Vec<(MemberId, PeerNode)>;
}

/// The transport of a cluster of one.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoPeers;

const NO_PEERS: &str = "a cluster of one member has no peers";

impl Transport for NoPeers {
    fn link(&self, _to: MemberId, _node: &PeerNode) -> Arc<dyn Link> {
        Arc::new(Self)
    }
}

impl Link for NoPeers {
    fn call(&self, _call: Call, _body: Bytes, _limit: Duration) -> BoxFuture<'static, Result<Bytes, LinkError>> {
        Box::pin(async { Err(LinkError::NotSent(NO_PEERS.to_owned())) })
    }

    fn append(&self, _requests: Messages, _limit: Duration) -> BoxFuture<'static, Result<Answers, LinkError>> {
        Box::pin(async { Err(LinkError::NotSent(NO_PEERS.to_owned())) })
    }

    fn install(&self, _parts: Messages) -> BoxFuture<'static, Result<Bytes, LinkError>> {
        Box::pin(async { Err(LinkError::NotSent(NO_PEERS.to_owned())) })
    }
}
