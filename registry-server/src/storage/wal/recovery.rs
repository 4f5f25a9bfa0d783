//! Reading a log back: every batch of every segment is verified, in order.
//!
//! The log ends at the first batch that is not whole. As one batch is in flight at a time, a batch after
//! that point proves that the bad one had been synced and acknowledged: then the log is corrupt and is
//! refused. Else the bad one is the torn last write: it is cut, and the log goes on in its place (`tail`).

use std::path::Path;

use bytes::Bytes;

use super::batch::{BATCH_HEADER_BYTES, BatchHeader, padded_bytes};
use super::log::{Head, Log};
use super::record::Record;
use super::segment::{self, FIRST_BATCH_OFFSET, Segment};
use super::space::Spare;
use super::tail::{self, corrupt, read_header};
use super::writer::{Position, State, UsedSegment};
use super::{CutTail, WalError, WalOptions, directory};
use crate::storage::vfs::{Vfs, VfsFile};
use crate::types::planted::{Bug, planted};

/// Opens the log in `dir`, or makes its first segment.
pub(super) fn recover<V: Vfs>(
    vfs: &V,
    dir: &Path,
    options: &WalOptions,
) -> Result<(State<V::File>, Option<CutTail>), WalError> {
    let segments = directory::open_segments(vfs, dir, options)?;
    let mut replay = Replay::default();
    let mut used = Vec::new();
    let mut end = FIRST_BATCH_OFFSET;
    let mut rest = segments.into_iter().peekable();
    while let Some(segment) = rest.peek() {
        let (stop, max_index) = replay.segment(segment, options.cache_bytes)?;
        if stop == FIRST_BATCH_OFFSET && !used.is_empty() {
            break;
        }
        end = stop;
        used.extend(rest.next().map(|segment| UsedSegment { segment: segment.into(), max_index }));
        if stop == FIRST_BATCH_OFFSET {
            break;
        }
    }
    let last = &used.last().expect("the first segment is always used").segment;
    let rest: Vec<_> = rest.collect();
    let sequence = replay.sequence.unwrap_or(1);
    let tails = tail::scan(last, end, &rest, sequence)?;
    let cut = tail::cut(last, end, &rest, &tails);
    replay.check_beginning(&used[0].segment)?;
    tail::settle(last, replay.newest.take(), end, tails[0]).map_err(WalError::open(&last.path))?;
    let spare = keep_spare(vfs, dir, rest, &tails[1..], options)?;
    let position = Position { segments: used.into(), offset: end, sequence, head: replay.head };
    Ok((State::new(replay.log, position, spare), cut))
}

/// What the batches so far say.
#[derive(Default)]
struct Replay {
    log: Log,
    head: Head,
    /// The next batch's number; `None` before the first batch.
    sequence: Option<u64>,
    /// The last batch and its offset in its segment.
    newest: Option<(u64, Bytes)>,
}

impl Replay {
    /// Replays a segment's batches up to the first that is not the next whole one. Answers where that is and
    /// the greatest index of an entry before it.
    fn segment<F: VfsFile>(
        &mut self,
        segment: &Segment<F>,
        cache_bytes: usize,
    ) -> Result<(u64, Option<u64>), WalError> {
        let mut offset = FIRST_BATCH_OFFSET;
        let mut max_index = None;
        while let Some((header, batch)) = read_batch(segment, offset)? {
            if self.sequence.is_some_and(|sequence| sequence != header.sequence) {
                break;
            }
            if header.sequence == u64::MAX {
                return Err(corrupt(segment, offset, "a batch's number is out of bounds"));
            }
            let max = self.batch(segment, offset, &batch)?;
            max_index = max_index.max(max);
            self.sequence = Some(header.sequence + 1);
            self.newest = Some((offset, batch));
            self.log.evict(cache_bytes, 0);
            offset += padded_bytes(u64::from(header.payload_bytes));
        }
        Ok((offset, max_index))
    }

    fn batch<F>(&mut self, segment: &Segment<F>, start: u64, batch: &Bytes) -> Result<Option<u64>, WalError> {
        let mut at = BATCH_HEADER_BYTES;
        let mut max_index = None;
        while at < batch.len() {
            let offset = start + at as u64;
            let (record, length) =
                Record::decode(&batch.slice(at..)).map_err(|reason| corrupt(segment, offset, reason))?;
            if let Record::Entry { index, .. } = &record {
                max_index = max_index.max(Some(*index));
            }
            self.record(record, segment.number, offset).map_err(|reason| corrupt(segment, offset, &reason))?;
            at += length;
        }
        Ok(max_index)
    }

    fn record(&mut self, record: Record, segment: u32, offset: u64) -> Result<(), String> {
        self.head.note(&record);
        match record {
            Record::Entry { index, bytes } => {
                if index == u64::MAX {
                    return Err("an index is out of bounds".to_owned());
                }
                let expected = self.log.expected_index().unwrap_or(index);
                // The first entries may be in segments that were removed; the end of recovery checks that
                // they were purged.
                let continues = index == expected || (self.log.is_empty() && index > expected);
                if !continues {
                    return Err(format!("entry {index} is where entry {expected} belongs"));
                }
                let offset = u32::try_from(offset).map_err(|_| "a record lies beyond 4 GiB".to_owned())?;
                self.log.push(index, bytes, 0, Some((segment, offset)));
            }
            Record::Vote(vote) => self.log.set_vote(vote),
            Record::Committed(committed) => self.log.set_committed(committed),
            Record::TruncateAfter(_) if planted(Bug::RecoveryForgetsTruncation) => {}
            Record::TruncateAfter(last_kept) => self.log.truncate_after(last_kept),
            Record::Purged { index, id } => self.log.purge(index, id),
        }
        Ok(())
    }

    /// Checks that what lies before the log's first segment and entry was purged.
    fn check_beginning<F>(&self, first: &Segment<F>) -> Result<(), WalError> {
        let state = self.log.state();
        let expected = state.purged.as_ref().map(|(index, _)| index.saturating_add(1));
        let missing = match expected {
            Some(expected) => state.last_index.is_some() && state.first_index > expected,
            None => first.number > 1,
        };
        if missing || (self.sequence.is_none() && first.number > 1) {
            return Err(corrupt(first, 0, "entries before it are missing that were not purged"));
        }
        Ok(())
    }
}

/// The whole batch at `offset`; `None` when there is none or it is damaged.
fn read_batch<F: VfsFile>(segment: &Segment<F>, offset: u64) -> Result<Option<(BatchHeader, Bytes)>, WalError> {
    let Some(header) = read_header(segment, offset)? else { return Ok(None) };
    if offset + header.unpadded_bytes() > segment.capacity {
        return Ok(None);
    }
    let mut batch = vec![0; usize::try_from(header.unpadded_bytes()).expect("a segment fits in memory")];
    segment.file.read_exact_at(&mut batch, offset).map_err(WalError::open(&segment.path))?;
    Ok(header.verify(&batch).then(|| (header, batch.into())))
}

/// Keeps the segment after the last as the spare when it is as it was made; removes all others, newest
/// first, so that a crash leaves no gap.
fn keep_spare<V: Vfs>(
    vfs: &V,
    dir: &Path,
    rest: Vec<Segment<V::File>>,
    tails: &[Option<u64>],
    options: &WalOptions,
) -> Result<Spare<V::File>, WalError> {
    let mut spare = Spare::Missing;
    for (at, segment) in rest.into_iter().enumerate().rev() {
        if at == 0 && tails[at].is_none() && segment.capacity == options.segment_bytes {
            // Its zeros may be the kernel's only, when the process ended before they were synced.
            segment.file.sync_all().and_then(|()| vfs.sync_dir(dir)).map_err(WalError::open(&segment.path))?;
            spare = Spare::Ready(segment);
        } else {
            segment::remove(vfs, dir, segment.number).map_err(WalError::open(&segment.path))?;
        }
    }
    Ok(spare)
}
