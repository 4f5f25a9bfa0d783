//! What a database holds, in the figures of `etcdutl snapshot status`.

use std::path::PathBuf;

use crate::bbolt::{Image, ImageError};
use crate::schema::{RevisionKey, bucket, key};

/// So many bytes are read before it is told.
const TOLD_BYTES: u64 = 1 << 20;

/// What a database holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The CRC-32C over all buckets' names, keys and values, in their order.
    pub hash: u32,
    /// The store's revision; 0 if nothing was ever written.
    pub revision: i64,
    /// The entries of all buckets, as etcd 3.4 and 3.5 count; later ones count the keys that are not deleted.
    pub entries: u64,
    /// The bytes of all pages, in bytes.
    pub bytes: u64,
    /// The version of etcd whose schema it has; versions before 3.6 do not say.
    pub version: Option<String>,
}

/// Why a database cannot be read as etcd's.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// Its pages.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// It is another program's, or damaged.
    #[error("{} is no database of etcd: a key of bucket `key` is no revision: {key:?}", path.display())]
    Revision {
        /// The file.
        path: PathBuf,
        /// The key.
        key: Vec<u8>,
    },
    /// bbolt knows no such entry.
    #[error("{} is damaged: bucket {bucket:?} has an empty key", path.display())]
    EmptyKey {
        /// The file.
        path: PathBuf,
        /// The bucket.
        bucket: String,
    },
}

impl Status {
    /// Reads all of an image; `tell` hears how many bytes of entries are read. Blocking.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub fn of(image: &Image, tell: &mut dyn FnMut(u64)) -> Result<Self, DatabaseError> {
        let mut status = Self { hash: 0, revision: 0, entries: 0, bytes: image.bytes(), version: None };
        let (mut read, mut told) = (0, 0);
        for name in image.buckets()? {
            status.hash = crc32c::crc32c_append(status.hash, &name);
            let mut entries = image.entries(&name)?;
            while let Some((key, value)) = entries.next()? {
                status.take(image, &name, key, value)?;
                read += (key.len() + value.len()) as u64;
                if read - told >= TOLD_BYTES {
                    tell(read);
                    told = read;
                }
            }
        }
        Ok(status)
    }

    fn take(&mut self, image: &Image, name: &[u8], key: &[u8], value: &[u8]) -> Result<(), DatabaseError> {
        self.hash = crc32c::crc32c_append(crc32c::crc32c_append(self.hash, key), value);
        self.entries += 1;
        if name == bucket::KEY.as_bytes() {
            self.revision = revision(image, key)?.main;
        } else if name == bucket::META.as_bytes() && key == key::STORAGE_VERSION.as_bytes() {
            self.version = version(value);
        }
        Ok(())
    }
}

/// The revision that a key of the bucket `key` is.
pub(crate) fn revision(image: &Image, key: &[u8]) -> Result<RevisionKey, DatabaseError> {
    // A file that is damaged may have a key as long as itself.
    let error = || DatabaseError::Revision { path: image.path().to_owned(), key: key[..key.len().min(32)].to_vec() };
    RevisionKey::parse(key).ok_or_else(error)
}

/// A version is three numbers, and maybe more.
fn version(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?;
    let numbers = text.splitn(3, '.').filter(|part| part.starts_with(|digit: char| digit.is_ascii_digit()));
    (numbers.count() == 3 && !text.contains(char::is_control)).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::image_of;

    #[test]
    fn figures_are_of_all_buckets_and_the_revision_of_the_last_change() {
        let revision = |main| RevisionKey { main, sub: 0, is_tombstone: main == 9 }.encode();
        let meta = ("meta", vec![(b"storageVersion".to_vec(), b"3.6.0".to_vec())]);
        let changes = [2, 9].map(|main| (revision(main).as_ref().to_vec(), b"value".to_vec())).to_vec();
        let (_dir, image) = image_of(&[("alarm", vec![]), ("key", changes), meta]);
        let status = Status::of(&image, &mut |_| ()).unwrap();
        let [first, last] = [2, 9].map(revision);
        let all = [b"alarmkey", first.as_ref(), b"value", last.as_ref(), b"valuemetastorageVersion3.6.0"];
        assert_eq!(status.hash, crc32c::crc32c(&all.concat()));
        assert_eq!((status.revision, status.entries, status.version.as_deref()), (9, 3, Some("3.6.0")));
        assert_eq!(status.bytes, image.bytes());
    }

    #[test]
    fn a_bucket_of_another_programs_keys_is_told() {
        let (_dir, image) = image_of(&[("key", vec![(b"name".to_vec(), vec![])])]);
        let error = Status::of(&image, &mut |_| ()).unwrap_err();
        assert!(error.to_string().contains("is no revision"), "{error}");
    }

    #[test]
    fn what_is_no_version_is_not_told_as_one() {
        assert_eq!(version(b"3.6.0-alpha.0").as_deref(), Some("3.6.0-alpha.0"));
        for bad in [&b"3.6"[..], b"", b"a.b.c", b"3.6.0\n", b"\xff"] {
            assert_eq!(version(bad), None);
        }
    }
}
