//! The end of a log: is what lies behind it nothing, a torn last write, or proof of damage?

use std::io;

use bytes::Bytes;

use super::batch::{ALIGN_BYTES, BATCH_HEADER_BYTES, BatchHeader, FORMAT_VERSION, padded_bytes};
use super::segment::{FIRST_BATCH_OFFSET, Segment};
use super::{CutTail, WalError};
use crate::storage::vfs::VfsFile;
use crate::types::planted::{Bug, planted};

/// How much of a tail is looked through at once, in bytes.
const SCAN_BYTES: usize = 1 << 20;

/// What a sector that was never written holds; comparing whole sectors is one `memcmp` each.
const ZEROS: [u8; ALIGN_BYTES] = [0; ALIGN_BYTES];

/// Looks through all that lies behind the log's end: the rest of its last segment, then the segments after
/// it. Answers for each where its garbage ends; `None`: it is all zeros. `expected` is the number of the
/// batch that the log's end waits for.
///
/// # Errors
/// [`WalError::Corrupt`] when a batch with a greater number is there.
pub(super) fn scan<F: VfsFile>(
    last: &Segment<F>,
    end: u64,
    rest: &[Segment<F>],
    expected: u64,
) -> Result<Vec<Option<u64>>, WalError> {
    let mut tails = Vec::with_capacity(rest.len() + 1);
    for (segment, start) in std::iter::once((last, end)).chain(rest.iter().map(|segment| (segment, FIRST_BATCH_OFFSET)))
    {
        let tail = scan_segment(segment, start, expected)?;
        if tail.proof_of_loss {
            return Err(corrupt(last, end, "a batch is damaged or missing, and a later one is there"));
        }
        tails.push(tail.garbage_end);
    }
    Ok(tails)
}

/// What lies behind the log's end in one segment.
struct Tail {
    garbage_end: Option<u64>,
    /// A batch later than the expected one is there, so the expected one had been synced.
    proof_of_loss: bool,
}

fn scan_segment<F: VfsFile>(segment: &Segment<F>, start: u64, expected: u64) -> Result<Tail, WalError> {
    let mut tail = Tail { garbage_end: None, proof_of_loss: false };
    // A torn batch whose header is whole is stepped over: its payload is not looked at for headers.
    let torn = read_header(segment, start)?.filter(|header| header.sequence <= expected);
    let torn_end = torn.map_or(start, |header| start + padded_bytes(u64::from(header.payload_bytes)));
    each_written_sector(segment, start, |at, sector| {
        tail.garbage_end = Some(at + sector.len() as u64);
        let header = BatchHeader::decode(sector).filter(|header| belongs_to(header, segment));
        tail.proof_of_loss |= at >= torn_end && header.is_some_and(|header| header.sequence > expected);
    })?;
    Ok(tail)
}

/// Shows each sector from `start` on that is not all zeros, with its offset.
pub(super) fn each_written_sector<F: VfsFile>(
    segment: &Segment<F>,
    start: u64,
    mut look: impl FnMut(u64, &[u8]),
) -> Result<(), WalError> {
    let mut buffer = vec![0; SCAN_BYTES.min(segment.capacity.saturating_sub(start) as usize)];
    let mut offset = start;
    while offset < segment.capacity {
        let length = (segment.capacity - offset).min(buffer.len() as u64);
        let chunk = &mut buffer[..length as usize];
        segment.file.read_exact_at(chunk, offset).map_err(WalError::open(&segment.path))?;
        for (sector, at) in chunk.chunks(ALIGN_BYTES).zip((offset..).step_by(ALIGN_BYTES)) {
            if sector != &ZEROS[..sector.len()] {
                look(at, sector);
            }
        }
        offset += length;
    }
    Ok(())
}

/// Whether a header was written to this segment; one that a client put in an entry lacks the salt.
pub(super) fn belongs_to<F>(header: &BatchHeader, segment: &Segment<F>) -> bool {
    header.segment == segment.number && header.salt == segment.salt
}

/// The torn batch, when there is one; told to the operator.
pub(super) fn cut<F>(last: &Segment<F>, end: u64, rest: &[Segment<F>], tails: &[Option<u64>]) -> Option<CutTail> {
    let at = tails.iter().position(Option::is_some)?;
    let (segment, offset) = if at == 0 { (last, end) } else { (&rest[at - 1], FIRST_BATCH_OFFSET) };
    tracing::warn!(
        segment = %segment.path.display(), offset,
        "cut a torn last write of the write-ahead log; it was never acknowledged"
    );
    Some(CutTail { segment: segment.path.clone(), offset })
}

/// Makes the log's last segment what it was read as: garbage behind its end is zeroed, so that nothing of it
/// can ever be taken for data, and what was read is synced, as a process may have ended before its sync. Or its sync has
/// failed: then the kernel takes what it could not write for clean and shows it all the same, so the only batch of which
/// that can be true is written once more, over itself.
pub(super) fn settle<F: VfsFile>(
    segment: &Segment<F>,
    newest: Option<(u64, Bytes)>,
    start: u64,
    garbage_end: Option<u64>,
) -> io::Result<()> {
    if let Some((at, batch)) = newest
        && !planted(Bug::RecoveryTrustsLastBatch)
    {
        segment.file.write_all_at(&batch, at)?;
    }
    let mut left = garbage_end.map_or(0, |end| end.saturating_sub(start));
    let zeros = vec![0; SCAN_BYTES.min(left as usize)];
    let mut offset = start;
    while left > 0 {
        let length = left.min(zeros.len() as u64);
        segment.file.write_all_at(&zeros[..length as usize], offset)?;
        offset += length;
        left -= length;
    }
    segment.file.sync_data()
}

/// The header at `offset`, when it is whole and this segment's.
pub(super) fn read_header<F: VfsFile>(segment: &Segment<F>, offset: u64) -> Result<Option<BatchHeader>, WalError> {
    let mut header = [0; BATCH_HEADER_BYTES];
    if offset + header.len() as u64 > segment.capacity {
        return Ok(None);
    }
    segment.file.read_exact_at(&mut header, offset).map_err(WalError::open(&segment.path))?;
    match BatchHeader::decode(&header).filter(|header| belongs_to(header, segment)) {
        Some(header) if header.version != FORMAT_VERSION => {
            let reason = format!("it has format version {}, this program knows {FORMAT_VERSION}", header.version);
            Err(corrupt(segment, offset, &reason))
        }
        header => Ok(header),
    }
}

pub(super) fn corrupt<F>(segment: &Segment<F>, offset: u64, reason: &str) -> WalError {
    WalError::Corrupt { segment: segment.path.clone(), offset, reason: reason.to_owned() }
}
