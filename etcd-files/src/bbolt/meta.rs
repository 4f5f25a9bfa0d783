//! The two pages at the beginning, each with all that a reader must know first. It takes the one of the newer
//! transaction, unless its checksum is wrong.

use std::io;

use super::image::Layout;
use super::node::{PageHead, Wrong, u32_at, u64_at};
use super::page::{HEADER_BYTES, PageKind, append_page};

const MAGIC: u32 = 0xED0C_DAED;
const VERSION: u32 = 2;

/// The number of the freelist's page.
pub(super) const FREELIST_PAGE: u64 = 2;
/// The transactions that the two pages are said to be of: page 0 has the even ones.
const TRANSACTIONS: [u64; 2] = [2, 1];

/// Appends both meta pages and the freelist.
pub(super) fn append_head(layout: Layout, page_bytes: u32, out: &mut Vec<u8>) {
    for (page, transaction) in (0..).zip(TRANSACTIONS) {
        append_page(page, PageKind::Meta, &meta(layout, page_bytes, transaction), out);
    }
    append_page(FREELIST_PAGE, PageKind::Freelist, &[], out);
}

fn meta(layout: Layout, page_bytes: u32, transaction: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64);
    // Flags are 0, as is the sequence of the root bucket.
    for number in [MAGIC, VERSION, page_bytes, 0] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    for number in [layout.root, 0, FREELIST_PAGE, layout.pages, transaction] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    let checksum = fnv_1a(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes
}

/// What the head of an image says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Meta {
    pub(super) page_bytes: u64,
    /// The page with the root of the buckets' names.
    pub(super) root: u64,
    /// All pages lie below.
    pub(super) pages: u64,
    transaction: u64,
}

impl Meta {
    /// Behind the head of its page.
    pub(super) const BYTES: usize = 64;

    /// None if it is no meta page, or a torn one.
    fn parse(page: &[u8]) -> Option<Self> {
        PageHead::parse(page).ok()?;
        let meta = page.get(HEADER_BYTES..HEADER_BYTES + Self::BYTES)?;
        let [magic, version, page_bytes] = [u32_at(meta, 0)?, u32_at(meta, 4)?, u32_at(meta, 8)?];
        let is_whole = u64_at(meta, 56)? == fnv_1a(&meta[..56]);
        let is_size = page_bytes.is_power_of_two() && PAGE_SIZES.contains(&page_bytes);
        (magic == MAGIC && version == VERSION && is_whole && is_size).then_some(Self {
            page_bytes: page_bytes.into(),
            root: u64_at(meta, 16)?,
            pages: u64_at(meta, 40)?,
            transaction: u64_at(meta, 48)?,
        })
    }
}

/// The sizes that pages have: those of the systems on which they were written.
const PAGE_SIZES: std::ops::RangeInclusive<u32> = 512..=1 << 20;

/// The newer of the two meta pages that is whole, of a file of so many bytes. `at` reads a page's beginning.
pub(super) fn read_meta<const N: usize>(
    length: u64,
    at: &mut dyn FnMut(u64) -> io::Result<Option<[u8; N]>>,
) -> io::Result<Result<Meta, Wrong>> {
    let first = at(0)?.as_ref().and_then(|page| Meta::parse(page));
    // Where the second begins is in the first: if that is torn, it is looked for.
    let sizes = first.map_or_else(
        || std::iter::successors(Some(u64::from(*PAGE_SIZES.start())), |size| Some(size * 2)).take(12).collect(),
        |first| vec![first.page_bytes],
    );
    let mut newest = first;
    for size in sizes {
        let second = at(size)?.as_ref().and_then(|page| Meta::parse(page)).filter(|meta| meta.page_bytes == size);
        newest = [newest, second].into_iter().flatten().max_by_key(|meta| meta.transaction);
    }
    Ok(match newest {
        None => Err("it does not begin as one"),
        Some(meta) if meta.pages.checked_mul(meta.page_bytes).is_none_or(|bytes| bytes > length) => {
            Err("it is shorter than it says: only a part of it is there")
        }
        Some(meta) => Ok(meta),
    })
}

/// The 64-bit FNV-1a hash.
fn fnv_1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_fnv_1a() {
        // The vectors that its authors publish.
        assert_eq!(fnv_1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv_1a(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv_1a(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
