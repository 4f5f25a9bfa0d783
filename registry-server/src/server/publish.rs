//! What a member tells the others when it starts: its name, where clients reach it, and the version that it knows.

use std::time::Duration;

use registry_proto::etcdserverpb::Member;
use tonic::{Code, Status};

use super::config::Config;
use super::start::StartError;
use super::urls::MemberUrl;
use crate::api::SharedBackend;
use crate::cluster::KNOWN_VERSION;
use crate::command::{Command, MemberVersion};
use crate::consensus::ConsensusError;
use crate::storage::Vfs;
use crate::types::Author;
use crate::types::Runtime;

/// Before a member tells of itself again.
const PAUSE: Duration = Duration::from_millis(100);

/// Tells the cluster what it does not know of this member yet.
///
/// # Errors
/// [`StartError::TooOld`], [`StartError::Removed`], and whatever but the lack of a leader keeps it from being told.
pub(super) async fn publish<R: Runtime, V: Vfs>(
    backend: &SharedBackend<R, V>,
    config: &Config,
    peer_urls: Vec<String>,
    bound: &[MemberUrl],
) -> Result<(), StartError> {
    let urls = config.advertised_client_urls(bound);
    let member = Member {
        id: backend.member.0,
        name: config.name.clone(),
        peer_ur_ls: peer_urls,
        client_ur_ls: urls.iter().map(MemberUrl::to_string).collect(),
        is_learner: false,
    };
    let (is_known, cluster, told) = {
        let cluster = backend.state.cluster.read();
        let is_same = |known: &Member| (&known.name, &known.client_ur_ls) == (&member.name, &member.client_ur_ls);
        (cluster.get(backend.member).is_some_and(is_same), cluster.version(), cluster.version_of(backend.member))
    };
    if cluster > KNOWN_VERSION {
        return Err(StartError::TooOld { cluster });
    }
    if !is_known {
        tell(backend, config, &Command::Publish(member)).await?;
    }
    if told != Some(KNOWN_VERSION) {
        let version = MemberVersion { id: backend.member.0, version: KNOWN_VERSION };
        tell(backend, config, &Command::MemberVersion(version)).await?;
    }
    tracing::info!(name = %config.name, "published local member to cluster through raft");
    Ok(())
}

async fn tell<R: Runtime, V: Vfs>(
    backend: &SharedBackend<R, V>,
    config: &Config,
    command: &Command,
) -> Result<(), StartError> {
    while let Err(status) = backend.propose(&Author::Member, command).await {
        if let Some(error) = final_error(&status, config.has_others()) {
            return Err(error);
        }
        R::sleep(PAUSE).await;
    }
    Ok(())
}

/// Why a member that is refused cannot go on; none if it is to try again: its leader is gone and another will come, or the
/// leader's disk is full and has room again one day.
fn final_error(status: &Status, has_others: bool) -> Option<StartError> {
    match status.code() {
        // It was removed while it was away, and no peer has told it yet.
        Code::NotFound => Some(StartError::Removed),
        Code::Unavailable | Code::ResourceExhausted if has_others => None,
        _ => Some(ConsensusError::Raft(status.message().to_owned()).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::status::WireError;

    /// It ended with "member not found", as if something had gone wrong.
    #[test]
    fn who_was_removed_while_it_was_away_is_told_so() {
        let refused = final_error(&WireError::MemberNotFound.into(), true);
        assert!(matches!(refused, Some(StartError::Removed)), "{refused:?}");
    }

    #[test]
    fn who_has_peers_waits_for_a_leader_and_who_is_alone_does_not() {
        let no_leader = Status::unavailable("etcdserver: no leader");
        assert!(final_error(&no_leader, true).is_none());
        // It ended when the leader's disk was full.
        assert!(final_error(&WireError::NoSpace.into(), true).is_none());
        assert!(final_error(&no_leader, false).unwrap().to_string().contains("no leader"));
    }
}
