//! The seam to the peers: openraft's own network factory, bound to our types.
//!
//! A cluster of one has no peers: [`NoPeers`] answers that whoever is asked for cannot be reached.

use std::future::Future;
use std::path::PathBuf;

use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::RPCOption;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse};
use openraft::{OptionalSend, RaftNetworkFactory, RaftNetworkV2};

use super::state_machine::StateMachine;
use super::types::{PeerNode, RaftSnapshot, RaftVote, TypeConfig};
use crate::types::Runtime;

/// Reaches peers. Snapshots travel as files, named by their path.
pub trait Transport<S: StateMachine, R: Runtime>:
    RaftNetworkFactory<TypeConfig<S, R>, Network: openraft::network::NetSnapshot<TypeConfig<S, R>, SnapshotData = PathBuf>>
{
}

impl<S, R, T> Transport<S, R> for T
where
    S: StateMachine,
    R: Runtime,
    T: RaftNetworkFactory<TypeConfig<S, R>>,
    T::Network: openraft::network::NetSnapshot<TypeConfig<S, R>, SnapshotData = PathBuf>,
{
}

/// The transport of a cluster of one.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoPeers;

fn unreachable<S: StateMachine, R: Runtime>() -> Unreachable<TypeConfig<S, R>> {
    Unreachable::from_string("a cluster of one member has no peers")
}

impl<S: StateMachine, R: Runtime> RaftNetworkFactory<TypeConfig<S, R>> for NoPeers {
    type Network = Self;

    async fn new_client(&mut self, _target: u64, _node: &PeerNode) -> Self {
        Self
    }
}

impl<S: StateMachine, R: Runtime> RaftNetworkV2<TypeConfig<S, R>> for NoPeers {
    type SnapshotData = PathBuf;

    async fn append_entries(
        &mut self,
        _request: AppendEntriesRequest<TypeConfig<S, R>>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig<S, R>>, RPCError<TypeConfig<S, R>>> {
        Err(unreachable().into())
    }

    async fn vote(
        &mut self,
        _request: VoteRequest<TypeConfig<S, R>>,
        _option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig<S, R>>, RPCError<TypeConfig<S, R>>> {
        Err(unreachable().into())
    }

    async fn pre_vote(
        &mut self,
        _request: VoteRequest<TypeConfig<S, R>>,
        _option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig<S, R>>, RPCError<TypeConfig<S, R>>> {
        Err(unreachable().into())
    }

    async fn full_snapshot(
        &mut self,
        _vote: RaftVote,
        _snapshot: RaftSnapshot,
        _cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig<S, R>>, StreamingError<TypeConfig<S, R>>> {
        Err(unreachable().into())
    }
}
