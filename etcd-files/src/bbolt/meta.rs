//! The two pages at the beginning, each with all that a reader must know first. It takes the one of the newer
//! transaction, unless its checksum is wrong.

use super::image::Layout;
use super::page::{PageKind, append_page};

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
