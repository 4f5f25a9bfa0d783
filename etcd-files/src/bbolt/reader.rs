//! Reading an image page by page: its buckets, and the entries of each in their order.
//!
//! An image may come from anywhere, so nothing in it is believed: each page says its own number and lies below the high-water mark,
//! keys ascend, no walk takes more pages than there are. What is wrong is an error that names the page. It takes the memory of one page of
//! each level of a tree. Blocking.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::meta::{Meta, read_meta};
use super::node::{Node, PageHead, Wrong, u64_at};
use super::page::HEADER_BYTES;

/// No tree is higher: each branch has two children at least.
const LEVELS_MAX: usize = 64;
/// No node is larger, in bytes: it is an entry of etcd, which are a few megabytes, and what shares its page.
const NODE_BYTES_MAX: u64 = 256 << 20;
/// The root page of a bucket, or 0 where its only page is behind, and the bucket's sequence.
const BUCKET_BYTES: usize = 16;

/// Why an image cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The file system's answer.
        source: io::Error,
    },
    /// It is something else, or its beginning is lost.
    #[error("{} is no database of etcd: {reason}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What was found.
        reason: &'static str,
    },
    /// A page is not as it was written.
    #[error("{} is damaged: page {page}: {reason}; take the snapshot anew, or from another member", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The page's number.
        page: u64,
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// An image, open for reading.
#[derive(Debug)]
pub struct Image {
    path: PathBuf,
    file: File,
    meta: Meta,
}

impl Image {
    /// Opens a file and reads its beginning.
    ///
    /// # Errors
    /// [`ImageError::Io`], and [`ImageError::Foreign`] for what does not begin as an image does.
    #[expect(
        clippy::disallowed_methods,
        reason = "a file that was named by whoever calls, outside of the server's seams"
    )]
    pub fn open(path: &Path) -> Result<Self, ImageError> {
        let failed = |source| ImageError::Io { path: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        let meta = read_meta(length, &mut |at| {
            let mut bytes = [0; HEADER_BYTES + Meta::BYTES];
            match file.read_exact_at(&mut bytes, at) {
                Ok(()) => Ok(Some(bytes)),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
                Err(error) => Err(error),
            }
        });
        let meta = meta.map_err(failed)?.map_err(|reason| ImageError::Foreign { path: path.to_owned(), reason })?;
        Ok(Self { path: path.to_owned(), file, meta })
    }

    /// The bytes of all pages, those that are free among them: as bbolt tells the size.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.meta.pages * self.meta.page_bytes
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The names of the buckets, in their order.
    ///
    /// # Errors
    /// See [`ImageError`].
    pub fn buckets(&self) -> Result<Vec<Vec<u8>>, ImageError> {
        let mut names = Vec::new();
        let mut root = self.walk(self.meta.root)?;
        while let Some((name, _)) = root.next_of(true)? {
            names.push(name.to_vec());
        }
        Ok(names)
    }

    /// The entries of a bucket; none if it is not there.
    ///
    /// # Errors
    /// See [`ImageError`].
    pub fn entries(&self, bucket: &[u8]) -> Result<Entries<'_>, ImageError> {
        let mut root = self.walk(self.meta.root)?;
        while let Some((name, value)) = root.next_of(true)? {
            if name == bucket {
                return self.bucket_of(value);
            }
        }
        Ok(Entries::none(self))
    }

    /// The entries of a bucket whose value this is: in pages of their own, or right there if they are few.
    fn bucket_of(&self, value: &[u8]) -> Result<Entries<'_>, ImageError> {
        let Some(page) = u64_at(value, 0).filter(|_| value.len() >= BUCKET_BYTES) else {
            return Err(self.damaged(self.meta.root, "a bucket has no root"));
        };
        if page != 0 {
            return self.walk(page);
        }
        let node =
            Node::parse(value[BUCKET_BYTES..].to_vec()).map_err(|reason| self.damaged(self.meta.root, reason))?;
        let mut entries = Entries::none(self);
        entries.levels.push(Level { page: self.meta.root, node, next: 0 });
        Ok(entries)
    }

    fn walk(&self, root: u64) -> Result<Entries<'_>, ImageError> {
        let mut entries = Entries::none(self);
        entries.descend(root)?;
        Ok(entries)
    }

    fn node(&self, page: u64) -> Result<Node, ImageError> {
        let damaged = |reason| self.damaged(page, reason);
        let page_bytes = self.meta.page_bytes;
        if page >= self.meta.pages {
            return Err(damaged("it lies behind the end"));
        }
        let mut bytes = self.read(page, page_bytes)?;
        let head = PageHead::parse(&bytes).map_err(damaged)?;
        if head.id != page {
            return Err(damaged("it has another page's number"));
        }
        let pages = u64::from(head.overflow) + 1;
        if page + pages > self.meta.pages || pages * page_bytes > NODE_BYTES_MAX {
            return Err(damaged("it says to be longer than it can be"));
        }
        if pages > 1 {
            bytes = self.read(page, pages * page_bytes)?;
        }
        Node::parse(bytes).map_err(damaged)
    }

    fn read(&self, page: u64, bytes: u64) -> Result<Vec<u8>, ImageError> {
        let mut read = vec![0; usize::try_from(bytes).map_err(|_| self.damaged(page, "it is too long"))?];
        let done = self.file.read_exact_at(&mut read, page * self.meta.page_bytes);
        done.map_err(|source| ImageError::Io { path: self.path.clone(), source })?;
        Ok(read)
    }

    fn damaged(&self, page: u64, reason: Wrong) -> ImageError {
        ImageError::Damaged { path: self.path.clone(), page, reason }
    }
}

/// A key and its value.
pub type Entry<'a> = (&'a [u8], &'a [u8]);

/// The entries of a bucket, in the order of their keys.
#[derive(Debug)]
pub struct Entries<'a> {
    image: &'a Image,
    /// From the root to the leaf that is being read.
    levels: Vec<Level>,
    last_key: Vec<u8>,
    has_begun: bool,
    /// Pages that were read.
    pages: u64,
}

#[derive(Debug)]
struct Level {
    page: u64,
    node: Node,
    next: usize,
}

impl<'a> Entries<'a> {
    const fn none(image: &'a Image) -> Self {
        Self { image, levels: Vec::new(), last_key: Vec::new(), has_begun: false, pages: 0 }
    }

    /// The next key and its value; none behind the last.
    ///
    /// # Errors
    /// See [`ImageError`]; there is no way on then.
    #[expect(clippy::should_implement_trait, reason = "what it gives is lent, which iterators cannot do")]
    pub fn next(&mut self) -> Result<Option<Entry<'_>>, ImageError> {
        self.next_of(false)
    }

    /// The next entry, which is to be a bucket, or none.
    fn next_of(&mut self, buckets: bool) -> Result<Option<Entry<'_>>, ImageError> {
        let number = loop {
            let Some(level) = self.levels.last_mut() else { return Ok(None) };
            let number = level.next;
            level.next += 1;
            if number >= level.node.count() {
                self.levels.pop();
            } else if level.node.is_leaf() {
                break number;
            } else {
                let (page, child) = (level.page, level.node.child(number));
                let child = child.map_err(|reason| self.image.damaged(page, reason))?;
                self.descend(child)?;
            }
        };
        let Some(level) = self.levels.last() else { return Ok(None) };
        let damaged = |reason| self.image.damaged(level.page, reason);
        let entry = level.node.leaf(number).map_err(damaged)?;
        if self.has_begun && *entry.key <= self.last_key[..] {
            return Err(damaged("its keys are not in order"));
        }
        if entry.is_bucket != buckets {
            return Err(damaged(if buckets { "an entry is no bucket" } else { "a bucket lies in a bucket" }));
        }
        self.has_begun = true;
        self.last_key.clear();
        self.last_key.extend_from_slice(entry.key);
        Ok(Some((entry.key, entry.value)))
    }

    fn descend(&mut self, page: u64) -> Result<(), ImageError> {
        self.pages += 1;
        if self.pages > self.image.meta.pages || self.levels.len() >= LEVELS_MAX {
            return Err(self.image.damaged(page, "the tree above it has no end"));
        }
        let node = self.image.node(page)?;
        self.levels.push(Level { page, node, next: 0 });
        Ok(())
    }
}
