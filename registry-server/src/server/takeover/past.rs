//! What etcd's log says beside the database: whose it is, who the members are, and that all it holds is in the database.
//!
//! Raft's members are those of the log, as the bucket of members may have some of an earlier cluster: etcd 3.4 leaves them
//! there when a snapshot is restored. Names and client URLs are the bucket's, where members have told them.

use std::collections::BTreeSet;
use std::path::Path;

use prost::Message;
use registry_etcd_files::raft::{ConfChange, ConfChangeKind, ConfState, Entry, EntryKind};
use registry_etcd_files::wal::{self, Contents, Snapshot};
use registry_etcd_files::{raft_snapshot, schema};
use registry_proto::etcdserverpb::Member;

use super::TakeoverError;
use super::entry::missing;
use crate::apply::Imported;
use crate::cluster::Cluster;
use crate::consensus::{Beginning, PeerNode, Position};
use crate::server::identity::Identity;
use crate::types::{ClusterId, MemberId};

/// Indexes and terms count up from 1; what is above this is none.
const NUMBER_MAX: u64 = 1 << 62;

/// A member of etcd's, at the end of its log.
#[derive(Debug)]
pub(super) struct Past {
    pub(super) identity: Identity,
    pub(super) beginning: Beginning,
    pub(super) cluster: Cluster,
}

/// Reads the log, and the snapshots of Raft beside the database, whose contents are `imported`.
pub(super) fn read(wal_dir: &Path, snap_dir: &Path, imported: &Imported) -> Result<Past, TakeoverError> {
    let contents = wal::read(wal_dir)?;
    let (member, cluster) = (contents.metadata.node_id(), contents.metadata.cluster_id());
    let identity = Identity { member: MemberId(member), cluster: ClusterId(cluster) };
    let mut replay = Replay::begin(&contents, wal_dir, snap_dir, imported)?;
    for entry in contents.entries()? {
        replay.take(&entry?)?;
    }
    let last = replay.last()?;
    // Of those who were removed behind a snapshot nothing is known but the id: the log must have said so by now.
    if let Some(member) = replay.cluster.members().find(|member| imported.removed.contains(&MemberId(member.id))) {
        return Err(TakeoverError::NoMember { wal: wal_dir.to_owned(), member: MemberId(member.id) });
    }
    let cluster = with_names(&replay.cluster, imported);
    if cluster.get(identity.member).is_none() {
        return Err(TakeoverError::NoMember { wal: wal_dir.to_owned(), member: identity.member });
    }
    let newest_term = contents.hard_state.term();
    check_possible(wal_dir, last, newest_term, &cluster)?;
    let beginning = Beginning {
        last,
        term: newest_term,
        voters: cluster.members().filter(|member| !member.is_learner).map(|member| MemberId(member.id)).collect(),
        members: cluster.members().map(|member| (MemberId(member.id), node(member))).collect(),
    };
    Ok(Past { identity, beginning, cluster })
}

/// What would have to be counted on from must leave room for that.
fn check_possible(wal: &Path, last: Position, term: u64, cluster: &Cluster) -> Result<(), TakeoverError> {
    let impossible = |reason| Err(TakeoverError::Impossible { wal: wal.to_owned(), reason });
    if last.index > NUMBER_MAX || last.term.max(term) > NUMBER_MAX {
        return impossible("no log reaches its index or its term");
    }
    if cluster.get(MemberId(0)).is_some() {
        return impossible("no member has the id 0");
    }
    if cluster.members().all(|member| member.is_learner) {
        return impossible("nobody votes");
    }
    Ok(())
}

fn node(member: &Member) -> PeerNode {
    PeerNode { peer_urls: member.peer_ur_ls.clone() }
}

/// The entries in their order.
struct Replay<'a> {
    wal: &'a Path,
    imported: &'a Imported,
    cluster: Cluster,
    /// Changes of members up to here are in `cluster` already.
    members_at: u64,
    /// Known to be committed up to here.
    committed: u64,
    /// What of the log counts: what the database has, and what is committed behind that and changes nothing in it.
    last: Position,
    /// The end of the log.
    end: u64,
}

impl<'a> Replay<'a> {
    fn begin(
        contents: &Contents,
        wal: &'a Path,
        snap_dir: &Path,
        imported: &'a Imported,
    ) -> Result<Self, TakeoverError> {
        let applied = imported.applied_index;
        let newest = contents.snapshots.iter().max_by_key(|snapshot| snapshot.index()).filter(|it| it.index() > 0);
        let snapshot_index = newest.map_or(0, Snapshot::index);
        if snapshot_index > applied {
            return Err(TakeoverError::Behind { wal: wal.to_owned(), index: snapshot_index, applied });
        }
        if let Some((first, _)) = contents.indexes.filter(|(first, _)| *first > applied + 1) {
            return Err(TakeoverError::Behind { wal: wal.to_owned(), index: first - 1, applied });
        }
        // From the first entry on, all that became of the members is in the log; unless a leader's snapshot went beyond it.
        let is_whole = contents.indexes.is_some_and(|(first, last)| first == 1 && last >= snapshot_index);
        let (cluster, members_at) = match newest.filter(|_| !is_whole) {
            Some(snapshot) => (members_of(&conf_state(snapshot, snap_dir)?, imported, wal)?, snapshot.index()),
            None => (Cluster::default(), 0),
        };
        let at_snapshot = newest.filter(|it| it.index() == applied).map(Snapshot::term);
        let term = at_snapshot.unwrap_or(imported.applied_term);
        Ok(Self {
            wal,
            imported,
            cluster,
            members_at,
            committed: contents.hard_state.commit().max(applied),
            last: Position { term, index: applied },
            end: contents.indexes.map_or(0, |(_, last)| last).max(snapshot_index),
        })
    }

    fn take(&mut self, entry: &Entry) -> Result<(), TakeoverError> {
        let (index, position) = (entry.index(), Position { term: entry.term(), index: entry.index() });
        let beyond = |what| TakeoverError::Beyond { wal: self.wal.to_owned(), index, what };
        match entry.kind() {
            EntryKind::Normal if index > self.imported.applied_index => {
                if let Some(what) = missing(&entry.data.clone().unwrap_or_default(), &self.imported.state) {
                    return Err(beyond(what));
                }
            }
            EntryKind::ConfChange if index > self.committed => return Err(beyond("a change of members")),
            EntryKind::ConfChange if index > self.members_at => {
                let data = entry.data.clone().unwrap_or_default();
                let change = ConfChange::decode(data).map_err(|_| beyond("a change of members that cannot be read"))?;
                change_members(&mut self.cluster, &change);
            }
            EntryKind::Normal | EntryKind::ConfChange => {}
            EntryKind::ConfChangeV2 => return Err(beyond("a change of several members at once")),
        }
        if (self.last.index..=self.committed).contains(&index) {
            self.last = position;
        }
        Ok(())
    }

    /// Up to where the state is, when all entries were taken.
    fn last(&self) -> Result<Position, TakeoverError> {
        if self.end < self.imported.applied_index {
            let (wal, applied) = (self.wal.to_owned(), self.imported.applied_index);
            return Err(TakeoverError::Ahead { wal, end: self.end, applied });
        }
        // Another member may have more of these committed, or others in their place: logs that are cut off at different ends
        // would be compared as if nothing had been there.
        let voters = self.cluster.members().filter(|member| !member.is_learner).count();
        if voters > 1 && self.end > self.last.index {
            let (wal, index) = (self.wal.to_owned(), self.last.index + 1);
            return Err(TakeoverError::Beyond {
                wal,
                index,
                what: "of which it does not know whether a majority has it",
            });
        }
        Ok(Position { term: self.last.term.max(1), index: self.last.index.max(1) })
    }
}

/// Raft's members at a snapshot. What is in the log of etcd 3.4 does not say; the snapshot's file does.
fn conf_state(snapshot: &Snapshot, snap_dir: &Path) -> Result<ConfState, TakeoverError> {
    if let Some(known) = &snapshot.conf_state {
        return Ok(known.clone());
    }
    let path = snap_dir.join(raft_snapshot::file_name(snapshot.term(), snapshot.index()));
    let read = raft_snapshot::read(&path)?;
    Ok(read.metadata.and_then(|metadata| metadata.conf_state).unwrap_or_default())
}

fn members_of(raft: &ConfState, imported: &Imported, wal: &Path) -> Result<Cluster, TakeoverError> {
    let member = |id: &u64, is_learner| {
        let known = imported.members.iter().find(|member| member.id == *id);
        let no_member = || TakeoverError::NoMember { wal: wal.to_owned(), member: MemberId(*id) };
        // The database is ahead of the snapshot, and may have removed who still was a member there.
        let was_removed = || imported.removed.contains(&MemberId(*id)).then(|| Member { id: *id, ..Member::default() });
        let member = known.cloned().or_else(was_removed).ok_or_else(no_member)?;
        Ok::<_, TakeoverError>(Member { is_learner, ..member })
    };
    let voters = raft.voters.iter().map(|id| member(id, false));
    let learners = raft.learners.iter().map(|id| member(id, true));
    let members: Vec<_> = voters.chain(learners).collect::<Result<_, _>>()?;
    Ok(Cluster::restored(members, []))
}

/// A change as etcd makes it: one that makes no sense changes nothing.
fn change_members(cluster: &mut Cluster, change: &ConfChange) {
    let id = MemberId(change.node_id());
    let said = change.context.as_deref().and_then(|json| schema::parse_member(json).ok());
    let said = Member { id: id.0, ..said.unwrap_or_default() };
    let changed = match change.kind() {
        ConfChangeKind::RemoveNode => cluster.remove(id),
        ConfChangeKind::UpdateNode => cluster.update(id, said.peer_ur_ls),
        ConfChangeKind::AddNode if cluster.get(id).is_some_and(|member| member.is_learner) => cluster.promote(id),
        ConfChangeKind::AddNode => cluster.add(Member { is_learner: false, ..said }, usize::MAX),
        ConfChangeKind::AddLearnerNode => cluster.add(Member { is_learner: true, ..said }, usize::MAX),
    };
    if let Err(error) = changed {
        tracing::debug!(member = %id, %error, "a change of members in etcd's log was refused there, too");
    }
}

/// The members of the log with the names and client URLs that the database knows, and who was removed according to either.
fn with_names(cluster: &Cluster, imported: &Imported) -> Cluster {
    let named = |member: &Member| match imported.members.iter().find(|known| known.id == member.id) {
        Some(known) if !known.name.is_empty() || !known.client_ur_ls.is_empty() => {
            Member { name: known.name.clone(), client_ur_ls: known.client_ur_ls.clone(), ..member.clone() }
        }
        _ => member.clone(),
    };
    let members: Vec<_> = cluster.members().map(named).collect();
    let removed: BTreeSet<_> = cluster.removed().chain(imported.removed.iter().copied()).map(|id| id.0).collect();
    let removed: Vec<_> = removed.into_iter().filter(|id| cluster.get(MemberId(*id)).is_none()).collect();
    Cluster::restored(members, removed)
}
