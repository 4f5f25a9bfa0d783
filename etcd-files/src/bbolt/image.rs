//! A whole image: the head, the tree of each bucket, and the tree of the buckets' names at the end.

use bytes::Bytes;

use super::meta::{FREELIST_PAGE, append_head};
use super::page::{OpenPage, PAGE_BYTES, Target};
use super::tree::Tree;

/// What the beginning of an image says of the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// The page with the root of the buckets' names.
    pub(super) root: u64,
    /// How many pages there are.
    pub(super) pages: u64,
}

impl Layout {
    /// The exact length of the image.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.pages * PAGE_BYTES as u64
    }
}

/// Writes an image, or finds out how large it will be.
#[derive(Debug)]
pub struct ImageWriter {
    pages: Pages,
    names: Tree,
    bucket: Option<(Box<[u8]>, Tree)>,
}

/// The pages that are done.
#[derive(Debug)]
pub(super) struct Pages {
    /// The number of the next.
    next: u64,
    /// Nothing is kept of an image that is being measured.
    out: Option<Vec<u8>>,
}

impl Pages {
    /// Writes a node and tells its number.
    pub(super) fn add(&mut self, page: &OpenPage) -> u64 {
        let id = self.next;
        self.next += page.pages() as u64;
        if let Some(out) = &mut self.out {
            page.render(id, out);
        }
        id
    }
}

impl ImageWriter {
    /// Begins to measure.
    #[must_use]
    pub fn measure() -> Self {
        Self::over(None)
    }

    /// Begins to write what was measured.
    #[must_use]
    pub fn write(layout: Layout) -> Self {
        let mut head = Vec::new();
        append_head(layout, PAGE_BYTES as u32, &mut head);
        Self::over(Some(head))
    }

    fn over(out: Option<Vec<u8>>) -> Self {
        Self { pages: Pages { next: FREELIST_PAGE + 1, out }, names: Tree::new(), bucket: None }
    }

    /// Ends the bucket before and begins another, whose name must be greater.
    pub fn begin_bucket(&mut self, name: &[u8]) {
        self.end_bucket();
        self.bucket = Some((name.into(), Tree::new()));
    }

    /// Adds an entry to the bucket, whose key must be greater than the one before, and not empty.
    ///
    /// # Panics
    /// When no bucket was begun.
    pub fn put(&mut self, key: &[u8], value: &[u8]) {
        let (_, tree) = self.bucket.as_mut().expect("entries come after the beginning of their bucket");
        tree.push(Target::Value, key, value, &mut self.pages);
    }

    /// How many bytes are there to be taken.
    #[must_use]
    pub fn ready_bytes(&self) -> usize {
        self.pages.out.as_ref().map_or(0, Vec::len)
    }

    /// Takes what is there, but for the last bytes that are no whole `unit`.
    pub fn take(&mut self, unit: usize) -> Bytes {
        let Some(out) = &mut self.pages.out else { return Bytes::new() };
        let rest = out.split_off(out.len() - out.len() % unit);
        std::mem::replace(out, rest).into()
    }

    /// Ends the image. What was not taken yet is told with its layout, which is the measured one if the entries were
    /// the same.
    #[must_use]
    pub fn finish(mut self) -> (Layout, Bytes) {
        self.end_bucket();
        let root = self.names.finish(&mut self.pages);
        let layout = Layout { root, pages: self.pages.next };
        (layout, self.pages.out.unwrap_or_default().into())
    }

    fn end_bucket(&mut self) {
        let Some((name, tree)) = self.bucket.take() else { return };
        let root = tree.finish(&mut self.pages);
        // Its root page, and its sequence, which etcd has no use for.
        let value = [root.to_le_bytes(), [0; 8]].concat();
        self.names.push(Target::Bucket, &name, &value, &mut self.pages);
    }
}
