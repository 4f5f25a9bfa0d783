//! Who this node is: the member and cluster ids, decided when the data directory is new and kept in it.
//!
//! Later starts read them back, so changed flags never make another member of the same data.

use std::io;
use std::path::Path;

use crate::storage::{OpenMode, Vfs, VfsFile};
use crate::types::{ClusterId, MemberId};

const FILE: &str = "identity";
const VERSION: &str = "1";

/// The ids of a data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// This member's.
    pub member: MemberId,
    /// Its cluster's.
    pub cluster: ClusterId,
}

impl Identity {
    /// Reads the ids of `dir`; none if it is new. Blocking.
    ///
    /// # Errors
    /// Those of the file system, and when the file holds something else.
    pub fn load<V: Vfs>(vfs: &V, dir: &Path) -> io::Result<Option<Self>> {
        match vfs.open(&dir.join(FILE), OpenMode::Read) {
            Ok(file) => Self::read(&file).map(Some).map_err(|error| in_file(dir, &error)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(in_file(dir, &error)),
        }
    }

    /// Writes the ids of a new directory down. Blocking.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn save<V: Vfs>(self, vfs: &V, dir: &Path) -> io::Result<()> {
        self.write(vfs, dir).map_err(|error| in_file(dir, &error))
    }

    fn read(file: &impl VfsFile) -> io::Result<Self> {
        let len = file.len()?.min(1024) as usize;
        let mut text = vec![0; len];
        file.read_exact_at(&mut text, 0)?;
        let text = String::from_utf8(text).map_err(io::Error::other)?;
        let fields: Vec<_> = text.split_whitespace().collect();
        match fields[..] {
            [VERSION, member, cluster] => Ok(Self {
                member: MemberId(u64::from_str_radix(member, 16).map_err(io::Error::other)?),
                cluster: ClusterId(u64::from_str_radix(cluster, 16).map_err(io::Error::other)?),
            }),
            _ => Err(io::Error::other("it does not hold a version, a member id and a cluster id")),
        }
    }

    /// Under another name first: a crash leaves a whole file or none.
    fn write<V: Vfs>(self, vfs: &V, dir: &Path) -> io::Result<()> {
        let temporary = dir.join("identity.tmp");
        match vfs.remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = vfs.open(&temporary, OpenMode::CreateNew)?;
        file.write_all_at(format!("{VERSION} {} {}\n", self.member, self.cluster).as_bytes(), 0)?;
        file.sync_all()?;
        vfs.rename(&temporary, &dir.join(FILE))?;
        vfs.sync_dir(dir)
    }
}

fn in_file(dir: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", dir.join(FILE).display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::MemVfs;

    #[test]
    fn ids_stay_what_they_were_when_the_directory_was_new() {
        let vfs = MemVfs::new();
        let dir = Path::new("/d");
        vfs.create_dir_all(dir).unwrap();
        let of = |id: u64| Identity { member: MemberId(id), cluster: ClusterId(id + 1) };
        assert_eq!(Identity::load(&vfs, dir).unwrap(), None);
        of(7).save(&vfs, dir).unwrap();
        assert_eq!(Identity::load(&vfs.crash(), dir).unwrap(), Some(of(7)));
    }
}
