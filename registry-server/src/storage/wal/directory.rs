//! The files of a log's directory, before their batches are read: which are there, and which were finished.
//!
//! One segment at a time is being made, after all others. So only the last file may lack its header, and
//! only when no batch was ever written to it; anything else is damage.

use std::path::Path;

use super::batch::BatchHeader;
use super::segment::{self, Header, Segment};
use super::space::is_no_space;
use super::tail::{corrupt, each_written_sector};
use super::{SEGMENT_BYTES, WalError, WalOptions};
use crate::storage::vfs::{Vfs, VfsFile};

/// Opens the segments, oldest first and without gaps; makes the first one of a new log.
pub(super) fn open_segments<V: Vfs>(
    vfs: &V,
    dir: &Path,
    options: &WalOptions,
) -> Result<Vec<Segment<V::File>>, WalError> {
    let names = vfs.list(dir).map_err(WalError::open(dir))?;
    let mut numbers: Vec<u32> = names.iter().filter_map(|name| segment::segment_number(name)).collect();
    numbers.sort_unstable();
    let mut segments: Vec<Segment<V::File>> = Vec::new();
    for (at, number) in numbers.iter().copied().enumerate() {
        let (segment, header) =
            Segment::open(vfs, dir, number).map_err(WalError::open(dir.join(segment::segment_name(number))))?;
        if segments.last().is_some_and(|last| last.number.checked_add(1) != Some(number)) {
            return Err(corrupt(&segment, 0, "the file before it is missing"));
        }
        check_header(&segment, header)?;
        if header == Header::Whole {
            segments.push(segment);
        } else {
            check_unfinished(&segment, at, numbers.len())?;
            segment::remove(vfs, dir, number).map_err(WalError::open(&segment.path))?;
        }
    }
    if segments.is_empty() {
        segments.push(create_first(vfs, dir, options)?);
    }
    Ok(segments)
}

fn check_header<F>(segment: &Segment<F>, header: Header) -> Result<(), WalError> {
    if segment.capacity > *SEGMENT_BYTES.end() {
        return Err(corrupt(segment, *SEGMENT_BYTES.end(), "the file is larger than any segment"));
    }
    match header {
        Header::OtherVersion(version) => {
            Err(corrupt(segment, 0, &format!("it has format version {version}, which this program does not know")))
        }
        Header::Whole | Header::Missing => Ok(()),
    }
}

/// Checks that a segment without a header, the `at`th of `count`, is one whose making was interrupted.
fn check_unfinished<F: VfsFile>(segment: &Segment<F>, at: usize, count: usize) -> Result<(), WalError> {
    let (mut written, mut batches) = (false, false);
    each_written_sector(segment, 0, |_, sector| {
        written = true;
        batches |= BatchHeader::decode(sector).is_some_and(|header| header.segment == segment.number);
    })?;
    // Nothing vouches that a log's first file was never used, so its bytes must not be thrown away.
    let unfinished = if at == 0 { segment.number == 1 && !written } else { !batches };
    if at + 1 == count && unfinished { Ok(()) } else { Err(corrupt(segment, 0, "its header is damaged")) }
}

fn create_first<V: Vfs>(vfs: &V, dir: &Path, options: &WalOptions) -> Result<Segment<V::File>, WalError> {
    Segment::create(vfs, dir, 1, options.segment_bytes, options.salt)
        .map_err(|error| if is_no_space(&error) { WalError::NoSpace } else { WalError::open(dir)(error) })
}
