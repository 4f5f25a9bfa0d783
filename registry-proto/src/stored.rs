//! Answers whose records are written from stored bytes.
//!
//! The server keeps each key-value in its encoded form. [`Records`] holds a repeated field either as
//! such bytes, tags and lengths included, so that a range answer is a header and one copy, or as decoded
//! messages, which is what a client receives. [`RangeResponse`] and [`WatchResponse`] are otherwise what
//! prost would generate; on the wire nobody can tell the difference.

use bytes::{Buf, BufMut, Bytes};
use prost::encoding::{
    DecodeContext, WireType, bool, encode_key, encode_varint, encoded_len_varint, int64, key_len, message, string,
};
use prost::{DecodeError, Message};

use crate::etcdserverpb::ResponseHeader;
use crate::mvccpb::{Event, KeyValue};

/// The repeated field number `FIELD` with messages `M`.
#[derive(Debug, Clone)]
pub enum Records<M, const FIELD: u32> {
    /// Whole records as they stand on the wire: tag, length, message, again and again.
    Stored(Bytes),
    /// Decoded messages.
    Decoded(Vec<M>),
}

/// The key-values of a range answer.
pub type KeyValues = Records<KeyValue, 2>;
/// The events of a watch answer.
pub type Events = Records<Event, 11>;

impl<M, const FIELD: u32> Default for Records<M, FIELD> {
    fn default() -> Self {
        Self::Decoded(Vec::new())
    }
}

impl<M: Message + Default, const FIELD: u32> Records<M, FIELD> {
    /// No record at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Stored(bytes) => bytes.is_empty(),
            Self::Decoded(messages) => messages.is_empty(),
        }
    }

    /// How many bytes are held encoded.
    #[must_use]
    pub fn stored_len(&self) -> usize {
        match self {
            Self::Stored(bytes) => bytes.len(),
            Self::Decoded(_) => 0,
        }
    }

    /// The messages, decoded if they are not yet.
    ///
    /// # Errors
    /// When stored bytes are not records of this field, which only a bug of the writer can cause.
    pub fn into_messages(self) -> Result<Vec<M>, DecodeError> {
        match self {
            Self::Stored(bytes) => decode_records::<M, FIELD>(bytes),
            Self::Decoded(messages) => Ok(messages),
        }
    }

    fn encode(&self, buffer: &mut impl BufMut) {
        match self {
            Self::Stored(bytes) => buffer.put_slice(bytes),
            Self::Decoded(messages) => message::encode_repeated(FIELD, messages, buffer),
        }
    }

    fn encoded_len(&self) -> usize {
        match self {
            Self::Stored(bytes) => bytes.len(),
            Self::Decoded(messages) => message::encoded_len_repeated(FIELD, messages),
        }
    }

    fn merge(&mut self, wire_type: WireType, buffer: &mut impl Buf, context: DecodeContext) -> Result<(), DecodeError> {
        if let Self::Stored(bytes) = self {
            *self = Self::Decoded(decode_records::<M, FIELD>(std::mem::take(bytes))?);
        }
        let Self::Decoded(messages) = self else { unreachable!("stored records were decoded above") };
        message::merge_repeated(wire_type, messages, buffer, context)
    }
}

fn decode_records<M: Message + Default, const FIELD: u32>(mut bytes: Bytes) -> Result<Vec<M>, DecodeError> {
    let mut messages = Vec::new();
    while bytes.has_remaining() {
        let (_, wire_type) = prost::encoding::decode_key(&mut bytes)?;
        message::merge_repeated(wire_type, &mut messages, &mut bytes, DecodeContext::default())?;
    }
    Ok(messages)
}

/// Writes one record of a repeated field, tag and length first, from an already encoded message.
pub fn put_record(field: u32, encoded: &[u8], buffer: &mut impl BufMut) {
    encode_key(field, WireType::LengthDelimited, buffer);
    encode_varint(encoded.len() as u64, buffer);
    buffer.put_slice(encoded);
}

/// How many bytes [`put_record`] writes for a message of `len` bytes.
#[must_use]
pub fn record_len(field: u32, len: usize) -> usize {
    key_len(field) + encoded_len_varint(len as u64) + len
}

/// The answer of Range.
#[derive(Debug, Clone, Default)]
pub struct RangeResponse {
    /// Who answered, and at which revision.
    pub header: Option<ResponseHeader>,
    /// The key-values; empty for a count.
    pub kvs: KeyValues,
    /// More keys matched than `limit` let through.
    pub more: bool,
    /// All keys in the range, whatever `limit` and revision filters left out.
    pub count: i64,
}

impl Message for RangeResponse {
    fn encode_raw(&self, buffer: &mut impl BufMut) {
        if let Some(header) = &self.header {
            message::encode(1, header, buffer);
        }
        self.kvs.encode(buffer);
        if self.more {
            bool::encode(3, &self.more, buffer);
        }
        if self.count != 0 {
            int64::encode(4, &self.count, buffer);
        }
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buffer: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        match tag {
            1 => message::merge(wire_type, self.header.get_or_insert_default(), buffer, context),
            2 => self.kvs.merge(wire_type, buffer, context),
            3 => bool::merge(wire_type, &mut self.more, buffer, context),
            4 => int64::merge(wire_type, &mut self.count, buffer, context),
            _ => prost::encoding::skip_field(wire_type, tag, buffer, context),
        }
    }

    fn encoded_len(&self) -> usize {
        self.header.as_ref().map_or(0, |header| message::encoded_len(1, header))
            + self.kvs.encoded_len()
            + if self.more { bool::encoded_len(3, &self.more) } else { 0 }
            + if self.count != 0 { int64::encoded_len(4, &self.count) } else { 0 }
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

/// The answer of Watch. `watch_id` is written first, so that what follows it is the same for every
/// watcher of the same events.
#[derive(Debug, Clone, Default)]
pub struct WatchResponse {
    /// Who answered, and up to which revision the watcher is current.
    pub header: Option<ResponseHeader>,
    /// Which watcher; -1 for the whole stream.
    pub watch_id: i64,
    /// The answer to a create request.
    pub created: bool,
    /// The watcher has ended; no event follows.
    pub canceled: bool,
    /// Where history now begins, when that is why the watcher was cancelled.
    pub compact_revision: i64,
    /// Why the watcher was cancelled.
    pub cancel_reason: String,
    /// More events of the same revision follow in the next answer.
    pub fragment: bool,
    /// What happened, in the order of revisions.
    pub events: Events,
}

impl Message for WatchResponse {
    fn encode_raw(&self, buffer: &mut impl BufMut) {
        if self.watch_id != 0 {
            int64::encode(2, &self.watch_id, buffer);
        }
        if let Some(header) = &self.header {
            message::encode(1, header, buffer);
        }
        for (tag, flag) in [(3, self.created), (4, self.canceled), (7, self.fragment)] {
            if flag {
                bool::encode(tag, &flag, buffer);
            }
        }
        if self.compact_revision != 0 {
            int64::encode(5, &self.compact_revision, buffer);
        }
        if !self.cancel_reason.is_empty() {
            string::encode(6, &self.cancel_reason, buffer);
        }
        self.events.encode(buffer);
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buffer: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        match tag {
            1 => message::merge(wire_type, self.header.get_or_insert_default(), buffer, context),
            2 => int64::merge(wire_type, &mut self.watch_id, buffer, context),
            3 => bool::merge(wire_type, &mut self.created, buffer, context),
            4 => bool::merge(wire_type, &mut self.canceled, buffer, context),
            5 => int64::merge(wire_type, &mut self.compact_revision, buffer, context),
            6 => string::merge(wire_type, &mut self.cancel_reason, buffer, context),
            7 => bool::merge(wire_type, &mut self.fragment, buffer, context),
            11 => self.events.merge(wire_type, buffer, context),
            _ => prost::encoding::skip_field(wire_type, tag, buffer, context),
        }
    }

    fn encoded_len(&self) -> usize {
        let flags = [self.created, self.canceled, self.fragment];
        self.header.as_ref().map_or(0, |header| message::encoded_len(1, header))
            + if self.watch_id != 0 { int64::encoded_len(2, &self.watch_id) } else { 0 }
            + 2 * flags.iter().filter(|flag| **flag).count()
            + if self.compact_revision != 0 { int64::encoded_len(5, &self.compact_revision) } else { 0 }
            + if self.cancel_reason.is_empty() { 0 } else { string::encoded_len(6, &self.cancel_reason) }
            + self.events.encoded_len()
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

/// Answers are compared by what they say, not by how their records are held.
impl<M: Message + Default + PartialEq, const FIELD: u32> PartialEq for Records<M, FIELD> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Stored(left), Self::Stored(right)) => left == right,
            _ => self.to_wire() == other.to_wire(),
        }
    }
}

impl<M: Message + Default, const FIELD: u32> Records<M, FIELD> {
    fn to_wire(&self) -> Vec<u8> {
        let mut buffer = Vec::with_capacity(self.encoded_len());
        self.encode(&mut buffer);
        buffer
    }
}

impl PartialEq for RangeResponse {
    fn eq(&self, other: &Self) -> bool {
        self.header == other.header && self.kvs == other.kvs && self.more == other.more && self.count == other.count
    }
}
