//! A key-value in the form in which it is stored, and the view of it that is read in place.
//!
//! On the wire and in memory a record is field 2, length-delimited: a tag byte, the length as a varint, the
//! encoded `mvccpb.KeyValue`. Range answers take such records as they are. The encoding is prost's, byte for
//! byte, with fields in order and zeros left out, so equal key-values are equal bytes.

use bytes::{Buf, Bytes};
use prost::encoding::{WireType, decode_key, decode_varint, encode_key, encode_varint, encoded_len_varint};
use registry_proto::stored::{put_record, record_len};

use super::MvccError;
use crate::types::{LeaseId, Revision};

/// The field that a record is in a range answer, and so in the chunks.
const RECORD_FIELD: u32 = 2;
/// Every tag in a `KeyValue` is one byte, since its field numbers are below 16.
const TAG_LEN: usize = 1;

const KEY: u32 = 1;
const CREATE_REVISION: u32 = 2;
const MOD_REVISION: u32 = 3;
const VERSION: u32 = 4;
const VALUE: u32 = 5;
const LEASE: u32 = 6;

/// One state of one key, read in place from its encoded form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// The key.
    pub key: &'a [u8],
    /// When the key was created, counted from its last deletion; 0 for a deletion.
    pub create_revision: Revision,
    /// When this state came to be.
    pub mod_revision: Revision,
    /// How many puts since the key was created, this one included; 0 for a deletion.
    pub version: i64,
    /// The value; empty for a deletion.
    pub value: &'a [u8],
    /// The lease that holds the key; 0 for none.
    pub lease: LeaseId,
}

impl<'a> Record<'a> {
    /// The state of a key that was deleted.
    pub(super) const fn tombstone(key: &'a [u8], at: Revision) -> Self {
        Self { key, create_revision: Revision(0), mod_revision: at, version: 0, value: &[], lease: LeaseId(0) }
    }

    /// Whether it is of a key that was deleted.
    #[must_use]
    pub const fn is_tombstone(&self) -> bool {
        self.version == 0
    }

    /// How many bytes [`Self::append_framed`] writes.
    pub(super) fn framed_len(&self) -> usize {
        record_len(RECORD_FIELD, self.body_len())
    }

    /// Appends tag, length and the encoded `KeyValue`.
    pub(super) fn append_framed(&self, buffer: &mut Vec<u8>) {
        encode_key(RECORD_FIELD, WireType::LengthDelimited, buffer);
        encode_varint(self.body_len() as u64, buffer);
        self.append_body(buffer);
    }

    /// Where the value lies in the framed record, `framed_len` bytes long: the lease alone follows it.
    pub(super) fn value_within(&self, framed_len: usize) -> std::ops::Range<usize> {
        let lease = match self.lease.0 {
            0 => 0,
            lease => TAG_LEN + encoded_len_varint(lease.cast_unsigned()),
        };
        let end = framed_len - lease;
        end - self.value.len()..end
    }

    /// The encoded `mvccpb.KeyValue`.
    #[must_use]
    pub fn to_body(self) -> Bytes {
        let mut buffer = Vec::with_capacity(self.body_len());
        self.append_body(&mut buffer);
        buffer.into()
    }

    /// Reads an encoded `KeyValue`. Unknown fields and encodings that this store would not write are
    /// refused, because copies of a record are compared and hashed by their bytes.
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, MvccError> {
        let mut record = Self::tombstone(&[], Revision(0));
        let mut rest = body;
        let mut last_field = 0;
        while rest.has_remaining() {
            let (field, wire_type) = decode_key(&mut rest).map_err(|_| MvccError::corrupt("bad tag"))?;
            if field <= last_field {
                return Err(MvccError::corrupt("fields out of order"));
            }
            last_field = field;
            let number = decode_varint(&mut rest).map_err(|_| MvccError::corrupt("bad varint"))?;
            match (field, wire_type) {
                (KEY, WireType::LengthDelimited) => record.key = take(&mut rest, number)?,
                (VALUE, WireType::LengthDelimited) => record.value = take(&mut rest, number)?,
                (CREATE_REVISION, WireType::Varint) => record.create_revision = Revision(number.cast_signed()),
                (MOD_REVISION, WireType::Varint) => record.mod_revision = Revision(number.cast_signed()),
                (VERSION, WireType::Varint) => record.version = number.cast_signed(),
                (LEASE, WireType::Varint) => record.lease = LeaseId(number.cast_signed()),
                _ => return Err(MvccError::corrupt("unknown field")),
            }
        }
        if record.body_len() == body.len() { Ok(record) } else { Err(MvccError::corrupt("not the shortest encoding")) }
    }

    fn numbers(&self) -> [(u32, i64); 4] {
        [
            (CREATE_REVISION, self.create_revision.0),
            (MOD_REVISION, self.mod_revision.0),
            (VERSION, self.version),
            (LEASE, self.lease.0),
        ]
    }

    fn body_len(&self) -> usize {
        let bytes = |bytes: &[u8]| {
            if bytes.is_empty() { 0 } else { TAG_LEN + encoded_len_varint(bytes.len() as u64) + bytes.len() }
        };
        let numbers = self.numbers().into_iter().filter(|(_, number)| *number != 0);
        let numbers: usize = numbers.map(|(_, number)| TAG_LEN + encoded_len_varint(number.cast_unsigned())).sum();
        bytes(self.key) + bytes(self.value) + numbers
    }

    fn append_body(&self, buffer: &mut Vec<u8>) {
        let [create, modified, version, lease] = self.numbers();
        append_bytes(KEY, self.key, buffer);
        [create, modified, version].into_iter().for_each(|number| append_number(number, buffer));
        append_bytes(VALUE, self.value, buffer);
        append_number(lease, buffer);
    }
}

/// Splits the first record off `bytes`: its `KeyValue`, and the length of the whole with tag and length.
pub(super) fn split_framed(bytes: &[u8]) -> Result<(&[u8], usize), MvccError> {
    let mut rest = bytes;
    let tag = decode_key(&mut rest).map_err(|_| MvccError::corrupt("bad record tag"))?;
    if tag != (RECORD_FIELD, WireType::LengthDelimited) {
        return Err(MvccError::corrupt("not a record"));
    }
    let len = decode_varint(&mut rest).map_err(|_| MvccError::corrupt("bad record length"))?;
    let body = take(&mut rest, len)?;
    Ok((body, bytes.len() - rest.len()))
}

/// The records of a snapshot's block, up to the first that is none.
pub fn records(block: &[u8]) -> impl Iterator<Item = Result<Record<'_>, MvccError>> {
    let mut rest = block;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let next = split_framed(rest).and_then(|(body, len)| Ok((Record::parse(body)?, len)));
        rest = next.as_ref().map_or(&[], |(_, len)| &rest[*len..]);
        Some(next.map(|(record, _)| record))
    })
}

/// The `KeyValue` of a record that this store wrote or checked.
pub(super) fn body_of(framed: &[u8]) -> &[u8] {
    split_framed(framed).expect("chunks hold whole records only").0
}

/// The key of an encoded `KeyValue` that this store wrote, sharing its bytes.
pub(super) fn key_in(body: &Bytes) -> Bytes {
    body.slice_ref(Record::parse(body).expect("the store wrote this record").key)
}

fn take<'a>(rest: &mut &'a [u8], len: u64) -> Result<&'a [u8], MvccError> {
    let len = usize::try_from(len).map_err(|_| MvccError::corrupt("length out of range"))?;
    let (head, tail) = rest.split_at_checked(len).ok_or(MvccError::corrupt("cut short"))?;
    *rest = tail;
    Ok(head)
}

fn append_bytes(field: u32, bytes: &[u8], buffer: &mut Vec<u8>) {
    if !bytes.is_empty() {
        put_record(field, bytes, buffer);
    }
}

fn append_number((field, number): (u32, i64), buffer: &mut Vec<u8>) {
    if number != 0 {
        encode_key(field, WireType::Varint, buffer);
        encode_varint(number.cast_unsigned(), buffer);
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use registry_proto::mvccpb::KeyValue;

    use super::*;

    fn sample() -> Record<'static> {
        Record {
            key: b"services/a",
            create_revision: Revision(300),
            mod_revision: Revision(70_000),
            version: 9,
            value: b"10.0.0.1:80",
            lease: LeaseId(0x7777_1234_5678_9abc),
        }
    }

    #[test]
    fn a_record_is_encoded_as_prost_does() {
        let record = sample();
        let message = KeyValue {
            key: record.key.into(),
            create_revision: 300,
            mod_revision: 70_000,
            version: 9,
            value: record.value.into(),
            lease: record.lease.0,
        };
        assert_eq!(record.to_body(), message.encode_to_vec());
        assert_eq!(Record::parse(&message.encode_to_vec()), Ok(record));
    }

    #[test]
    fn a_framed_record_is_split_off_whole() {
        let mut bytes = Vec::new();
        sample().append_framed(&mut bytes);
        assert_eq!(bytes.len(), sample().framed_len());
        let len = bytes.len();
        bytes.extend_from_slice(b"rest");
        let (body, taken) = split_framed(&bytes).unwrap();
        assert_eq!((Record::parse(body).unwrap(), taken), (sample(), len));
    }

    #[test]
    fn no_cut_of_a_record_is_read() {
        let mut bytes = Vec::new();
        sample().append_framed(&mut bytes);
        for len in 0..bytes.len() {
            assert!(split_framed(&bytes[..len]).is_err(), "{len}");
        }
    }

    #[test]
    fn only_the_encoding_that_this_store_writes_is_read() {
        let key = [0x0a, 1, b'k'];
        let body = |rest: &[u8]| [&key, rest].concat();
        assert!(Record::parse(&body(&[0x18, 2])).is_ok());
        assert!(Record::parse(&body(&[0x18, 0x82, 0])).is_err(), "a longer varint");
        assert!(Record::parse(&body(&[0x18, 2, 0x20, 0])).is_err(), "a zero written out");
        assert!(Record::parse(&body(&[0x20, 1, 0x18, 2])).is_err(), "fields out of order");
        assert!(Record::parse(&body(&[0x18, 2, 0x18, 2])).is_err(), "a field twice");
        assert!(Record::parse(&body(&[0x38, 1])).is_err(), "an unknown field");
    }
}
