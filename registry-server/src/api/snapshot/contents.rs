//! A cut of the whole state, fed to an image piece by piece, and again from the beginning.
//!
//! Leases, members and alarms are copied when it is made; the keys are read from the store in slices, each under a
//! short lock, and the cursor keeps what it has yet to read.

use std::sync::Arc;

use parking_lot::RwLockReadGuard;
use prost::Message;
use registry_etcd_files::bbolt::ImageWriter;
use registry_etcd_files::schema::{Lease, RevisionKey, bucket, tombstone};
use registry_proto::etcdserverpb::AlarmType;

use super::schema::{self, Entry};
use crate::apply::State;
use crate::lease::Leases;
use crate::mvcc::{NEVER_COMPACTED, SnapshotCursor, snapshot_records};
use crate::types::Revision;

/// Leases that are fed at a time.
const LEASES_A_PIECE: usize = 4_096;

/// How far the member's log is in the state, at least.
#[derive(Debug, Clone, Copy)]
pub(super) struct Applied {
    pub(super) index: u64,
    pub(super) term: u64,
}

/// The store was replaced by a restored one, in which the rest is not to be found.
#[derive(Debug)]
pub(super) struct Replaced;

enum Entries {
    Few(Vec<Entry>),
    Leases(Vec<Lease>),
    /// Those of the store.
    Records,
}

/// All buckets at one revision.
pub(super) struct Contents {
    state: Arc<State>,
    cursor: SnapshotCursor,
    /// The store's revision when it was looked at last.
    seen: Revision,
    /// In the order of their names.
    buckets: [(&'static str, Entries); 10],
    at: Position,
}

/// What is fed next.
struct Position {
    bucket: usize,
    /// Whether the image knows of the bucket.
    is_begun: bool,
    lease: usize,
    /// The revision that was fed last, and how many of its changes.
    revision: Revision,
    changes: i64,
}

impl Position {
    const BEGIN: Self = Self { bucket: 0, is_begun: false, lease: 0, revision: Revision(0), changes: 0 };
}

impl Contents {
    /// The state between two commands.
    pub(super) fn cut(state: &Arc<State>, applied: Applied) -> Self {
        let store = state.store.read();
        let leases = state.leases.read();
        let cluster = state.cluster.read();
        let alarms = state.alarms.read();
        let (cursor, seen) = (store.snapshot(), store.revision());
        let compacted = Some(cursor.compacted()).filter(|compacted| *compacted != NEVER_COMPACTED);
        let [auth, roles, users] = schema::authentication(&state.auth.read().to_stored());
        let buckets = [
            (bucket::ALARM, Entries::Few(schema::alarms(&alarms.of(AlarmType::None)))),
            (bucket::AUTH, Entries::Few(auth)),
            (bucket::AUTH_ROLES, Entries::Few(roles)),
            (bucket::AUTH_USERS, Entries::Few(users)),
            (bucket::CLUSTER, Entries::Few(schema::versions())),
            (bucket::KEY, Entries::Records),
            (bucket::LEASE, Entries::Leases(stored(&leases))),
            (bucket::MEMBERS, Entries::Few(schema::members(cluster.members()))),
            (bucket::MEMBERS_REMOVED, Entries::Few(schema::removed(cluster.removed()))),
            (bucket::META, Entries::Few(schema::meta(applied, compacted, cluster.members()))),
        ];
        drop((alarms, cluster, leases));
        RwLockReadGuard::unlock_fair(store);
        Self { state: state.clone(), cursor, seen, buckets, at: Position::BEGIN }
    }

    /// Whether anything was written to the store since it was asked last.
    pub(super) fn has_company(&mut self) -> bool {
        let now = self.state.store.read().revision();
        std::mem::replace(&mut self.seen, now) != now
    }

    /// Goes back to the beginning.
    pub(super) fn rewind(&mut self) {
        self.cursor.rewind();
        self.at = Position::BEGIN;
    }

    /// Feeds the next piece, of a few hundred kilobytes at the most; false when there is none.
    pub(super) fn feed(&mut self, image: &mut ImageWriter) -> Result<bool, Replaced> {
        let Some((name, entries)) = self.buckets.get(self.at.bucket) else { return Ok(false) };
        if !self.at.is_begun {
            image.begin_bucket(name.as_bytes());
            self.at.is_begun = true;
        }
        let is_done = match entries {
            Entries::Few(entries) => {
                entries.iter().for_each(|(key, value)| image.put(key, value));
                true
            }
            Entries::Leases(leases) => {
                let end = leases.len().min(self.at.lease + LEASES_A_PIECE);
                for stored in &leases[self.at.lease..end] {
                    image.put(&stored.key(), &stored.encode_to_vec());
                }
                self.at.lease = end;
                end == leases.len()
            }
            Entries::Records => !self.feed_records(image)?,
        };
        if is_done {
            (self.at.bucket, self.at.is_begun) = (self.at.bucket + 1, false);
        }
        Ok(true)
    }

    fn feed_records(&mut self, image: &mut ImageWriter) -> Result<bool, Replaced> {
        let store = self.state.store.read();
        if !store.has_begun(&self.cursor) {
            return Err(Replaced);
        }
        let block = store.snapshot_block(&mut self.cursor);
        // To the writer, if one waits: else this reader would have the lock again before it.
        RwLockReadGuard::unlock_fair(store);
        let Some(block) = block else { return Ok(false) };
        for (record, body) in snapshot_records(&block) {
            let sub = self.at.count(record.mod_revision);
            let key = RevisionKey { main: record.mod_revision.0, sub, is_tombstone: record.is_tombstone() }.encode();
            if record.is_tombstone() {
                image.put(key.as_ref(), &tombstone(record.key));
            } else {
                image.put(key.as_ref(), body);
            }
        }
        Ok(true)
    }
}

impl Position {
    /// Which change of its revision this is.
    fn count(&mut self, revision: Revision) -> i64 {
        if self.revision != revision {
            (self.revision, self.changes) = (revision, 0);
        }
        let sub = self.changes;
        self.changes += 1;
        sub
    }
}

/// All leases in the order of their ids as etcd writes them: unsigned.
fn stored(leases: &Leases) -> Vec<Lease> {
    let mut stored: Vec<_> = leases
        .iter()
        .map(|(id, lease)| Lease {
            id: id.0,
            ttl_seconds: lease.ttl_seconds,
            remaining_seconds: lease.remaining_seconds.unwrap_or(0),
        })
        .collect();
    stored.sort_by_key(|lease| lease.id.cast_unsigned());
    stored
}
