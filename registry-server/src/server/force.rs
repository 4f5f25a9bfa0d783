//! `--force-new-cluster`: a member of a cluster that has lost its majority for good becomes the only one.
//!
//! It happens on its data directory, before the node starts: what is to be forced is checked here, and done by
//! [`Survivor`] in one step. The state is read for that and dropped again, so that the node starts afterwards as always.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use openraft::impls::TokioRuntime;
use registry_proto::etcdserverpb::Member;

use super::identity::Identity;
use crate::apply::{Machine, State};
use crate::command::{AUTHORS_SINCE, Command, MemberChange, MemberChangeKind};
use crate::consensus::{ConsensusError, Membership, NodeOptions, PeerNode, Survivor, Unconfirmed, describe};
use crate::lease::Keeper;
use crate::storage::Vfs;
use crate::tls::Connector;
use crate::types::{Author, ClusterId, MemberId, ThreadExecutor};
use crate::watch::Hub;

type Production = TokioRuntime;

/// How long another member may take to say that it is alive.
const ALIVE_LIMIT: Duration = Duration::from_secs(3);

/// Why no new cluster is forced. Nothing was changed, or all of it.
#[derive(Debug, thiserror::Error)]
pub enum ForceError {
    /// There is nothing that could be saved.
    #[error(
        "--force-new-cluster: {} holds no member's data; give the data directory of a member that is left, or leave the \
         flag out to make a new cluster", dir.display()
    )]
    NoData {
        /// The directory.
        dir: PathBuf,
    },
    /// The cluster had removed this member before.
    #[error(
        "--force-new-cluster: this member was removed from its cluster before, so that it may lack what was written \
         since; take another member's data directory"
    )]
    Removed,
    /// The log ends before the member was added.
    #[error(
        "--force-new-cluster: the log here ends before this member joined, so that it lacks what was written since; take \
         another member's data directory"
    )]
    NotJoined,
    /// A majority is there, with this member.
    #[error(
        "--force-new-cluster: the majority is not lost, as {answering} answers; start this member without the flag, or \
         stop the others first"
    )]
    MajorityIsAlive {
        /// The peer URLs of those who answer.
        answering: String,
    },
    /// The log or the snapshot.
    #[error("--force-new-cluster: {0}")]
    Consensus(#[from] ConsensusError),
}

/// Refuses a directory in which no member has lived, before anything is made there. Blocking.
///
/// # Errors
/// [`ForceError::NoData`].
pub(super) fn check_directory<V: Vfs>(vfs: &V, dir: &Path) -> Result<(), ForceError> {
    match Identity::load(vfs, dir) {
        Ok(None) => Err(ForceError::NoData { dir: dir.to_owned() }),
        // What cannot be read is told by whoever reads it next.
        Ok(Some(_)) | Err(_) => Ok(()),
    }
}

/// Makes the member whose node would be started with `options` the only one of its cluster, unless it is that already.
///
/// # Errors
/// See [`ForceError`].
pub(super) async fn force_new_cluster<V: Vfs>(
    vfs: V,
    options: &NodeOptions,
    cluster: ClusterId,
    dir: &Path,
    tls: Option<&Connector>,
) -> Result<(), ForceError> {
    let state = Arc::new(State::default());
    let keeper = Arc::new(Keeper::<Production>::default());
    let machine = Machine::new(state.clone(), keeper, Hub::new(state.clone()));
    let survivor = Survivor::open(options, vfs, &ThreadExecutor, machine).await?;
    let mut survivor = survivor.ok_or_else(|| ForceError::NoData { dir: dir.to_owned() })?;
    let outcome = force(&mut survivor, &state, options.member, cluster, tls).await;
    survivor.close().await;
    outcome
}

async fn force<V: Vfs>(
    survivor: &mut Survivor<Machine, Production, V>,
    state: &State,
    own: MemberId,
    cluster: ClusterId,
    tls: Option<&Connector>,
) -> Result<(), ForceError> {
    let raft = survivor.membership().await?;
    let members: Vec<_> = state.cluster.read().members().cloned().collect();
    if state.cluster.read().was_removed(own) {
        return Err(ForceError::Removed);
    }
    let myself = members.iter().find(|member| member.id == own.0).filter(|_| raft.members.contains(&own));
    let myself = myself.ok_or(ForceError::NotJoined)?;
    if members.len() == 1 && raft.members.len() == 1 && raft.voters.contains(&own) {
        tracing::warn!(
            "--force-new-cluster changes nothing: this member is the only one; leave the flag out next time"
        );
        return Ok(());
    }
    refuse_if_alive(&raft, &members, own, cluster, tls).await?;
    let node = PeerNode { peer_urls: myself.peer_ur_ls.clone() };
    // Also while authentication is enabled: it is this member that wants it.
    let knows_authors = state.cluster.read().version() >= AUTHORS_SINCE;
    let author = if knows_authors { Author::Member } else { Author::Nobody };
    let encoded = |change| Command::Member(change).encode_by(&author);
    let commands: Vec<_> = changes(&members, own).map(encoded).collect();
    let unconfirmed = survivor.become_alone(node, &commands).await?;
    tell(unconfirmed, &members, own);
    Ok(())
}

/// Leaves in the log what an operator wants to know, years later too.
fn tell(unconfirmed: Option<Unconfirmed>, members: &[Member], own: MemberId) {
    match unconfirmed {
        None => {
            tracing::warn!(member = %own, "a new cluster was forced: this is its only member; no entry is discarded");
        }
        Some(unconfirmed) => tracing::warn!(
            member = %own,
            entries = unconfirmed.entries,
            first_term = unconfirmed.first.term,
            first_index = unconfirmed.first.index,
            last_term = unconfirmed.last.term,
            last_index = unconfirmed.last.index,
            "a new cluster was forced: this is its only member; no entry is discarded, and these at the log's end, of \
             which the disk does not know whether a majority had them, count as committed now"
        ),
    }
    for member in members.iter().filter(|member| member.id != own.0) {
        let (id, name, peer_urls) = (MemberId(member.id), &member.name, member.peer_ur_ls.join(","));
        tracing::warn!(%id, name, peer_urls, "the member is removed for good; its data directory can be removed");
    }
}

/// What takes everybody else out. This member gets a vote first, as the last who has one is not removed.
fn changes(members: &[Member], own: MemberId) -> impl Iterator<Item = MemberChange> {
    let change = |kind: MemberChangeKind, id| MemberChange { kind: kind.into(), id, ..MemberChange::default() };
    let waits = members.iter().filter(move |member| member.id == own.0 && member.is_learner);
    let others = members.iter().filter(move |member| member.id != own.0);
    let promoted = waits.map(move |member| change(MemberChangeKind::Promote, member.id));
    promoted.chain(others.map(move |member| change(MemberChangeKind::Remove, member.id)))
}

/// Two clusters of the same name would come of it. Who is there says who it is, with or without a leader.
async fn refuse_if_alive(
    raft: &Membership,
    members: &[Member],
    own: MemberId,
    cluster: ClusterId,
    tls: Option<&Connector>,
) -> Result<(), ForceError> {
    let voters = members.iter().filter(|member| member.id != own.0 && raft.voters.contains(&MemberId(member.id)));
    let is_alive = async |member: &Member| {
        let asked = member.peer_ur_ls.iter().map(|url| describe(url, ALIVE_LIMIT, tls));
        let answers = join_all(asked).await;
        answers.into_iter().flatten().any(|described| described.cluster == cluster)
    };
    let answers = join_all(voters.map(async |member| (member, is_alive(member).await))).await;
    let alive: Vec<_> = answers.into_iter().filter(|(_, is_alive)| *is_alive).map(|(member, _)| member).collect();
    let with_this_one = alive.len() + usize::from(raft.voters.contains(&own));
    if alive.is_empty() || with_this_one <= raft.voters.len() / 2 {
        return Ok(());
    }
    let urls = alive.iter().flat_map(|member| member.peer_ur_ls.iter().cloned());
    Err(ForceError::MajorityIsAlive { answering: urls.collect::<Vec<_>>().join(",") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Cluster;
    use crate::consensus::{NoPeers, Node};
    use crate::storage::{MemVfs, WalOptions};

    const CLUSTER: ClusterId = ClusterId(9);

    fn member(id: u64, is_learner: bool) -> Member {
        Member { id, is_learner, ..Member::default() }
    }

    fn options() -> NodeOptions {
        NodeOptions {
            member: MemberId(1),
            founders: [(MemberId(1), PeerNode { peer_urls: vec!["http://127.0.0.1:1".to_owned()] })].into(),
            life: 1,
            heartbeat_interval: Duration::from_millis(100),
            election_timeout: Duration::from_secs(1),
            snapshot_after_bytes: u64::MAX,
            wal_dir: "/d/wal".into(),
            snapshot_dir: "/d/snap".into(),
            wal: WalOptions { segment_bytes: 1 << 20, ..WalOptions::default() },
            keep_entries: 100,
            slow_apply: None,
        }
    }

    /// Has a node of one member take changes of members, which Raft does not follow here; what they have come to.
    async fn run(vfs: &MemVfs, changes: &[(MemberChangeKind, u64)]) -> Cluster {
        let state = Arc::new(State::default());
        let machine = Machine::new(state.clone(), Arc::new(Keeper::<Production>::default()), Hub::new(state.clone()));
        let transport = Arc::new(NoPeers);
        let node: Node<_, Production, _> =
            Node::start(&options(), vfs.clone(), &ThreadExecutor, transport, machine).await.unwrap();
        node.ready(Some(Duration::from_secs(20))).await.unwrap();
        for (kind, id) in changes {
            let peer_urls = vec![format!("http://127.0.0.1:{id}")];
            let change = MemberChange { kind: (*kind).into(), id: *id, peer_urls, ..MemberChange::default() };
            node.propose(Command::Member(change).encode()).await.unwrap().outcome.unwrap();
        }
        node.read_barrier().await.unwrap();
        node.shutdown().await;
        state.cluster.read().clone()
    }

    fn disk() -> MemVfs {
        let vfs = MemVfs::new();
        for dir in ["/d/wal", "/d/snap"] {
            vfs.create_dir_all(Path::new(dir)).unwrap();
        }
        vfs
    }

    async fn force_on(vfs: &MemVfs) -> Result<(), ForceError> {
        force_new_cluster(vfs.clone(), &options(), CLUSTER, Path::new("/d"), None).await
    }

    #[tokio::test]
    async fn a_member_that_was_added_and_never_came_is_removed_too() {
        let vfs = disk();
        assert!(matches!(force_on(&vfs).await, Err(ForceError::NoData { .. })));
        assert_eq!(run(&vfs, &[(MemberChangeKind::Add, 2)]).await.members().count(), 2);
        force_on(&vfs).await.unwrap();
        let cluster = run(&vfs, &[]).await;
        assert_eq!(cluster.members().map(|member| member.id).collect::<Vec<_>>(), [1]);
        assert!(cluster.was_removed(MemberId(2)), "its id is never given again");
        // Once more, and the log is as it was.
        force_on(&vfs).await.unwrap();
        assert_eq!(run(&vfs, &[]).await, cluster);
    }

    #[tokio::test]
    async fn a_member_that_was_removed_is_refused() {
        let vfs = disk();
        let before = run(&vfs, &[(MemberChangeKind::Add, 2), (MemberChangeKind::Remove, 1)]).await;
        assert!(matches!(force_on(&vfs).await, Err(ForceError::Removed)));
        assert_eq!(run(&vfs, &[]).await, before);
    }

    #[test]
    fn everybody_else_is_removed_and_a_learner_that_is_left_gets_a_vote() {
        let mut cluster = Cluster::restored([member(1, false), member(2, true), member(3, false)], []);
        let members: Vec<_> = cluster.members().cloned().collect();
        for change in changes(&members, MemberId(2)) {
            match change.kind() {
                MemberChangeKind::Promote => cluster.promote(MemberId(change.id)).unwrap(),
                MemberChangeKind::Remove => cluster.remove(MemberId(change.id)).unwrap(),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(cluster.members().cloned().collect::<Vec<_>>(), [member(2, false)]);
        assert_eq!(cluster.removed().collect::<Vec<_>>(), [MemberId(1), MemberId(3)]);
    }

    #[test]
    fn a_directory_without_a_member_is_refused_and_stays_as_it_is() {
        let vfs = MemVfs::new();
        let refused = check_directory(&vfs, Path::new("/d")).unwrap_err();
        assert!(refused.to_string().contains("/d holds no member's data"), "{refused}");
        vfs.create_dir_all(Path::new("/d")).unwrap();
        assert!(check_directory(&vfs, Path::new("/d")).is_err());
        assert_eq!(vfs.list(Path::new("/d")).unwrap(), [""; 0]);
    }
}
