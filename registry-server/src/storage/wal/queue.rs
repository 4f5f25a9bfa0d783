//! The one ordered queue of what waits to be written. Entries are bounded before, when they are reserved
//! (`room`); the rest is a handful, as consensus waits for each.

use std::collections::VecDeque;

use super::batch::{ALIGN_BYTES, BATCH_HEADER_BYTES, padded_bytes};
use super::done::Done;
use super::record::Record;

/// The largest batch, in bytes, unless a single record is larger.
pub(super) const MAX_BATCH_BYTES: u64 = 4 << 20;

/// One call's records.
struct Operation {
    /// Its number; operations become durable in this order.
    ticket: u64,
    records: VecDeque<Record>,
    /// What it takes in segments at most, in bytes.
    cost: u64,
    done: Option<Done>,
}

/// What waits.
#[derive(Default)]
pub(super) struct Queue {
    operations: VecDeque<Operation>,
    last_ticket: u64,
    /// Of records, waiting or in the batch under way.
    queued_bytes: u64,
    /// What the waiting operations take in segments at most.
    cost: u64,
}

/// What one batch takes from the queue.
#[derive(Default)]
pub(super) struct Taken {
    pub(super) records: Vec<Record>,
    pub(super) record_bytes: u64,
    pub(super) dones: Vec<Done>,
    /// The last operation that is wholly in this batch or before; `None` when none ended here.
    pub(super) ticket: Option<u64>,
}

impl Queue {
    /// Puts an operation last and answers its ticket.
    pub(super) fn push(&mut self, records: VecDeque<Record>, done: Option<Done>) -> u64 {
        self.last_ticket += 1;
        let record_bytes = records.iter().map(|record| record.encoded_len() as u64).sum();
        let cost = cost_bytes(record_bytes);
        self.queued_bytes += record_bytes;
        self.cost += cost;
        self.operations.push_back(Operation { ticket: self.last_ticket, records, cost, done });
        self.last_ticket
    }

    /// Puts a committed id last, in place of one that is last already. Nobody waits for it.
    pub(super) fn push_committed(&mut self, record: Record) {
        if let Some(last) = self.operations.back_mut()
            && let (Some(Record::Committed(_)), 1) = (last.records.back(), last.records.len())
        {
            let bytes = last.records[0].encoded_len() as u64;
            self.queued_bytes = self.queued_bytes - bytes + record.encoded_len() as u64;
            last.records[0] = record;
            return;
        }
        self.push(VecDeque::from([record]), None);
    }

    /// Whether something waits that somebody waits for.
    pub(super) fn wants_write(&self) -> bool {
        self.operations.iter().any(|operation| operation.done.is_some())
    }

    /// The size of the next record (0 for an operation of none); `None` when nothing waits.
    pub(super) fn next_record_bytes(&self) -> Option<u64> {
        let next = self.operations.front()?.records.front();
        Some(next.map_or(0, |record| record.encoded_len() as u64))
    }

    /// Takes records from the front while a batch that begins with `head_bytes` of other records stays
    /// within `limit_bytes`; the first record is always taken.
    pub(super) fn take(&mut self, head_bytes: u64, limit_bytes: u64) -> Taken {
        let mut taken = Taken::default();
        while let Some(operation) = self.operations.front_mut() {
            while let Some(record) = operation.records.front() {
                let bytes = record.encoded_len() as u64;
                let total = padded_bytes(head_bytes + taken.record_bytes + bytes);
                if !taken.records.is_empty() && total > limit_bytes {
                    return taken;
                }
                taken.record_bytes += bytes;
                taken.records.extend(operation.records.pop_front());
            }
            taken.ticket = Some(operation.ticket);
            taken.dones.extend(operation.done.take());
            self.cost -= operation.cost;
            self.operations.pop_front();
        }
        taken
    }

    /// Gives back the bytes of a batch that is durable.
    pub(super) fn release(&mut self, record_bytes: u64) {
        self.queued_bytes -= record_bytes;
    }

    /// Empties the queue of a log that has ended; the answers are for those who wait.
    pub(super) fn drain(&mut self) -> Vec<Done> {
        self.cost = 0;
        self.operations.drain(..).filter_map(|operation| operation.done).collect()
    }

    pub(super) fn queued_bytes(&self) -> u64 {
        self.queued_bytes
    }

    /// What the waiting operations take in segments at most, in bytes.
    pub(super) fn cost(&self) -> u64 {
        self.cost
    }
}

/// What an operation takes in segments at most: its records and, for each batch it is split into, a header
/// and padding.
pub(super) fn cost_bytes(record_bytes: u64) -> u64 {
    let batches = record_bytes / MAX_BATCH_BYTES + 2;
    record_bytes + batches * (ALIGN_BYTES + BATCH_HEADER_BYTES) as u64
}
