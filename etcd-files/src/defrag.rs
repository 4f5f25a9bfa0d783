//! A stopped member's database without its free pages: written anew in order beside the old one, whose name it then takes.
//!
//! What always holds: a database that an etcd has open is left alone; a crash leaves the old one or the new one, and maybe a file that
//! etcd itself removes. No etcd may be started meanwhile: it would wait for the lock of the old file, and go on with that one. Blocking.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::bbolt::{Image, ImageError, ImageWriter};

/// So many bytes are gathered before they are written.
const CHUNK_BYTES: usize = 1 << 20;
/// etcd removes files with this beginning.
const PART: &str = "db.tmp.defrag";

/// Why a database stays as it is.
#[derive(Debug, thiserror::Error)]
pub enum DefragError {
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The file system's answer.
        source: io::Error,
    },
    /// A process has it open.
    #[error("{} is in use: stop the member first, or defragment it while it runs, by its endpoint", path.display())]
    InUse {
        /// The database.
        path: PathBuf,
    },
    /// It cannot be read.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// Somebody who takes no lock wrote into it.
    #[error("{} changed while it was read: stop whoever writes it", path.display())]
    Changed {
        /// The database.
        path: PathBuf,
    },
}

/// Rewrites the database of a member's directory, and tells its bytes before and after. `tell` hears how many bytes are written, of how
/// many.
///
/// # Errors
/// See [`DefragError`].
pub fn defrag(data_dir: &Path, tell: &mut dyn FnMut(u64, u64)) -> Result<(u64, u64), DefragError> {
    let dir = data_dir.join("member/snap");
    let [path, part] = ["db", PART].map(|name| dir.join(name));
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| DefragError::Io { path, source }
    };
    let old = OpenOptions::new().read(true).write(true).open(&path).map_err(failed(&path))?;
    // bbolt holds this lock while it has the file open.
    flock(&old, FlockOperation::NonBlockingLockExclusive).map_err(|_| DefragError::InUse { path: path.clone() })?;
    let before = old.metadata().map_err(failed(&path))?;
    let image = Image::open(&path)?;
    let written = create(&part, &before).map_err(failed(&part)).and_then(|new| write(&image, new, &part, tell));
    let done = written.and_then(|bytes| {
        replace(&part, &path, &dir).map_err(failed(&path))?;
        Ok((before.len(), bytes))
    });
    if done.is_err() {
        remove(&part);
    }
    done
}

/// With the owner and mode of the old one, so that the same user starts from it.
fn create(part: &Path, old: &std::fs::Metadata) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(part)?;
    fchown(&file, Some(old.uid()), Some(old.gid()))?;
    file.set_permissions(old.permissions())?;
    Ok(file)
}

fn write(image: &Image, mut new: File, part: &Path, tell: &mut dyn FnMut(u64, u64)) -> Result<u64, DefragError> {
    let failed = |source| DefragError::Io { path: part.to_owned(), source };
    let mut measuring = ImageWriter::measure();
    copy(image, &mut measuring, &mut |_| Ok(()))?;
    let (layout, _) = measuring.finish();
    let (mut writer, mut written) = (ImageWriter::write(layout), 0);
    copy(image, &mut writer, &mut |writer| {
        if writer.ready_bytes() >= CHUNK_BYTES {
            let chunk = writer.take(1);
            new.write_all(&chunk).map_err(failed)?;
            written += chunk.len() as u64;
            tell(written, layout.bytes());
        }
        Ok(())
    })?;
    let (came_out, rest) = writer.finish();
    if came_out != layout {
        return Err(DefragError::Changed { path: image.path().to_owned() });
    }
    new.write_all(&rest).and_then(|()| new.sync_all()).map_err(failed)?;
    Ok(layout.bytes())
}

fn copy(
    image: &Image,
    writer: &mut ImageWriter,
    each: &mut dyn FnMut(&mut ImageWriter) -> Result<(), DefragError>,
) -> Result<(), DefragError> {
    for name in image.buckets()? {
        writer.begin_bucket(&name);
        let mut entries = image.entries(&name)?;
        while let Some((key, value)) = entries.next()? {
            writer.put(key, value);
            each(writer)?;
        }
    }
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "a directory that whoever calls has named, outside of the server's seams"
)]
fn replace(part: &Path, path: &Path, dir: &Path) -> io::Result<()> {
    std::fs::rename(part, path)?;
    OpenOptions::new().read(true).open(dir)?.sync_all()
}

/// What cannot be removed etcd removes when it starts.
#[expect(
    clippy::disallowed_methods,
    reason = "a directory that whoever calls has named, outside of the server's seams"
)]
fn remove(part: &Path) {
    std::fs::remove_file(part).ok();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{bytes_of, save};

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test's files")]
    fn a_database_loses_its_free_pages_unless_somebody_has_it_open() {
        let dir = tempfile::tempdir().unwrap();
        let snap = dir.path().join("member/snap");
        std::fs::create_dir_all(&snap).unwrap();
        let entries = (0..500_u32).map(|key| (key.to_be_bytes().to_vec(), vec![1; 300])).collect();
        let buckets = [("alarm", vec![]), ("key", entries)];
        let path = save(&snap, &buckets);
        let whole = bytes_of(&buckets);
        // Pages behind the end are free, too.
        let mut larger = OpenOptions::new().append(true).open(&path).unwrap();
        larger.write_all(&[0; 8 * 4096]).unwrap();
        let holder = File::open(&path).unwrap();
        flock(&holder, FlockOperation::LockExclusive).unwrap();
        assert!(matches!(defrag(dir.path(), &mut |_, _| ()), Err(DefragError::InUse { .. })));
        drop(holder);
        let (before, after) = defrag(dir.path(), &mut |_, _| ()).unwrap();
        assert_eq!((before, after), (whole.len() as u64 + 8 * 4096, whole.len() as u64));
        assert!(std::fs::read(&path).unwrap() == whole);
        std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        assert!(defrag(dir.path(), &mut |_, _| ()).is_err());
        assert_eq!(std::fs::read_dir(&snap).unwrap().count(), 1, "nothing is left of what failed");
    }
}
