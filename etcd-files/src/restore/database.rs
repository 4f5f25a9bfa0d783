//! A database as a new member of a new cluster has it: all that was in it, but for who the members are and where Raft stands.
//!
//! It is read and written in order, twice: first to measure, then to write.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::Write;
use std::num::NonZeroU64;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::{Progress, RestoreError, Step};
use crate::bbolt::{Image, ImageWriter};
use crate::founders::Founders;
use crate::schema::{RevisionKey, bucket, conf_state, key, member_key, member_value};
use crate::status::{DatabaseError, revision};

/// So many bytes are gathered before they are written.
const CHUNK_BYTES: usize = 1 << 20;

/// What becomes different.
#[derive(Debug)]
pub(super) struct Changes {
    members: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Where Raft stands.
    meta: BTreeMap<Vec<u8>, Vec<u8>>,
    bump: Option<NonZeroU64>,
}

impl Changes {
    pub(super) fn new(founders: &Founders, term: u64, bump: Option<NonZeroU64>) -> Self {
        let members = founders.members();
        let voters: Vec<_> = members.iter().map(|member| member.id).collect();
        let meta = [
            (key::CONSISTENT_INDEX, (members.len() as u64).to_be_bytes().to_vec()),
            (key::TERM, term.to_be_bytes().to_vec()),
            (key::CONF_STATE, conf_state(&voters, &[])),
        ];
        let members = members.iter().map(|member| (member_key(member.id), member_value(member))).collect();
        Self { members, meta: meta.into_iter().map(|(key, value)| (key.into(), value)).collect(), bump }
    }
}

/// Writes the changed database into a new file, and tells its revision once the disk has it.
pub(super) fn write(
    image: &Image,
    changes: &Changes,
    path: &Path,
    tell: &mut dyn FnMut(Progress),
) -> Result<i64, RestoreError> {
    let mut measuring = Feed { image, changes, writer: ImageWriter::measure(), newest: 0 };
    let mut read = 0;
    measuring.all(&mut |_, bytes| {
        read += bytes;
        tell(Progress { step: Step::Measuring, done: read, total: image.bytes() });
        Ok(())
    })?;
    let (layout, _) = measuring.writer.finish();
    let failed = RestoreError::io(path);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(&failed)?;
    let mut writing = Feed { image, changes, writer: ImageWriter::write(layout), newest: 0 };
    let mut written = 0;
    writing.all(&mut |writer, _| {
        if writer.ready_bytes() >= CHUNK_BYTES {
            let chunk = writer.take(1);
            file.write_all(&chunk).map_err(&failed)?;
            written += chunk.len() as u64;
            tell(Progress { step: Step::Writing, done: written, total: layout.bytes() });
        }
        Ok(())
    })?;
    let newest = writing.newest;
    let (came_out, rest) = writing.writer.finish();
    if came_out != layout {
        return Err(RestoreError::Changed { path: image.path().to_owned() });
    }
    file.write_all(&rest).and_then(|()| file.sync_all()).map_err(&failed)?;
    Ok(newest)
}

/// Hears of each bucket and entry that the writer has got, and of the entry's bytes.
type Each<'a> = dyn FnMut(&mut ImageWriter, u64) -> Result<(), RestoreError> + 'a;

/// One way through the image.
struct Feed<'a> {
    image: &'a Image,
    changes: &'a Changes,
    writer: ImageWriter,
    /// The newest revision seen; bumped once all are.
    newest: i64,
}

impl Feed<'_> {
    fn all(&mut self, each: &mut Each<'_>) -> Result<(), RestoreError> {
        let mut names: BTreeSet<_> = self.image.buckets().map_err(DatabaseError::from)?.into_iter().collect();
        // Other versions may have kept less. Keys come before `meta`, which is to know their newest revision.
        let needed = [bucket::KEY, bucket::MEMBERS, bucket::MEMBERS_REMOVED, bucket::META];
        names.extend(needed.map(|name| name.as_bytes().to_vec()));
        for name in names {
            self.writer.begin_bucket(&name);
            match str::from_utf8(&name) {
                Ok(bucket::MEMBERS) => self.put_all(&self.changes.members.clone(), each)?,
                Ok(bucket::MEMBERS_REMOVED) => {}
                Ok(bucket::META) => self.meta(each)?,
                Ok(bucket::KEY) => self.keys(each)?,
                _ => self.copy(&name, &BTreeMap::new(), each)?,
            }
        }
        Ok(())
    }

    fn keys(&mut self, each: &mut Each<'_>) -> Result<(), RestoreError> {
        let mut entries = self.image.entries(bucket::KEY.as_bytes()).map_err(DatabaseError::from)?;
        while let Some((key, value)) = entries.next().map_err(DatabaseError::from)? {
            self.newest = revision(self.image, key)?.main;
            self.writer.put(key, value);
            each(&mut self.writer, (key.len() + value.len()) as u64)?;
        }
        if let Some(bump) = self.changes.bump {
            let bumped = i64::try_from(bump.get()).ok().and_then(|bump| self.newest.checked_add(bump));
            self.newest = bumped.ok_or(RestoreError::TooFar { newest: self.newest, bump: bump.get() })?;
            // etcd's own mark of it: a change of no key.
            self.writer.put(RevisionKey { main: self.newest, sub: 0, is_tombstone: false }.encode().as_ref(), &[]);
        }
        Ok(())
    }

    fn meta(&mut self, each: &mut Each<'_>) -> Result<(), RestoreError> {
        let mut changed = self.changes.meta.clone();
        if self.changes.bump.is_some() {
            let newest = RevisionKey { main: self.newest, sub: 0, is_tombstone: false }.encode();
            changed.insert(key::SCHEDULED_COMPACTION.into(), newest.as_ref().to_vec());
        }
        self.copy(bucket::META.as_bytes(), &changed, each)
    }

    /// A bucket as it was, but for these entries.
    fn copy(
        &mut self,
        name: &[u8],
        changed: &BTreeMap<Vec<u8>, Vec<u8>>,
        each: &mut Each<'_>,
    ) -> Result<(), RestoreError> {
        let mut changed = changed.clone();
        let mut entries = self.image.entries(name).map_err(DatabaseError::from)?;
        while let Some((key, value)) = entries.next().map_err(DatabaseError::from)? {
            if key.is_empty() {
                let bucket = String::from_utf8_lossy(name).into_owned();
                return Err(DatabaseError::EmptyKey { path: self.image.path().to_owned(), bucket }.into());
            }
            let later = changed.split_off(key);
            self.put_all(&std::mem::replace(&mut changed, later), each)?;
            let value = changed.remove(key).map_or(std::borrow::Cow::Borrowed(value), Into::into);
            self.writer.put(key, &value);
            each(&mut self.writer, (key.len() + value.len()) as u64)?;
        }
        self.put_all(&changed, each)
    }

    fn put_all(&mut self, entries: &BTreeMap<Vec<u8>, Vec<u8>>, each: &mut Each<'_>) -> Result<(), RestoreError> {
        entries.iter().try_for_each(|(key, value)| {
            self.writer.put(key, value);
            each(&mut self.writer, (key.len() + value.len()) as u64)
        })
    }
}
