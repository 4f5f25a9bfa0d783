//! What the replicated state knows of the members' addresses, for the transport.

use std::sync::Arc;

use crate::apply::State;
use crate::consensus::{Directory, PeerNode};
use crate::types::MemberId;

/// The members of the state.
pub(super) struct Members(pub(super) Arc<State>);

impl Directory for Members {
    fn peer_urls(&self, member: MemberId) -> Option<Vec<String>> {
        self.0.cluster.read().get(member).map(|member| member.peer_ur_ls.clone())
    }

    fn was_removed(&self, member: MemberId) -> bool {
        self.0.cluster.read().was_removed(member)
    }

    fn version(&self) -> u32 {
        self.0.cluster.read().version()
    }

    fn members(&self) -> Vec<(MemberId, PeerNode)> {
        let node = |urls: &[String]| PeerNode { peer_urls: urls.to_vec() };
        let cluster = self.0.cluster.read();
        cluster.members().map(|member| (MemberId(member.id), node(&member.peer_ur_ls))).collect()
    }
}
