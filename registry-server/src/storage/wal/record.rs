//! Records: what the log holds, and their bytes.
//!
//! A record is a length, a CRC-32C over all that follows and the length itself, a kind, an index and a
//! payload; integers are little-endian. The record's own checksum guards entries that are read back from a
//! file years after the batch around them was verified.

use bytes::Bytes;

/// Bytes before a record's payload: length (4), CRC (4), kind (1), index (8).
pub(super) const RECORD_HEADER_BYTES: usize = 17;

const ENTRY: u8 = 1;
const VOTE: u8 = 2;
const COMMITTED: u8 = 3;
const TRUNCATE_AFTER: u8 = 4;
const TRUNCATE_ALL: u8 = 5;
const PURGED: u8 = 6;

/// One thing the log remembers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// An entry at an index.
    Entry {
        /// The index.
        index: u64,
        /// What `consensus` has put there.
        bytes: Bytes,
    },
    /// The vote this node gave; the last one counts.
    Vote(Bytes),
    /// The committed id; the last one counts.
    Committed(Bytes),
    /// Entries after this index are gone; `None`: all are.
    TruncateAfter(Option<u64>),
    /// Entries up to this index are in a snapshot; `id` is the log id of the last of them.
    Purged {
        /// The last of them.
        index: u64,
        /// Its log id.
        id: Bytes,
    },
}

impl Record {
    fn parts(&self) -> (u8, u64, &[u8]) {
        match self {
            Self::Entry { index, bytes } => (ENTRY, *index, bytes),
            Self::Vote(bytes) => (VOTE, 0, bytes),
            Self::Committed(bytes) => (COMMITTED, 0, bytes),
            Self::TruncateAfter(Some(index)) => (TRUNCATE_AFTER, *index, &[]),
            Self::TruncateAfter(None) => (TRUNCATE_ALL, 0, &[]),
            Self::Purged { index, id } => (PURGED, *index, id),
        }
    }

    /// The record's size in the log.
    pub(super) fn encoded_len(&self) -> usize {
        RECORD_HEADER_BYTES + self.parts().2.len()
    }

    /// Appends the record's bytes.
    ///
    /// # Panics
    /// When the payload is 4 GiB or more; the queue takes none above an eighth of a segment.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let (kind, index, payload) = self.parts();
        let length = u32::try_from(payload.len()).expect("a record is smaller than a segment");
        let start = out.len();
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.push(kind);
        out.extend_from_slice(&index.to_le_bytes());
        out.extend_from_slice(payload);
        let crc = checksum(&out[start..]);
        out[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
    }

    /// Reads the record at the beginning of `bytes` and says how long it is; payloads are slices of `bytes`.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub(super) fn decode(bytes: &Bytes) -> Result<(Self, usize), &'static str> {
        let header = bytes.get(..RECORD_HEADER_BYTES).ok_or("a record is cut short")?;
        let length = u32::from_le_bytes(header[0..4].try_into().expect("four bytes")) as usize;
        let crc = u32::from_le_bytes(header[4..8].try_into().expect("four bytes"));
        let index = u64::from_le_bytes(header[9..17].try_into().expect("eight bytes"));
        let end = RECORD_HEADER_BYTES.checked_add(length).ok_or("a record's length is out of bounds")?;
        let whole = bytes.get(..end).ok_or("a record's length is out of bounds")?;
        if checksum(whole) != crc {
            return Err("a record's checksum does not match");
        }
        let payload = bytes.slice(RECORD_HEADER_BYTES..end);
        let record = match header[8] {
            ENTRY => Self::Entry { index, bytes: payload },
            VOTE => Self::Vote(payload),
            COMMITTED => Self::Committed(payload),
            TRUNCATE_AFTER => Self::TruncateAfter(Some(index)),
            TRUNCATE_ALL => Self::TruncateAfter(None),
            PURGED => Self::Purged { index, id: payload },
            _ => return Err("a record is of an unknown kind"),
        };
        Ok((record, end))
    }
}

/// CRC-32C over a whole record but its own field.
fn checksum(record: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&record[..4]), &record[8..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_kinds() -> Vec<Record> {
        vec![
            Record::Entry { index: u64::MAX, bytes: Bytes::from_static(b"entry") },
            Record::Entry { index: 0, bytes: Bytes::new() },
            Record::Vote(Bytes::from_static(b"vote")),
            Record::Committed(Bytes::from_static(b"committed")),
            Record::TruncateAfter(Some(7)),
            Record::TruncateAfter(None),
            Record::Purged { index: 9, id: Bytes::from_static(b"id") },
        ]
    }

    #[test]
    fn every_kind_survives_a_round_trip() {
        for record in all_kinds() {
            let mut out = Vec::new();
            record.encode(&mut out);
            assert_eq!(out.len(), record.encoded_len());
            out.extend_from_slice(b"what follows");
            let length = record.encoded_len();
            assert_eq!(Record::decode(&out.into()), Ok((record, length)));
        }
    }

    #[test]
    fn any_flipped_bit_and_any_cut_is_an_error() {
        for record in all_kinds() {
            let mut out = Vec::new();
            record.encode(&mut out);
            for bit in 0..out.len() * 8 {
                let mut flipped = out.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert!(Record::decode(&flipped.into()).is_err());
            }
            for length in 0..out.len() {
                assert!(Record::decode(&Bytes::copy_from_slice(&out[..length])).is_err());
            }
        }
    }
}
