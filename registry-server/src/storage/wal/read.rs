//! Reading entries: from the cache, else from the segments' files.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::log::Slot;
use super::record::{RECORD_HEADER_BYTES, Record};
use super::segment::Segment;
use super::{Core, WalError};
use crate::storage::vfs::{Vfs, VfsFile};

/// How many bytes of neighbouring records are read from a file at once.
const MAX_RUN_BYTES: u64 = 1 << 20;

/// Where a read finds an entry.
enum Source<F> {
    Cached(Bytes),
    File(Arc<Segment<F>>, Slot),
}

impl<V: Vfs> Core<V> {
    pub(super) fn read_cached(&self, range: &Range<u64>, max_bytes: usize) -> Option<Vec<(u64, Bytes)>> {
        let state = self.state.lock();
        let mut entries = Vec::new();
        let mut total = 0_usize;
        let range = state.log.clip(range);
        if !range.is_empty() && !state.log.is_cached(range.start) {
            return None;
        }
        for index in range {
            let Some((_, Some(bytes))) = state.log.get(index) else { break };
            total = total.saturating_add(bytes.len());
            if total > max_bytes && !entries.is_empty() {
                break;
            }
            entries.push((index, bytes));
        }
        Some(entries)
    }

    pub(super) fn read(&self, range: &Range<u64>, max_bytes: usize) -> io::Result<Vec<(u64, Bytes)>> {
        let sources = self.locate(range, max_bytes)?;
        let mut entries = Vec::with_capacity(sources.len());
        let mut rest = sources.as_slice();
        while let Some((index, source)) = rest.first() {
            match source {
                Source::Cached(bytes) => {
                    entries.push((*index, bytes.clone()));
                    rest = &rest[1..];
                }
                Source::File(segment, slot) => {
                    let run = run_length(rest);
                    read_run(segment, *slot, *index, run, &mut entries)?;
                    rest = &rest[run.entries..];
                }
            }
        }
        Ok(entries)
    }

    /// Finds the entries to read, under the lock; their files are read after it, and stay readable when
    /// they are removed meanwhile.
    fn locate(&self, range: &Range<u64>, max_bytes: usize) -> io::Result<Vec<(u64, Source<V::File>)>> {
        let state = self.state.lock();
        if state.jobs.is_closed() {
            return Err(io::Error::other(WalError::Closed));
        }
        let mut sources = Vec::new();
        let mut total = 0_usize;
        for index in state.log.clip(range) {
            let Some((slot, cached)) = state.log.get(index) else { break };
            total = total.saturating_add(slot.bytes as usize);
            if total > max_bytes && !sources.is_empty() {
                break;
            }
            let source = match cached {
                Some(bytes) => Source::Cached(bytes),
                None => {
                    let segment = state.position.segment(slot.segment).ok_or_else(|| {
                        io::Error::new(io::ErrorKind::NotFound, format!("entry {index} is in no log segment"))
                    })?;
                    Source::File(segment.clone(), slot)
                }
            };
            sources.push((index, source));
        }
        Ok(sources)
    }
}

/// Neighbouring records that are read at once.
#[derive(Clone, Copy)]
struct Run {
    entries: usize,
    bytes: u64,
}

/// How many of the sources, from the first on, lie directly one after another.
fn run_length<F>(sources: &[(u64, Source<F>)]) -> Run {
    let mut run = Run { entries: 0, bytes: 0 };
    let mut start: Option<(u32, u64)> = None;
    for (_, source) in sources {
        let Source::File(_, slot) = source else { break };
        let (segment, first_offset) = *start.get_or_insert((slot.segment, u64::from(slot.offset)));
        let bytes = RECORD_HEADER_BYTES as u64 + u64::from(slot.bytes);
        let follows = slot.segment == segment && u64::from(slot.offset) == first_offset + run.bytes;
        if run.entries > 0 && (!follows || run.bytes + bytes > MAX_RUN_BYTES) {
            break;
        }
        run = Run { entries: run.entries + 1, bytes: run.bytes + bytes };
    }
    run
}

fn read_run<F: VfsFile>(
    segment: &Segment<F>,
    first: Slot,
    first_index: u64,
    run: Run,
    entries: &mut Vec<(u64, Bytes)>,
) -> io::Result<()> {
    let mut buffer = vec![0; usize::try_from(run.bytes).map_err(io::Error::other)?];
    segment.file.read_exact_at(&mut buffer, u64::from(first.offset))?;
    let mut rest = Bytes::from(buffer);
    for wanted in (first_index..).take(run.entries) {
        match Record::decode(&rest) {
            Ok((Record::Entry { index, bytes }, length)) if index == wanted => {
                entries.push((index, bytes));
                rest = rest.slice(length..);
            }
            Ok(_) => return Err(damaged(segment, wanted, "another record is in its place")),
            Err(reason) => return Err(damaged(segment, wanted, reason)),
        }
    }
    Ok(())
}

fn damaged<F>(segment: &Segment<F>, index: u64, reason: &str) -> io::Error {
    let path = segment.path.display();
    io::Error::new(io::ErrorKind::InvalidData, format!("entry {index} in {path} is damaged: {reason}"))
}
