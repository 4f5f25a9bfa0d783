//! A model of the whole state machine of etcd: keys, transactions, leases, old revisions, compaction, events
//! and refusals, on the requests and answers of the wire.
//!
//! It is small and slow, and written from etcd's behaviour and not from ours: `store` keeps every change
//! for ever, `range`, `txn` and `check` follow etcd's own steps, a lease's keys are those whose newest state
//! names it.
//!
//! What always holds: the model knows no clock, no randomness and no server; a refused operation changes
//! nothing in it.

mod check;
mod compare;
mod dialect;
mod events;
mod leases;
mod operation;
mod range;
mod refusal;
mod replay;
mod store;
mod txn;

use std::collections::BTreeMap;

use registry_proto::etcdserverpb::{
    CompactionRequest, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse, PutRequest, PutResponse,
    ResponseHeader,
};

use registry_proto::mvccpb::KeyValue;

pub use check::MAX_TXN_OPS;
pub use dialect::Dialect;
pub use operation::{Answer, Operation};
pub use refusal::{COMPACTED, FUTURE_REVISION, LEASE_NOT_FOUND, Refusal};
pub use store::is_in;

use store::Store;

/// The state of a cluster, as its clients can know it.
#[derive(Debug, Clone)]
pub struct Model {
    dialect: Dialect,
    store: Store,
    /// Each lease with its granted TTL in seconds. Its keys are found in the store.
    leases: BTreeMap<i64, i64>,
}

impl Model {
    /// An empty cluster.
    #[must_use]
    pub fn new(dialect: Dialect) -> Self {
        Self { dialect, store: Store::new(), leases: BTreeMap::new() }
    }

    /// Whose behaviour this is.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The newest revision.
    #[must_use]
    pub fn revision(&self) -> i64 {
        self.store.revision
    }

    /// The oldest revision that can be read; -1 before the first compaction.
    #[must_use]
    pub fn compacted(&self) -> i64 {
        self.store.compacted
    }

    /// Does an operation and tells its answer. Headers say nothing but the revision.
    ///
    /// # Errors
    /// etcd's refusal, after which nothing has changed.
    pub fn answer(&mut self, operation: &Operation) -> Result<Answer, Refusal> {
        check::operation(operation, self.dialect)?;
        Ok(match operation {
            Operation::Range(request) => Answer::Range(self.range(request)?),
            Operation::Put(request) => Answer::Put(self.put_alone(request)?),
            Operation::DeleteRange(request) => Answer::DeleteRange(self.delete_alone(request)),
            Operation::Txn(request) => Answer::Txn(self.txn(request)?),
            Operation::Compact(request) => Answer::Compact(self.compact(request)?),
            Operation::LeaseGrant(request) => Answer::LeaseGrant(self.grant(request)?),
            Operation::LeaseRevoke(request) => Answer::LeaseRevoke(self.revoke(request)?),
            Operation::LeaseTimeToLive(request) => Answer::LeaseTimeToLive(self.time_to_live(request)),
            Operation::LeaseLeases(_) => Answer::LeaseLeases(self.list_leases()),
            Operation::LeaseKeepAlive(request) => Answer::LeaseKeepAlive(self.keep_alive(request)),
        })
    }

    /// The newest state of a key.
    #[must_use]
    pub fn newest(&self, key: &[u8]) -> Option<&KeyValue> {
        self.store.get(key)
    }

    /// The newest state of all keys, in their order.
    pub fn all(&self) -> impl Iterator<Item = &KeyValue> {
        self.store.live(b"\0", b"\0")
    }

    fn put_alone(&mut self, request: &PutRequest) -> Result<PutResponse, Refusal> {
        // Alone, etcd looks for the lease first, whatever its version.
        self.check_lease_of(request)?;
        self.check_kept(request)?;
        let answer = self.put(request);
        self.store.end();
        Ok(answer)
    }

    fn delete_alone(&mut self, request: &DeleteRangeRequest) -> DeleteRangeResponse {
        let answer = self.delete_range(request);
        self.store.end();
        answer
    }

    fn check_lease_of(&self, request: &PutRequest) -> Result<(), Refusal> {
        if request.lease != 0 && !self.leases.contains_key(&request.lease) {
            return Err(LEASE_NOT_FOUND);
        }
        Ok(())
    }

    fn check_kept(&self, request: &PutRequest) -> Result<(), Refusal> {
        if (request.ignore_value || request.ignore_lease) && self.store.get(&request.key).is_none() {
            return Err(refusal::KEY_NOT_FOUND);
        }
        Ok(())
    }

    fn put(&mut self, request: &PutRequest) -> PutResponse {
        let before = self.store.get(&request.key).cloned();
        // A key that the same transaction has deleted has nothing to keep.
        let kept = before.clone().unwrap_or_default();
        let value = if request.ignore_value { &kept.value } else { &request.value };
        let lease = if request.ignore_lease { kept.lease } else { request.lease };
        self.store.put(&request.key, value, lease);
        PutResponse { header: self.header_inside(), prev_kv: before.filter(|_| request.prev_kv) }
    }

    fn delete_range(&mut self, request: &DeleteRangeRequest) -> DeleteRangeResponse {
        let gone: Vec<_> = self.store.live(&request.key, &request.range_end).cloned().collect();
        for kv in &gone {
            self.store.delete(&kv.key);
        }
        DeleteRangeResponse {
            header: self.header_inside(),
            deleted: gone.len() as i64,
            prev_kvs: if request.prev_kv { gone } else { Vec::new() },
        }
    }

    fn compact(&mut self, request: &CompactionRequest) -> Result<CompactionResponse, Refusal> {
        if request.revision <= self.store.compacted {
            return Err(COMPACTED);
        }
        if request.revision > self.store.revision {
            return Err(FUTURE_REVISION);
        }
        self.store.compacted = request.revision;
        Ok(CompactionResponse { header: self.header() })
    }

    /// The header of an answer now.
    fn header(&self) -> Option<ResponseHeader> {
        Some(ResponseHeader { revision: self.store.revision, ..ResponseHeader::default() })
    }

    /// The header inside a transaction: one more as soon as it has changed something.
    fn header_inside(&self) -> Option<ResponseHeader> {
        Some(ResponseHeader { revision: self.store.seen(), ..ResponseHeader::default() })
    }
}
