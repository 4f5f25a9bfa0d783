//! A record and its frame: the length in the lower 56 bits of 8 bytes, and how many zeros follow in the highest.
//!
//! Frames begin at multiples of 8, so that no crash can cut a length in two.

use bytes::Bytes;
use prost::{Enumeration, Message};

/// The bytes of a frame's length.
pub(super) const LENGTH_BYTES: usize = 8;
/// No record is larger, in bytes: it is a request, which are a few megabytes.
pub(super) const RECORD_BYTES_MAX: u64 = 512 << 20;
/// Disks write so many bytes at once or not at all.
const SECTOR_BYTES: u64 = 512;

/// One record.
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct Record {
    #[prost(enumeration = "RecordKind", optional, tag = "1")]
    pub(super) kind: Option<i32>,
    /// Of all data up to this record's end.
    #[prost(uint32, optional, tag = "2")]
    pub(super) crc: Option<u32>,
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub(super) data: Option<Bytes>,
}

/// What a record's data is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enumeration)]
#[repr(i32)]
pub(super) enum RecordKind {
    Unknown = 0,
    Metadata = 1,
    Entry = 2,
    State = 3,
    /// The checksum with which a file begins: that of the file before.
    Crc = 4,
    Snapshot = 5,
}

/// What the length says: the bytes of the record, and of the zeros behind it.
pub(super) const fn parse_length(field: u64) -> (u64, u64) {
    let padding = if field >> 63 == 1 { (field >> 56) & 7 } else { 0 };
    (field & (u64::MAX >> 8), padding)
}

/// A record in its frame.
pub(super) fn framed(record: &Record) -> Vec<u8> {
    let bytes = record.encoded_len();
    let padding = bytes.next_multiple_of(8) - bytes;
    let mut field = bytes as u64;
    if padding > 0 {
        field |= (0x80 | padding as u64) << 56;
    }
    let mut frame = Vec::with_capacity(LENGTH_BYTES + bytes + padding);
    frame.extend_from_slice(&field.to_le_bytes());
    record.encode_raw(&mut frame);
    frame.resize(LENGTH_BYTES + bytes + padding, 0);
    frame
}

/// Whether a sector of it was never written. It begins at this offset of its file.
pub(super) fn has_blank_sector(bytes: &[u8], offset: u64) -> bool {
    let first = usize::try_from(SECTOR_BYTES - offset % SECTOR_BYTES).unwrap_or(bytes.len()).min(bytes.len());
    let (first, others) = bytes.split_at(first);
    std::iter::once(first)
        .chain(others.chunks(SECTOR_BYTES as usize))
        .any(|sector| !sector.is_empty() && sector.iter().all(|byte| *byte == 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_come_back_and_frames_are_of_whole_words() {
        for bytes in 0..40 {
            let record = Record { kind: Some(2), crc: Some(0), data: Some(vec![1; bytes].into()) };
            let frame = framed(&record);
            let (length, padding) = parse_length(u64::from_le_bytes(frame[..8].try_into().unwrap()));
            assert_eq!((length, frame.len() % 8), (record.encoded_len() as u64, 0));
            assert_eq!(length + padding + 8, frame.len() as u64);
            assert_eq!(Record::decode(&frame[8..8 + length as usize]).unwrap(), record);
        }
    }

    #[test]
    fn only_a_whole_sector_of_zeros_is_blank() {
        let mut bytes = [1; 2048];
        bytes[100..1000].fill(0);
        assert!(!has_blank_sector(&bytes, 0));
        assert!(has_blank_sector(&bytes, 300), "sectors are those of the file");
        bytes[100..1024].fill(0);
        assert!(has_blank_sector(&bytes, 0), "the second sector");
        assert!(has_blank_sector(&[0; 8], 504), "what is left of a sector");
        assert!(!has_blank_sector(&[], 0));
    }
}
