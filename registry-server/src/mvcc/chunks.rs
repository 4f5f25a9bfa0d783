//! Where records live: chunks of bytes that are only appended to, in the order of revisions.
//!
//! The rest of the room knows an [`Address`] and nothing of memory or files. A chunk counts how many of its
//! bytes the index still refers to; one that refers to none is dropped, one that is mostly garbage is
//! written anew by `compaction` under the same number, so order and numbers last and only offsets move.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use super::record::{Record, body_of, split_framed};
use crate::types::Revision;

/// How many bytes of records a chunk takes before the next is begun. It bounds what one step of
/// reclamation copies; a larger record has a chunk to itself.
pub(super) const CHUNK_BYTES: usize = 256 << 10;

/// Where a record lies, and whether it is a deletion: bit 63 says so, then 31 bits of chunk number and 32
/// bits of offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Address(u64);

const TOMBSTONE: u64 = 1 << 63;

impl Address {
    pub(super) fn new(chunk: u32, offset: usize, tombstone: bool) -> Self {
        assert!(chunk < 1 << 31, "2^31 chunks are more than a process can write in its life");
        let offset = u32::try_from(offset).expect("a record is far below 4 GiB");
        let flag = if tombstone { TOMBSTONE } else { 0 };
        Self(flag | u64::from(chunk) << 32 | u64::from(offset))
    }

    pub(super) const fn is_tombstone(self) -> bool {
        self.0 & TOMBSTONE != 0
    }

    pub(super) const fn chunk(self) -> u32 {
        ((self.0 & !TOMBSTONE) >> 32) as u32
    }

    pub(super) const fn offset(self) -> usize {
        (self.0 & 0xffff_ffff) as usize
    }

    pub(super) const fn place(self) -> Place {
        Place { chunk: self.chunk(), offset: self.offset() }
    }
}

/// Where a record begins, or the next one will.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) chunk: u32,
    pub(super) offset: usize,
}

impl Place {
    /// The beginning of a chunk.
    pub(super) const fn of_chunk(chunk: u32) -> Self {
        Self { chunk, offset: 0 }
    }
}

/// Tells whether records may have moved: as long as it is the same, a [`Place`] stays what it was. Different for
/// any two stores of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout(u64);

impl Layout {
    fn new() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Ordering::Relaxed))
    }
}

/// All chunks, oldest first.
#[derive(Debug)]
pub(super) struct Chunks {
    slots: VecDeque<Slot>,
    /// The number of the first slot.
    base: u32,
    chunk_bytes: usize,
    held_bytes: u64,
    live_bytes: u64,
    /// Chunks of which at least half is garbage.
    sparse: BTreeSet<u32>,
    layout: Layout,
}

/// A chunk's place. It stays when the chunk is dropped, so that numbers and the search by revision last;
/// 16 bytes for each chunk ever written since the oldest one still held.
#[derive(Debug)]
struct Slot {
    first: Revision,
    chunk: Option<Box<Chunk>>,
}

/// A run of records.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    bytes: Memory,
    live_bytes: usize,
}

/// The memory of a chunk.
#[derive(Debug)]
enum Memory {
    /// Written here.
    Own(Vec<u8>),
    /// Read from a snapshot together with neighbours, and freed with the last of them.
    Shared(Bytes),
}

impl Default for Memory {
    fn default() -> Self {
        Self::Own(Vec::new())
    }
}

impl std::ops::Deref for Memory {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}

impl Memory {
    /// To be written to: the last chunk, or what is kept of a sparse one.
    fn own(&mut self) -> &mut Vec<u8> {
        match self {
            Self::Own(bytes) => bytes,
            Self::Shared(_) => panic!("only what was written here is written to"),
        }
    }
}

impl Chunk {
    /// Adds a record of an older form of the chunk and says at which offset it now lies.
    pub(super) fn keep(&mut self, framed: &[u8]) -> usize {
        let offset = self.bytes.len();
        self.bytes.own().extend_from_slice(framed);
        self.live_bytes += framed.len();
        offset
    }

    /// Whether the index refers to any of the records.
    pub(super) fn is_live(&self) -> bool {
        self.live_bytes > 0
    }

    /// Whether it refers to all of them.
    fn is_whole(&self) -> bool {
        self.live_bytes == self.bytes.len()
    }

    /// Every record with its offset and its bytes, tag and length included.
    pub(super) fn records(&self) -> impl Iterator<Item = (usize, &[u8])> {
        self.records_from(0)
    }

    fn records_from(&self, mut offset: usize) -> impl Iterator<Item = (usize, &[u8])> {
        std::iter::from_fn(move || {
            let rest = self.bytes.get(offset..).filter(|rest| !rest.is_empty())?;
            let (_, len) = split_framed(rest).expect("chunks hold whole records only");
            let at = offset;
            offset += len;
            Some((at, &rest[..len]))
        })
    }
}

impl Chunks {
    pub(super) fn new(chunk_bytes: usize) -> Self {
        Self {
            slots: VecDeque::new(),
            base: 0,
            chunk_bytes,
            held_bytes: 0,
            live_bytes: 0,
            sparse: BTreeSet::new(),
            layout: Layout::new(),
        }
    }

    /// Bytes of all records held, garbage included.
    pub(super) fn held_bytes(&self) -> u64 {
        self.held_bytes
    }

    /// Bytes of the records that the index refers to.
    pub(super) fn live_bytes(&self) -> u64 {
        self.live_bytes
    }

    /// Where records lie now.
    pub(super) fn layout(&self) -> Layout {
        self.layout
    }

    /// Whether the index refers to every record of a chunk.
    pub(super) fn is_whole(&self, number: u32) -> bool {
        self.chunk(number).is_some_and(Chunk::is_whole)
    }

    pub(super) fn append(&mut self, record: &Record<'_>) -> Address {
        let len = record.framed_len();
        self.make_room(len, record.mod_revision);
        let number = self.last_number().expect("room was made in the last chunk");
        let chunk = self.chunk_mut(number).expect("the last chunk is never dropped");
        let address = Address::new(number, chunk.bytes.len(), record.is_tombstone());
        record.append_framed(chunk.bytes.own());
        chunk.live_bytes += len;
        self.held_bytes += len as u64;
        self.live_bytes += len as u64;
        address
    }

    /// Behind the newest record: the next one comes there, or at the beginning of the next chunk.
    pub(super) fn end(&self) -> Place {
        let last = self.slots.back().and_then(|slot| slot.chunk.as_deref());
        let chunk = self.last_number().unwrap_or(self.base);
        Place { chunk, offset: last.map_or(0, |chunk| chunk.bytes.len()) }
    }

    /// The number of the chunk that is added next.
    pub(super) fn next_number(&self) -> u32 {
        self.last_number().map_or(self.base, |last| last + 1)
    }

    /// Takes whole records, the first of which is of revision `first`, as the next chunk. The index must refer
    /// to all of them.
    pub(super) fn adopt(&mut self, bytes: Bytes, first: Revision) {
        self.shrink_last();
        let len = bytes.len();
        self.held_bytes += len as u64;
        self.live_bytes += len as u64;
        self.slots
            .push_back(Slot { first, chunk: Some(Box::new(Chunk { bytes: Memory::Shared(bytes), live_bytes: len })) });
    }

    /// Whether an adopted chunk may have so many bytes: not many more than others, so that reclamation's steps
    /// stay as short.
    pub(super) fn adopts(&self, len: usize) -> bool {
        len <= self.chunk_bytes + self.chunk_bytes / 2
    }

    /// The bytes of a chunk, if none of them is garbage and all are of `upto` or before.
    pub(super) fn whole(&self, number: u32, upto: Revision) -> Option<&[u8]> {
        let at = number.checked_sub(self.base)? as usize;
        let chunk = self.slots.get(at)?.chunk.as_deref()?;
        // All records before the next chunk's first one are of its revision or before.
        let ends_before = self.slots.get(at + 1).is_some_and(|next| next.first <= upto);
        (ends_before && chunk.is_whole()).then_some(&chunk.bytes)
    }

    /// The record at an address of the index, tag and length included.
    pub(super) fn framed(&self, address: Address) -> &[u8] {
        let (_, len) = self.split(address);
        &self.bytes_from(address)[..len]
    }

    /// The encoded `KeyValue` at an address of the index.
    pub(super) fn body(&self, address: Address) -> &[u8] {
        self.split(address).0
    }

    /// The record at an address of the index, decoded.
    pub(super) fn record(&self, address: Address) -> Record<'_> {
        Record::parse(self.body(address)).expect("chunks hold well-formed records only")
    }

    /// The index refers no longer to this record.
    pub(super) fn release(&mut self, address: Address) {
        let (_, len) = self.split(address);
        let number = address.chunk();
        let chunk = self.chunk_mut(number).expect("the index points into held chunks");
        chunk.live_bytes -= len;
        let sparse = chunk.live_bytes * 2 <= chunk.bytes.len();
        self.live_bytes -= len as u64;
        if sparse {
            self.sparse.insert(number);
        }
    }

    /// The chunk from which on all records of `revision` and later lie.
    pub(super) fn first_chunk_of(&self, revision: Revision) -> u32 {
        let after = self.slots.partition_point(|slot| slot.first < revision);
        self.base + u32::try_from(after.saturating_sub(1)).expect("chunk numbers fit 31 bits")
    }

    /// The first chunk held that has this number or a later one.
    pub(super) fn held_from(&self, number: u32) -> Option<(u32, &Chunk)> {
        let skip = (number.saturating_sub(self.base) as usize).min(self.slots.len());
        let mut slots = self.slots.range(skip..).zip(number.max(self.base)..);
        slots.find_map(|(slot, number)| slot.chunk.as_deref().map(|chunk| (number, chunk)))
    }

    /// Records from a place on, over all later chunks, each with its address.
    pub(super) fn records_from(&self, place: Place) -> impl Iterator<Item = (Address, Record<'_>)> {
        let mut number = place.chunk;
        let held = std::iter::from_fn(move || {
            let (found, chunk) = self.held_from(number)?;
            number = found + 1;
            Some((found, chunk))
        });
        held.flat_map(move |(number, held)| {
            let from = if number == place.chunk { place.offset } else { 0 };
            held.records_from(from).map(move |(at, framed)| {
                let record = Record::parse(body_of(framed)).expect("chunks hold well-formed records only");
                (Address::new(number, at, record.is_tombstone()), record)
            })
        })
    }

    /// Has [`Self::take_sparse`] give every chunk in which there is any garbage. The one that is still appended to ends;
    /// `next` is the revision of what is written next.
    pub(super) fn mark_garbage(&mut self, next: Revision) {
        let numbered = (self.base..).zip(&self.slots);
        let with_garbage = numbered.filter(|(_, slot)| slot.chunk.as_deref().is_some_and(|chunk| !chunk.is_whole()));
        self.sparse.extend(with_garbage.map(|(number, _)| number));
        if self.last_number().is_some_and(|last| self.sparse.contains(&last)) {
            self.shrink_last();
            self.slots.push_back(Slot { first: next, chunk: Some(Box::default()) });
        }
    }

    /// Takes a chunk that is at least half garbage out, for [`Self::put_back`]. The one that is still
    /// appended to waits until it is full.
    pub(super) fn take_sparse(&mut self) -> Option<(u32, Box<Chunk>)> {
        let number = *self.sparse.first()?;
        if Some(number) == self.last_number() {
            return None;
        }
        self.sparse.remove(&number);
        let chunk = self.slot_mut(number)?.chunk.take()?;
        self.held_bytes -= chunk.bytes.len() as u64;
        Some((number, chunk))
    }

    /// Puts what was kept of a chunk in its place; nothing if it holds no record any more.
    pub(super) fn put_back(&mut self, number: u32, mut chunk: Box<Chunk>) {
        chunk.bytes.own().shrink_to_fit();
        self.layout = Layout::new();
        self.held_bytes += chunk.bytes.len() as u64;
        if !chunk.bytes.is_empty()
            && let Some(slot) = self.slot_mut(number)
        {
            slot.chunk = Some(chunk);
        }
        while self.slots.len() > 1 && self.slots.front().is_some_and(|slot| slot.chunk.is_none()) {
            self.slots.pop_front();
            self.base += 1;
        }
    }

    /// The encoded `KeyValue` at an address, and its length with tag and length.
    fn split(&self, address: Address) -> (&[u8], usize) {
        split_framed(self.bytes_from(address)).expect("chunks hold whole records only")
    }

    fn bytes_from(&self, address: Address) -> &[u8] {
        let chunk = self.chunk(address.chunk()).expect("the index points into held chunks");
        &chunk.bytes[address.offset()..]
    }

    fn make_room(&mut self, len: usize, revision: Revision) {
        let chunk_bytes = self.chunk_bytes;
        let last = self.slots.back().and_then(|slot| slot.chunk.as_deref());
        let fits = |bytes: &Vec<u8>| bytes.is_empty() || bytes.len() + len <= chunk_bytes;
        if last.is_some_and(|chunk| matches!(&chunk.bytes, Memory::Own(bytes) if fits(bytes))) {
            return;
        }
        self.shrink_last();
        let bytes = Vec::with_capacity(chunk_bytes.max(len));
        self.slots.push_back(Slot {
            first: revision,
            chunk: Some(Box::new(Chunk { bytes: Memory::Own(bytes), live_bytes: 0 })),
        });
    }

    /// Gives back the room of the last chunk that nothing will be put in.
    fn shrink_last(&mut self) {
        let spare = self.chunk_bytes / 8;
        if let Some(chunk) = self.slots.back_mut().and_then(|slot| slot.chunk.as_deref_mut())
            && let Memory::Own(bytes) = &mut chunk.bytes
            && bytes.capacity() - bytes.len() > spare
        {
            bytes.shrink_to_fit();
        }
    }

    fn last_number(&self) -> Option<u32> {
        let last = self.slots.len().checked_sub(1)?;
        Some(self.base + u32::try_from(last).expect("chunk numbers fit 31 bits"))
    }

    fn chunk(&self, number: u32) -> Option<&Chunk> {
        self.slots.get(number.checked_sub(self.base)? as usize)?.chunk.as_deref()
    }

    fn chunk_mut(&mut self, number: u32) -> Option<&mut Chunk> {
        self.slot_mut(number)?.chunk.as_deref_mut()
    }

    fn slot_mut(&mut self, number: u32) -> Option<&mut Slot> {
        self.slots.get_mut(number.checked_sub(self.base)? as usize)
    }
}
