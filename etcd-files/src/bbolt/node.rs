//! A node that was read: its elements, each checked against the node's bounds when it is asked for.

use super::page::{ELEMENT_BYTES, HEADER_BYTES, IS_BUCKET, PageKind};

/// What is wrong with a page.
pub(super) type Wrong = &'static str;

/// The head of a page.
#[derive(Debug, Clone, Copy)]
pub(super) struct PageHead {
    pub(super) id: u64,
    flags: u16,
    count: u16,
    /// How many pages follow that belong to it.
    pub(super) overflow: u32,
}

impl PageHead {
    pub(super) fn parse(page: &[u8]) -> Result<Self, Wrong> {
        let (Some(id), Some(flags), Some(count), Some(overflow)) =
            (u64_at(page, 0), u16_at(page, 8), u16_at(page, 10), u32_at(page, 12))
        else {
            return Err("it has no head");
        };
        Ok(Self { id, flags, count, overflow })
    }
}

/// A branch or a leaf, with its overflow.
#[derive(Debug)]
pub(super) struct Node {
    bytes: Vec<u8>,
    count: usize,
    is_leaf: bool,
}

/// An entry of a leaf.
pub(super) struct LeafElement<'a> {
    pub(super) is_bucket: bool,
    pub(super) key: &'a [u8],
    pub(super) value: &'a [u8],
}

impl Node {
    /// `bytes` begin with the page's head.
    pub(super) fn parse(bytes: Vec<u8>) -> Result<Self, Wrong> {
        let head = PageHead::parse(&bytes)?;
        let is_leaf = match head.flags {
            flags if flags == PageKind::Leaf.flags() => true,
            flags if flags == PageKind::Branch.flags() => false,
            _ => return Err("it is no node of a tree"),
        };
        let count = usize::from(head.count);
        if HEADER_BYTES + count * ELEMENT_BYTES > bytes.len() {
            return Err("it has more elements than room");
        }
        Ok(Self { bytes, count, is_leaf })
    }

    pub(super) const fn is_leaf(&self) -> bool {
        self.is_leaf
    }

    pub(super) const fn count(&self) -> usize {
        self.count
    }

    /// The page that the element of a branch leads to.
    pub(super) fn child(&self, number: usize) -> Result<u64, Wrong> {
        let at = HEADER_BYTES + number * ELEMENT_BYTES;
        u64_at(&self.bytes, at + 8).ok_or("it has more elements than room")
    }

    /// The element of a leaf.
    pub(super) fn leaf(&self, number: usize) -> Result<LeafElement<'_>, Wrong> {
        let at = HEADER_BYTES + number * ELEMENT_BYTES;
        let number = |offset| u32_at(&self.bytes, at + offset).ok_or("it has more elements than room");
        let [flags, position, key_bytes, value_bytes] = [number(0)?, number(4)?, number(8)?, number(12)?];
        // Positions count from the element itself. 32 bits each: their sums do not overflow 64.
        let key_at = at as u64 + u64::from(position);
        let value_at = key_at + u64::from(key_bytes);
        let end = value_at + u64::from(value_bytes);
        let slice = |from: u64, to: u64| {
            let range = usize::try_from(from).ok()?..usize::try_from(to).ok()?;
            self.bytes.get(range)
        };
        let (Some(key), Some(value)) = (slice(key_at, value_at), slice(value_at, end)) else {
            return Err("an entry lies outside of it");
        };
        if flags & !IS_BUCKET != 0 {
            return Err("an entry is of an unknown kind");
        }
        Ok(LeafElement { is_bucket: flags == IS_BUCKET, key, value })
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_le_bytes)
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes)
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes)
}
