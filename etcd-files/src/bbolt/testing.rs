//! A reader of images that shares nothing with the writer: it walks every page from the roots and panics at whatever
//! bbolt's own check would complain of.

#![expect(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a test that fails")]

use std::collections::{BTreeMap, BTreeSet};

const PAGE: usize = 4096;

/// The entries of each bucket, in their order.
pub type Buckets = BTreeMap<String, Vec<(Vec<u8>, Vec<u8>)>>;

/// An image that was read.
pub struct Image {
    /// What is in it.
    pub buckets: Buckets,
    /// How many levels of branches lie above the leaves of each bucket.
    pub branches: BTreeMap<String, usize>,
}

/// Reads a whole image.
pub fn read(bytes: &[u8]) -> Image {
    let mut reader = Reader { bytes, reached: BTreeSet::from([0, 1]) };
    assert_eq!(bytes.len() % PAGE, 0, "whole pages");
    let [newer, older] = [reader.meta(0), reader.meta(1)];
    assert_eq!((newer.root, newer.freelist, newer.pages), (older.root, older.freelist, older.pages));
    assert_eq!((newer.transaction % 2, newer.transaction - 1), (0, older.transaction));
    assert_eq!(newer.pages * PAGE as u64, bytes.len() as u64, "the high-water mark is the end of the file");
    assert_eq!(reader.header(newer.freelist), (0x10, 0, 0), "the freelist is there and empty");
    assert!(reader.reached.insert(newer.freelist));
    let (mut buckets, mut branches) = (Buckets::new(), BTreeMap::new());
    for (flags, name, value) in reader.tree(newer.root).0 {
        assert_eq!((flags, value.len()), (1, 16), "{name:?} is a bucket");
        let (entries, levels) = reader.tree(u64::from_le_bytes(value[..8].try_into().unwrap()));
        assert!(entries.iter().all(|(flags, ..)| *flags == 0), "buckets lie in the root alone");
        let name = String::from_utf8(name).unwrap();
        branches.insert(name.clone(), levels);
        buckets.insert(name, entries.into_iter().map(|(_, key, value)| (key, value)).collect());
    }
    assert_eq!(reader.reached, (0..newer.pages).collect(), "every page is reached");
    Image { buckets, branches }
}

struct Meta {
    root: u64,
    freelist: u64,
    pages: u64,
    transaction: u64,
}

struct Reader<'a> {
    bytes: &'a [u8],
    reached: BTreeSet<u64>,
}

/// Flags, key and value.
type Entry = (u32, Vec<u8>, Vec<u8>);

impl Reader<'_> {
    fn page(&self, id: u64) -> &[u8] {
        &self.bytes[usize::try_from(id).unwrap() * PAGE..]
    }

    /// Flags, count and overflow of a page that says it is the one.
    fn header(&self, id: u64) -> (u16, u16, u32) {
        let page = self.page(id);
        assert_eq!(u64_at(page, 0), id, "a page knows its number");
        let [flags, count] = [8, 10].map(|at| u16::from_le_bytes(page[at..at + 2].try_into().unwrap()));
        (flags, count, u32_at(page, 12))
    }

    fn meta(&self, id: u64) -> Meta {
        assert_eq!(self.header(id), (4, 0, 0));
        let meta = &self.page(id)[16..PAGE];
        assert_eq!([0, 4, 8, 12].map(|at| u32_at(meta, at)), [0xED0C_DAED, 2, PAGE as u32, 0]);
        let mut hash = 14_695_981_039_346_656_037_u64;
        for byte in &meta[..56] {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(1_099_511_628_211);
        }
        assert_eq!(u64_at(meta, 56), hash, "the checksum of meta page {id}");
        assert_eq!(u64_at(meta, 24), 0, "the root's sequence");
        let [root, freelist, pages, transaction] = [16, 32, 40, 48].map(|at| u64_at(meta, at));
        Meta { root, freelist, pages, transaction }
    }

    /// The entries below a page, and how many levels of branches there are.
    fn tree(&mut self, id: u64) -> (Vec<Entry>, usize) {
        let (flags, count, overflow) = self.header(id);
        for page in id..=id + u64::from(overflow) {
            assert!(self.reached.insert(page), "page {page} is reached twice");
        }
        let bytes = self.page(id)[..(overflow as usize + 1) * PAGE].to_vec();
        let elements = (0..usize::from(count)).map(|number| 16 + 16 * number);
        let (entries, levels) = match flags {
            2 => (elements.map(|at| leaf_entry(&bytes, at)).collect(), 0),
            1 => self.children(&bytes, elements),
            other => panic!("page {id} is no node: {other}"),
        };
        assert!(entries.iter().is_sorted_by(|(_, one, _), (_, other, _)| one < other), "keys are in order");
        (entries, levels)
    }

    fn children(&mut self, bytes: &[u8], elements: impl ExactSizeIterator<Item = usize>) -> (Vec<Entry>, usize) {
        assert!(elements.len() >= 2, "bbolt stops at a branch with a single child, once that has lost its keys");
        let (mut entries, mut depths) = (Vec::new(), BTreeSet::new());
        for at in elements {
            let [position, key_bytes] = [at, at + 4].map(|at| u32_at(bytes, at) as usize);
            let key = &bytes[at + position..at + position + key_bytes];
            let (below, levels) = self.tree(u64_at(bytes, at + 8));
            assert_eq!(below[0].1, key, "a child is known by its first key");
            entries.extend(below);
            depths.insert(levels);
        }
        assert_eq!(depths.len(), 1, "all leaves are equally deep");
        (entries, depths.into_iter().next().unwrap() + 1)
    }
}

fn leaf_entry(bytes: &[u8], at: usize) -> Entry {
    let [flags, position, key_bytes, value_bytes] = [0, 4, 8, 12].map(|offset| u32_at(bytes, at + offset) as usize);
    let (key, value) = (at + position, at + position + key_bytes);
    assert!(key_bytes > 0, "bbolt has no empty keys");
    (flags as u32, bytes[key..value].to_vec(), bytes[value..value + value_bytes].to_vec())
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}
