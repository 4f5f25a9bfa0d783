//! Looking through a log without opening it: nothing is locked, cut or written, and damage ends nothing.
//!
//! It may be done while a node writes: what is purged meanwhile is not there, and a batch that is being written looks like
//! a torn one. What `recovery` refuses is told with its place, and what can be read behind it is read.

use std::path::Path;

use bytes::Bytes;

use super::WalError;
use super::batch::{BATCH_HEADER_BYTES, BatchHeader, padded_bytes};
use super::record::Record;
use super::segment::{FIRST_BATCH_OFFSET, Header, Segment, segment_number};
use super::tail::{belongs_to, each_written_sector, read_header};
use crate::storage::vfs::{OpenMode, Vfs, VfsFile};

/// What was found, and in which file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A file of the log begins.
    Segment {
        /// Its number.
        number: u32,
        /// Its size.
        bytes: u64,
    },
    /// A record of a batch.
    Record {
        /// Where it is, in bytes.
        offset: u64,
        /// The batch's number.
        batch: u64,
        /// The record.
        record: Record,
    },
    /// Something is not as it was written, and what follows it shows that it was acknowledged.
    Damage {
        /// Where, in bytes.
        offset: u64,
        /// What is wrong there.
        reason: String,
    },
    /// Nothing follows what is there: it is being written, or was torn and never acknowledged; a start cuts it.
    Unfinished {
        /// Where it begins, in bytes.
        offset: u64,
    },
}

/// Tells all that is in a log's directory, oldest first. Blocks.
///
/// # Errors
/// [`WalError::Open`] when the file system refuses; whatever `tell` answers ends it as well.
pub fn survey<V: Vfs, E: From<WalError>>(
    vfs: &V,
    dir: &Path,
    mut tell: impl FnMut(&Path, Found) -> Result<(), E>,
) -> Result<(), E> {
    let segments = open(vfs, dir)?;
    let mut expected = None;
    for (at, (segment, header)) in segments.iter().enumerate() {
        let mut tell = |found| tell(&segment.path, found);
        tell(Found::Segment { number: segment.number, bytes: segment.capacity })?;
        let rest = &segments[at + 1..];
        if at > 0 && segments[at - 1].0.number.checked_add(1) != Some(segment.number) {
            tell(Found::Damage { offset: 0, reason: "the file before it is missing".to_owned() })?;
        }
        match header {
            Header::Whole => walk(segment, rest, &mut expected, &mut tell)?,
            Header::OtherVersion(version) => {
                let reason = format!("it has format version {version}, which this program does not know");
                tell(Found::Damage { offset: 0, reason })?;
            }
            // The last one may be in the making.
            Header::Missing if rest.is_empty() && at > 0 => tell(Found::Unfinished { offset: 0 })?,
            Header::Missing => tell(Found::Damage { offset: 0, reason: "its header is damaged".to_owned() })?,
        }
    }
    Ok(())
}

type Opened<F> = (Segment<F>, Header);

/// The files that are there; one may be removed at any time.
fn open<V: Vfs>(vfs: &V, dir: &Path) -> Result<Vec<Opened<V::File>>, WalError> {
    let names = vfs.list(dir).map_err(WalError::open(dir))?;
    let mut numbers: Vec<u32> = names.iter().filter_map(|name| segment_number(name)).collect();
    numbers.sort_unstable();
    let mut segments = Vec::with_capacity(numbers.len());
    for number in numbers {
        match Segment::open_as(vfs, dir, number, OpenMode::Read) {
            Ok(opened) => segments.push(opened),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(WalError::open(dir)(error)),
        }
    }
    Ok(segments)
}

/// Tells the batches of one file.
fn walk<F: VfsFile, E: From<WalError>>(
    segment: &Segment<F>,
    rest: &[Opened<F>],
    expected: &mut Option<u64>,
    tell: &mut impl FnMut(Found) -> Result<(), E>,
) -> Result<(), E> {
    let mut offset = FIRST_BATCH_OFFSET;
    loop {
        let header = match read_header(segment, offset) {
            Ok(header) => header,
            Err(WalError::Corrupt { offset, reason, .. }) => return tell(Found::Damage { offset, reason }),
            Err(error) => return Err(error.into()),
        };
        let batch = header.map(|header| whole(segment, offset, &header)).transpose()?.flatten();
        if let (Some(header), Some(batch)) = (header, &batch)
            && header.verify(batch)
        {
            if let Some(expected) = expected.filter(|expected| *expected != header.sequence) {
                let reason = format!("batch {} is where batch {expected} belongs", header.sequence);
                tell(Found::Damage { offset, reason })?;
            }
            if let Some((at, reason)) = records(offset, &header, batch, tell)? {
                tell(Found::Damage { offset: at, reason: reason.to_owned() })?;
            }
            *expected = header.sequence.checked_add(1);
            offset += padded_bytes(u64::from(header.payload_bytes));
            continue;
        }
        let behind = header.map_or(offset, |header| offset + padded_bytes(u64::from(header.payload_bytes)));
        let next = next_batch(segment, behind, *expected)?;
        let is_followed = next.is_some() || is_followed_by(rest, *expected)?;
        match (header, batch) {
            _ if !is_followed => return end(segment, offset, tell),
            (Some(header), Some(batch)) => {
                // What is whole in it is told, as each record has a checksum of its own.
                let (at, reason) = records(offset, &header, &batch, tell)?
                    .unwrap_or((offset, "the batch's checksum does not match, and each of its records' does"));
                tell(Found::Damage { offset: at, reason: reason.to_owned() })?;
                *expected = header.sequence.checked_add(1);
            }
            _ => tell(Found::Damage { offset, reason: "a batch is damaged or missing".to_owned() })?,
        }
        let Some((next, sequence)) = next else { return Ok(()) };
        (offset, *expected) = (next, Some(sequence));
    }
}

/// The bytes of a batch; none where the file ends before it does.
fn whole<F: VfsFile>(segment: &Segment<F>, offset: u64, header: &BatchHeader) -> Result<Option<Bytes>, WalError> {
    if offset + header.unpadded_bytes() > segment.capacity {
        return Ok(None);
    }
    let mut batch = vec![0; header.unpadded_bytes() as usize];
    segment.file.read_exact_at(&mut batch, offset).map_err(WalError::open(&segment.path))?;
    Ok(Some(batch.into()))
}

/// Tells a batch's records, up to the first that is damaged: where, and how.
fn records<E>(
    start: u64,
    header: &BatchHeader,
    batch: &Bytes,
    tell: &mut impl FnMut(Found) -> Result<(), E>,
) -> Result<Option<(u64, &'static str)>, E> {
    let mut at = BATCH_HEADER_BYTES;
    while at < batch.len() {
        let offset = start + at as u64;
        match Record::decode(&batch.slice(at..)) {
            Ok((record, length)) => {
                tell(Found::Record { offset, batch: header.sequence, record })?;
                at += length;
            }
            Err(reason) => return Ok(Some((offset, reason))),
        }
    }
    Ok(None)
}

/// The next place behind `from` where a later batch begins, with its number.
fn next_batch<F: VfsFile>(
    segment: &Segment<F>,
    from: u64,
    expected: Option<u64>,
) -> Result<Option<(u64, u64)>, WalError> {
    let mut next = None;
    each_written_sector(segment, from, |at, sector| {
        let header = BatchHeader::decode(sector).filter(|header| belongs_to(header, segment));
        let later = header.filter(|header| expected.is_none_or(|expected| header.sequence > expected));
        next = next.or(later.map(|header| (at, header.sequence)));
    })?;
    Ok(next)
}

/// Whether the next file begins with a batch behind the one that is expected.
fn is_followed_by<F: VfsFile>(rest: &[Opened<F>], expected: Option<u64>) -> Result<bool, WalError> {
    let Some((segment, Header::Whole)) = rest.first() else { return Ok(false) };
    let first = read_header(segment, FIRST_BATCH_OFFSET)?;
    Ok(first.is_some_and(|first| expected.is_none_or(|expected| first.sequence > expected)))
}

/// Zeros are the room that is left; anything else is the beginning of a batch.
fn end<F: VfsFile, E: From<WalError>>(
    segment: &Segment<F>,
    offset: u64,
    tell: &mut impl FnMut(Found) -> Result<(), E>,
) -> Result<(), E> {
    let mut is_written = false;
    each_written_sector(segment, offset, |_, _| is_written = true)?;
    if is_written { tell(Found::Unfinished { offset }) } else { Ok(()) }
}
