//! A new member of a new cluster out of a snapshot: the directory that etcd starts from.
//!
//! `member/snap/db` is the `database`, written anew page by page; `member/wal` and `member/snap` say who founds the cluster, in the
//! log ([`wal`]) and in what it is cut off at ([`raft_snapshot`]). What always holds: nothing has its final name before all of it is on
//! the disk; nothing that was there is changed; what a failure leaves is removed. The memory it takes has nothing to do with the
//! size of the snapshot. Blocking.

mod database;
mod directory;
mod error;
#[cfg(test)]
mod tests;

use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use prost::Message;

use self::database::Changes;
use self::directory::Directory;
pub use self::error::RestoreError;
use crate::bbolt::Image;
use crate::digest::{self, Digest};
use crate::founders::Founders;
use crate::raft::{ConfChange, ConfChangeKind, ConfState, Entry, EntryKind, HardState, Snapshot, SnapshotMetadata};
use crate::raft_snapshot::{self, members_store};
use crate::schema::member_value;
use crate::wal::{self, Beginning, Metadata};

/// The term in which the founders are there.
const TERM: u64 = 1;

/// Where to, and what is to be different.
#[derive(Debug, Clone)]
pub struct Options {
    /// The new member's directory, which is empty or not there.
    pub data_dir: PathBuf,
    /// Where its log goes, if not into that directory; it must not be there.
    pub wal_dir: Option<PathBuf>,
    /// Takes a file without a digest at its end, and does not look at one that is there.
    pub skip_hash_check: bool,
    /// By how much the revision grows, all before it then being compacted: watchers of the old cluster start anew and miss nothing.
    pub bump: Option<NonZeroU64>,
}

/// What came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restored {
    /// The member's id.
    pub member: u64,
    /// The cluster's.
    pub cluster: u64,
    /// The store's revision.
    pub revision: i64,
}

/// What is being done, and how far it is, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub step: Step,
    /// So much is done.
    pub done: u64,
    /// Of so much; it may end before, as there are free pages.
    pub total: u64,
}

/// The steps that take time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The digest is compared.
    Checking,
    /// The size is found out.
    Measuring,
    /// The database is written.
    Writing,
}

/// Makes a member's directory out of a snapshot's file. `tell` hears how far it is, often.
///
/// # Errors
/// See [`RestoreError`].
pub fn restore(
    file: &Path,
    founders: &Founders,
    options: &Options,
    tell: &mut dyn FnMut(Progress),
) -> Result<Restored, RestoreError> {
    Directory::refuse_what_is_there(options)?;
    check(file, options, tell)?;
    let image = Image::open(file)?;
    let directory = Directory::create(options)?;
    let changes = Changes::new(founders, TERM, options.bump);
    let revision = database::write(&image, &changes, &directory.snap().join("db"), tell)?;
    raft_snapshot::write(directory.snap(), &cut_off(founders))?;
    wal::create(directory.wal(), &beginning(founders))?;
    directory.finish()?;
    Ok(Restored { member: founders.own(), cluster: founders.cluster(), revision })
}

fn check(file: &Path, options: &Options, tell: &mut dyn FnMut(Progress)) -> Result<(), RestoreError> {
    if options.skip_hash_check {
        return Ok(());
    }
    let mut told = |done, total| tell(Progress { step: Step::Checking, done, total });
    let path = || file.to_owned();
    match digest::check(file, &mut told).map_err(RestoreError::io(file))? {
        Digest::Right => Ok(()),
        Digest::Absent => Err(RestoreError::NoDigest { path: path() }),
        Digest::Wrong { stored, computed } => Err(RestoreError::WrongDigest { path: path(), stored, computed }),
    }
}

fn voters(founders: &Founders) -> ConfState {
    ConfState::of_voters(founders.members().iter().map(|member| member.id).collect())
}

/// One entry for each member, so many are committed.
fn cut_off(founders: &Founders) -> Snapshot {
    let index = Some(founders.members().len() as u64);
    let metadata = SnapshotMetadata { conf_state: Some(voters(founders)), index, term: Some(TERM) };
    Snapshot { data: Some(members_store(founders.members())), metadata: Some(metadata) }
}

fn beginning(founders: &Founders) -> Beginning {
    let members = founders.members();
    let entry = |(member, index): (&_, u64)| {
        let registry_proto::etcdserverpb::Member { id, .. } = member;
        let change = ConfChange {
            id: Some(0),
            kind: Some(ConfChangeKind::AddNode.into()),
            node_id: Some(*id),
            context: Some(member_value(member).into()),
        };
        Entry {
            kind: Some(EntryKind::ConfChange.into()),
            term: Some(TERM),
            index: Some(index),
            data: Some(Bytes::from(change.encode_to_vec())),
        }
    };
    let commit = Some(members.len() as u64);
    Beginning {
        metadata: Metadata { node_id: Some(founders.own()), cluster_id: Some(founders.cluster()) },
        entries: members.iter().zip(1..).map(entry).collect(),
        hard_state: HardState { term: Some(TERM), vote: members.first().map(|member| member.id), commit },
        snapshot: wal::Snapshot { index: commit, term: Some(TERM), conf_state: Some(voters(founders)) },
    }
}
