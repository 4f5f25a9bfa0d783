//! Sync batches: the unit that reaches the disk whole or is cut.
//!
//! A batch begins at a multiple of 512 bytes, so that it shares no sector with what was synced before, and
//! recovery can look for one at every sector. Its header carries a checksum of its own: when it holds, the
//! length can be trusted and a torn batch can be skipped over; the second checksum covers header and
//! payload. After a power loss any subset of its sectors may be there. The header also carries the segment's
//! salt, which no client knows, so that bytes inside an entry are never taken for a header.

use super::record::Record;

/// Batches begin at multiples of this many bytes.
pub(super) const ALIGN_BYTES: usize = 512;

/// Bytes before a batch's records: magic (4), format version (4), segment (4), salt (8), sequence number
/// (8), payload length (4), header CRC (4), body CRC (4).
pub(super) const BATCH_HEADER_BYTES: usize = 40;

const MAGIC: [u8; 4] = *b"RWAL";
/// The version of batches and records that this code reads and writes.
pub(super) const FORMAT_VERSION: u32 = 1;

/// A batch's header whose own checksum holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BatchHeader {
    /// The format of what follows; the header itself is the same in all versions.
    pub(super) version: u32,
    /// The segment it was written to.
    pub(super) segment: u32,
    /// That segment's salt.
    pub(super) salt: u64,
    /// Its number; each batch of a log has the one after its predecessor's.
    pub(super) sequence: u64,
    /// How many bytes of records follow the header.
    pub(super) payload_bytes: u32,
    body_crc: u32,
}

impl BatchHeader {
    /// Reads a header. `None`: there is no header of ours here, or it is damaged.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let header = bytes.get(..BATCH_HEADER_BYTES)?;
        let word = |at: usize| Some(u32::from_le_bytes(header.get(at..at + 4)?.try_into().ok()?));
        let long = |at: usize| Some(u64::from_le_bytes(header.get(at..at + 8)?.try_into().ok()?));
        if header[..4] != MAGIC || word(32)? != crc32c::crc32c(&header[..32]) {
            return None;
        }
        Some(Self {
            version: word(4)?,
            segment: word(8)?,
            salt: long(12)?,
            sequence: long(20)?,
            payload_bytes: word(28)?,
            body_crc: word(36)?,
        })
    }

    /// The batch's size without padding, in bytes.
    pub(super) fn unpadded_bytes(&self) -> u64 {
        BATCH_HEADER_BYTES as u64 + u64::from(self.payload_bytes)
    }

    /// Whether a whole batch (header and payload, without padding) is as it was written.
    pub(super) fn verify(&self, batch: &[u8]) -> bool {
        batch.len() as u64 == self.unpadded_bytes() && body_checksum(batch) == self.body_crc
    }
}

/// Puts records into a batch; the answer is padded with zeros to whole sectors.
///
/// # Panics
/// When the records take 4 GiB or more; the writer fits them to a segment's rest.
pub(super) fn encode<'a>(segment: u32, salt: u64, sequence: u64, records: impl Iterator<Item = &'a Record>) -> Vec<u8> {
    let mut out = vec![0; BATCH_HEADER_BYTES];
    for record in records {
        record.encode(&mut out);
    }
    let payload_bytes = u32::try_from(out.len() - BATCH_HEADER_BYTES).expect("a batch is smaller than a segment");
    out[0..4].copy_from_slice(&MAGIC);
    out[4..8].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
    out[8..12].copy_from_slice(&segment.to_le_bytes());
    out[12..20].copy_from_slice(&salt.to_le_bytes());
    out[20..28].copy_from_slice(&sequence.to_le_bytes());
    out[28..32].copy_from_slice(&payload_bytes.to_le_bytes());
    let header_crc = crc32c::crc32c(&out[..32]);
    out[32..36].copy_from_slice(&header_crc.to_le_bytes());
    let body_crc = body_checksum(&out);
    out[36..40].copy_from_slice(&body_crc.to_le_bytes());
    out.resize(out.len().next_multiple_of(ALIGN_BYTES), 0);
    out
}

/// CRC-32C over the header but its last field, and the payload.
fn body_checksum(batch: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&batch[..36]), &batch[BATCH_HEADER_BYTES..])
}

/// What a batch of this many record bytes takes in a segment.
pub(super) fn padded_bytes(record_bytes: u64) -> u64 {
    (BATCH_HEADER_BYTES as u64 + record_bytes).next_multiple_of(ALIGN_BYTES as u64)
}
