//! The state out of a database of etcd.
//!
//! [`small`] reads the buckets with leases, users, alarms and members, [`records`] the one with the keys and their history;
//! what is left of a compaction that had only begun is done here. The way back is `api::snapshot`. All of it is blocking
//! work, before a node runs.
//!
//! What always holds: nothing in the database is believed. What is no such value, or breaks a rule of the store, is an
//! error that names the bucket and the key; and the memory is that of the state, and of one entry.

mod records;
mod small;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use registry_etcd_files::bbolt::{Image, ImageError};
use registry_etcd_files::schema::{RevisionKey, bucket};
use registry_proto::etcdserverpb::Member;

use super::snapshot::StateSnapshot;
use super::state::State;
use crate::cluster::Cluster;
use crate::types::{MemberId, Revision};

/// Keys whose history is looked at in one step of a compaction.
const COMPACT_KEYS: usize = 10_000;

/// Why a database cannot be taken over.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Its pages.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// One entry.
    #[error(
        "{}: bucket {bucket}, key {key}: {reason}; take the snapshot anew, or from another member of that cluster",
        path.display()
    )]
    Entry {
        /// The file.
        path: PathBuf,
        /// The bucket.
        bucket: &'static str,
        /// The key, as text.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Something that all of it says together.
    #[error("{}: {reason}; take the snapshot anew, or from another member of that cluster", path.display())]
    Whole {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// What a database holds.
#[derive(Debug)]
pub struct Imported {
    /// All of the state but the members.
    pub state: Arc<State>,
    /// The members, of which etcd 3.4 may have left some of an earlier cluster in a restored database.
    pub members: Vec<Member>,
    /// Who was removed.
    pub removed: Vec<MemberId>,
    /// The last entry of etcd's log that is in the database; 0 if it does not say.
    pub applied_index: u64,
    /// That entry's term; 0 if it does not say, as those of etcd 3.4.
    pub applied_term: u64,
}

impl Imported {
    /// The state with these members, to be written as a snapshot.
    pub fn into_snapshot(self, cluster: Cluster) -> StateSnapshot {
        *self.state.cluster.write() = cluster;
        StateSnapshot::new(self.state)
    }
}

/// Reads a database. Blocking.
///
/// # Errors
/// See [`ImportError`].
pub fn import(image: &Image) -> Result<Imported, ImportError> {
    check_buckets(image)?;
    let meta = small::meta(image)?;
    let state = State::default();
    *state.leases.write() = small::leases(image)?;
    *state.alarms.write() = small::alarms(image)?;
    *state.auth.write() = small::auth(image)?;
    let (members, removed) = small::members(image)?;
    let mut store = records::store(image, meta.finished, meta.scheduled)?;
    if meta.scheduled > store.compacted() {
        store.compact(meta.scheduled).map_err(|error| whole(image, &error))?;
        while !store.compact_step(COMPACT_KEYS) {}
    }
    for (key, lease) in store.leased_keys() {
        // A lease that is gone is passed over, as etcd does: the key stays.
        state.leases.write().move_key(&key.to_vec().into(), crate::types::LeaseId(0), lease);
    }
    *state.store.write() = store;
    let (applied_index, applied_term) = (meta.applied_index, meta.applied_term);
    Ok(Imported { state: Arc::new(state), members, removed, applied_index, applied_term })
}

/// All buckets that etcd 3.4 to 3.7 know; `test` is there for etcd's own tests.
const KNOWN: [&str; 11] = [
    bucket::ALARM,
    bucket::AUTH,
    bucket::AUTH_ROLES,
    bucket::AUTH_USERS,
    bucket::CLUSTER,
    bucket::KEY,
    bucket::LEASE,
    bucket::MEMBERS,
    bucket::MEMBERS_REMOVED,
    bucket::META,
    "test",
];

fn check_buckets(image: &Image) -> Result<(), ImportError> {
    let names = image.buckets()?;
    if !names.iter().any(|name| name == bucket::KEY.as_bytes()) {
        return Err(whole(image, &"it has no bucket for keys, so that it is no database of etcd"));
    }
    for name in names.iter().filter(|name| !KNOWN.iter().any(|known| known.as_bytes() == **name)) {
        let (path, bucket) = (image.path().display(), name.escape_ascii());
        tracing::warn!(%path, %bucket, "the database has a bucket that is not known here: what is in it is left out");
    }
    Ok(())
}

/// Gives each entry of a bucket to `take`, whose error is told with the bucket and the key.
fn each(
    image: &Image,
    bucket: &'static str,
    mut take: impl FnMut(&[u8], &[u8]) -> Result<(), String>,
) -> Result<(), ImportError> {
    let mut entries = image.entries(bucket.as_bytes())?;
    while let Some((key, value)) = entries.next()? {
        take(key, value).map_err(|reason| {
            let (path, key) = (image.path().to_owned(), text_of(bucket, key));
            ImportError::Entry { path, bucket, key, reason }
        })?;
    }
    Ok(())
}

/// A key as a person reads it.
fn text_of(bucket: &str, key: &[u8]) -> String {
    match RevisionKey::parse(key) {
        Some(at) if bucket == bucket::KEY => format!("{}_{}", at.main, at.sub),
        _ => key.escape_ascii().to_string(),
    }
}

fn whole(image: &Image, reason: &dyn ToString) -> ImportError {
    ImportError::Whole { path: image.path().to_owned(), reason: reason.to_string() }
}

/// The revision that a key of the bucket `meta` says.
fn revision_of(value: &[u8]) -> Result<Revision, String> {
    RevisionKey::parse(value).map(|at| Revision(at.main)).ok_or_else(|| "it is no revision".to_owned())
}
