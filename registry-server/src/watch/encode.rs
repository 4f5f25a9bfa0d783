//! Events as they stand in a watch answer, each run of events encoded once.
//!
//! Key-values are copied as the store keeps them. Watchers of different ranges that get the same events
//! share the bytes too, which for a revision of one event is every watcher with the same `prev_kv`.

use std::collections::BTreeMap;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use registry_proto::stored::{put_record, record_len};

use super::groups::Matched;
use crate::mvcc::{Event, EventKind, RevisionEvents};

/// `WatchResponse.events`.
const EVENTS: u32 = 11;
/// `Event.kv` and `Event.prev_kv`.
const KV: u32 = 2;
const PREV_KV: u32 = 3;
/// `Event.type` = DELETE; PUT is the default and takes no bytes.
const TYPE_DELETE: [u8; 2] = [0x08, 0x01];

/// Encodes the events of one revision for many groups.
pub(super) struct BatchEncoder<'a> {
    batch: &'a RevisionEvents,
    /// By first event, number of events and `prev_kv`.
    runs: BTreeMap<(usize, usize, bool), Bytes>,
}

impl<'a> BatchEncoder<'a> {
    pub(super) fn new(batch: &'a RevisionEvents) -> Self {
        Self { batch, runs: BTreeMap::new() }
    }

    /// The matched events as records of an answer.
    pub(super) fn records(&mut self, matched: &Matched, prev_kv: bool) -> Bytes {
        let (Some(first), Some(last)) = (matched.first(), matched.last()) else { return Bytes::new() };
        let is_run = last - first + 1 == matched.len();
        if !is_run {
            return encoded(self.batch, matched, prev_kv);
        }
        let run = self.runs.entry((*first, matched.len(), prev_kv));
        run.or_insert_with(|| encoded(self.batch, matched, prev_kv)).clone()
    }
}

/// Splits records into parts of whole events, each below `max_bytes` unless one event alone is above it.
pub(super) fn split(records: &Bytes, max_bytes: usize) -> Vec<Bytes> {
    let mut parts = Vec::new();
    let (mut part_start, mut at) = (0, 0);
    while at < records.len() {
        let end = at + first_record_len(&records[at..]);
        if at > part_start && end - part_start >= max_bytes {
            parts.push(records.slice(part_start..at));
            part_start = at;
        }
        at = end;
    }
    parts.push(records.slice(part_start..));
    parts
}

/// The length of the first record, tag and length included; all bytes if they are no record.
fn first_record_len(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    let length = prost::encoding::decode_key(&mut rest).and_then(|_| prost::encoding::decode_varint(&mut rest));
    let message = length.ok().and_then(|length| usize::try_from(length).ok()).unwrap_or(usize::MAX);
    (bytes.len() - rest.remaining()).saturating_add(message).min(bytes.len())
}

fn encoded(batch: &RevisionEvents, matched: &Matched, prev_kv: bool) -> Bytes {
    let events = || matched.iter().filter_map(|index| batch.events.get(*index));
    let len = events().map(|event| record_len(EVENTS, message_len(event, prev_kv))).sum();
    let mut buffer = BytesMut::with_capacity(len);
    for event in events() {
        put_event(event, prev_kv, &mut buffer);
    }
    buffer.freeze()
}

fn put_event(event: &Event, prev_kv: bool, buffer: &mut BytesMut) {
    // The tag and length of the record; the message follows in pieces.
    prost::encoding::encode_key(EVENTS, prost::encoding::WireType::LengthDelimited, buffer);
    prost::encoding::encode_varint(message_len(event, prev_kv) as u64, buffer);
    if event.kind == EventKind::Delete {
        buffer.put_slice(&TYPE_DELETE);
    }
    put_record(KV, &event.kv, buffer);
    if let Some(previous) = event.prev_kv.as_ref().filter(|_| prev_kv) {
        put_record(PREV_KV, previous, buffer);
    }
}

fn message_len(event: &Event, prev_kv: bool) -> usize {
    let kind = if event.kind == EventKind::Delete { TYPE_DELETE.len() } else { 0 };
    let previous = event.prev_kv.as_ref().filter(|_| prev_kv).map_or(0, |kv| record_len(PREV_KV, kv.len()));
    kind + record_len(KV, event.kv.len()) + previous
}
