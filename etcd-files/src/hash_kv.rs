//! The hash by which members of etcd find out whether they hold the same, of a file: CRC-32C over the changes up to a revision, but for
//! those that compaction takes out, be they taken out already or not.
//!
//! A file need not say which changes those are, so it is read twice. In between, the keys are known that were not changed since the
//! compaction: a few words for each, and none where nothing was ever compacted.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};

use prost::Message;
use registry_proto::mvccpb::KeyValue;

use crate::bbolt::Image;
use crate::schema::{RevisionKey, bucket, key};
use crate::status::{DatabaseError, revision};

/// What [`HashKv::of`] finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashKv {
    /// The hash. Two can be compared if both revisions are equal.
    pub hash: u32,
    /// Up to here changes count.
    pub revision: i64,
    /// The revision that was compacted; -1 if none was.
    pub compacted: i64,
}

/// Why there is no hash.
#[derive(Debug, thiserror::Error)]
pub enum HashKvError {
    /// The file.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// What was there at that revision is gone.
    #[error("revision {at} has been compacted: the file has history from revision {compacted} on")]
    Compacted {
        /// The revision that was asked for.
        at: i64,
        /// The compacted one.
        compacted: i64,
    },
    /// There is no such revision yet.
    #[error("revision {at} is a future revision: the file's newest is {newest}")]
    Future {
        /// The revision that was asked for.
        at: i64,
        /// The newest.
        newest: i64,
    },
    /// A change says nothing.
    #[error("{path} is damaged: the change at revision {revision} is none")]
    Change {
        /// The file.
        path: String,
        /// The change's revision.
        revision: i64,
    },
}

impl HashKv {
    /// Hashes the changes up to a revision, 0 for the newest. Blocking.
    ///
    /// # Errors
    /// See [`HashKvError`].
    pub fn of(image: &Image, at: i64) -> Result<Self, HashKvError> {
        let compacted = compacted(image)?;
        let newest = newest(image)?.max(compacted).max(1);
        if at > newest {
            return Err(HashKvError::Future { at, newest });
        }
        if at > 0 && at < compacted {
            return Err(HashKvError::Compacted { at, compacted });
        }
        let span = Span { image, at: if at == 0 { newest } else { at }, compacted };
        let kept = span.kept()?;
        let mut hash = crc32c::crc32c(bucket::KEY.as_bytes());
        span.each(|change, bytes, value| {
            let is_old = change.main <= compacted;
            let is_out = is_old && kept.as_ref().is_some_and(|kept| !kept.contains(&(change.main, change.sub)));
            // Some versions take the deletion at the compacted revision out, and others do not.
            let is_last_deletion = change.main == compacted && change.is_tombstone;
            if !is_out && !is_last_deletion {
                hash = crc32c::crc32c_append(crc32c::crc32c_append(hash, bytes), value);
            }
            Ok(())
        })?;
        Ok(Self { hash, revision: span.at, compacted })
    }
}

/// The changes that are looked at.
struct Span<'a> {
    image: &'a Image,
    at: i64,
    compacted: i64,
}

/// Hears of a change, its key in the file and its value.
type Each<'a> = dyn FnMut(RevisionKey, &[u8], &[u8]) -> Result<(), HashKvError> + 'a;

/// Stands for a key, whatever its length; nobody outside can make two keys the same.
type KeyHash = (u64, u64);

impl Span<'_> {
    fn each(
        &self,
        mut each: impl FnMut(RevisionKey, &[u8], &[u8]) -> Result<(), HashKvError>,
    ) -> Result<(), HashKvError> {
        let each: &mut Each<'_> = &mut each;
        let mut entries = self.image.entries(bucket::KEY.as_bytes()).map_err(DatabaseError::from)?;
        while let Some((bytes, value)) = entries.next().map_err(DatabaseError::from)? {
            let change = revision(self.image, bytes)?;
            if change.main > self.at {
                break;
            }
            each(change, bytes, value)?;
        }
        Ok(())
    }

    /// The changes up to the compacted revision that stay: of each key the newest of all, if it is none that deletes. None where all
    /// stay, as etcd has it when nothing was compacted, or no key is left.
    fn kept(&self) -> Result<Option<HashSet<(i64, i64)>>, HashKvError> {
        if self.compacted < 0 {
            return Ok(None);
        }
        let states = [RandomState::new(), RandomState::new()];
        let hash_of = |key: &[u8]| -> KeyHash { (states[0].hash_one(key), states[1].hash_one(key)) };
        let (mut old, mut newer) = (HashMap::new(), HashSet::new());
        self.each(|change, _, value| {
            let key = hash_of(&self.key_of(change, value)?);
            old.remove(&key);
            newer.remove(&key);
            if change.main <= self.compacted && !change.is_tombstone {
                old.insert(key, (change.main, change.sub));
            } else if !change.is_tombstone && newer.is_empty() {
                // One is enough to know that keys are left, until it is deleted: then others are looked for.
                newer.insert(key);
            }
            Ok(())
        })?;
        if old.is_empty() && newer.is_empty() && !self.is_any_alive(hash_of)? {
            return Ok(None);
        }
        Ok(Some(old.into_values().collect()))
    }

    /// Whether any key is there at the revision.
    fn is_any_alive(&self, hash_of: impl Fn(&[u8]) -> KeyHash) -> Result<bool, HashKvError> {
        let mut alive = HashSet::new();
        self.each(|change, _, value| {
            let key = hash_of(&self.key_of(change, value)?);
            if change.is_tombstone {
                alive.remove(&key)
            } else {
                alive.insert(key)
            };
            Ok(())
        })?;
        Ok(!alive.is_empty())
    }

    fn key_of(&self, change: RevisionKey, value: &[u8]) -> Result<bytes::Bytes, HashKvError> {
        let path = || self.image.path().display().to_string();
        let read = KeyValue::decode(value).map_err(|_| HashKvError::Change { path: path(), revision: change.main })?;
        Ok(read.key)
    }
}

/// The compacted revision: etcd ends a compaction that was only begun when it opens the file.
fn compacted(image: &Image) -> Result<i64, HashKvError> {
    let mut compacted = -1;
    let mut entries = image.entries(bucket::META.as_bytes()).map_err(DatabaseError::from)?;
    while let Some((name, value)) = entries.next().map_err(DatabaseError::from)? {
        if [key::FINISHED_COMPACTION, key::SCHEDULED_COMPACTION].iter().any(|known| known.as_bytes() == name) {
            compacted = compacted.max(revision(image, value)?.main);
        }
    }
    Ok(compacted)
}

fn newest(image: &Image) -> Result<i64, HashKvError> {
    let mut newest = 0;
    let mut entries = image.entries(bucket::KEY.as_bytes()).map_err(DatabaseError::from)?;
    while let Some((bytes, _)) = entries.next().map_err(DatabaseError::from)? {
        newest = revision(image, bytes)?.main;
    }
    Ok(newest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::image_of;
    use crate::schema::tombstone;

    /// A change of a key at a revision; one without a value deletes it.
    fn change(main: i64, key: &'static str, is_tombstone: bool) -> (Vec<u8>, Vec<u8>) {
        let kv = KeyValue { key: key.into(), value: "v".into(), ..KeyValue::default() };
        let value = if is_tombstone { tombstone(key.as_bytes()) } else { kv.encode_to_vec() };
        (RevisionKey { main, sub: 0, is_tombstone }.encode().as_ref().to_vec(), value)
    }

    fn hash_of(changes: &[(Vec<u8>, Vec<u8>)], compacted: i64, at: i64) -> Result<HashKv, HashKvError> {
        let at_revision = RevisionKey { main: compacted, sub: 0, is_tombstone: false }.encode().as_ref().to_vec();
        let meta = vec![(key::FINISHED_COMPACTION.into(), at_revision)];
        let (_dir, image) = image_of(&[(bucket::KEY, changes.to_vec()), (bucket::META, meta)]);
        HashKv::of(&image, at)
    }

    #[test]
    fn what_compaction_has_yet_to_take_out_does_not_count() {
        let all = [
            change(2, "a", false),
            change(3, "a", false),
            change(4, "b", false),
            change(5, "b", true),
            change(6, "c", false),
            change(7, "c", false),
        ];
        let taken_out = [all[1].clone(), all[4].clone(), all[5].clone()];
        assert_eq!(hash_of(&all, 6, 6).unwrap(), hash_of(&taken_out, 6, 6).unwrap());
        // At 7 the older of c is none of the newest of any key.
        let newest = [all[1].clone(), all[5].clone()];
        assert_eq!(hash_of(&all, 6, 0).unwrap(), hash_of(&newest, 6, 0).unwrap());
        assert_ne!(hash_of(&all, 3, 0).unwrap().hash, hash_of(&all, 6, 0).unwrap().hash);
        let hash = taken_out[..2].iter().fold(crc32c::crc32c(b"key"), |hash, (key, value)| {
            crc32c::crc32c_append(crc32c::crc32c_append(hash, key), value)
        });
        assert_eq!(hash_of(&all, 6, 6).unwrap(), HashKv { hash, revision: 6, compacted: 6 });
    }

    #[test]
    fn a_deletion_at_the_compacted_revision_never_counts() {
        let all = [change(2, "a", false), change(3, "b", false), change(4, "b", true)];
        assert_eq!(hash_of(&all, 4, 0).unwrap(), hash_of(&all[..1], 4, 0).unwrap());
    }

    #[test]
    fn revisions_that_are_not_there_are_told() {
        let all = [change(2, "a", false), change(9, "a", false)];
        assert!(matches!(hash_of(&all, 5, 4), Err(HashKvError::Compacted { at: 4, compacted: 5 })));
        assert!(matches!(hash_of(&all, 5, 10), Err(HashKvError::Future { at: 10, newest: 9 })));
    }

    #[test]
    fn a_change_that_says_nothing_is_told() {
        let (key, _) = change(2, "a", false);
        assert!(matches!(hash_of(&[(key, vec![255])], 5, 0), Err(HashKvError::Change { revision: 2, .. })));
    }
}
