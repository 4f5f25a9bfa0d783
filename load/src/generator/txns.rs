//! Transactions: comparisons of which most hold if nobody was faster, and branches that write, read and nest.

use bytes::Bytes;
use registry_proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use registry_proto::etcdserverpb::request_op::Request;
use registry_proto::etcdserverpb::{Compare, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest};

use super::{COUNTER, Generator};
use crate::known::Known;

/// How deep transactions stand in each other.
const DEPTH: usize = 3;

/// An operation of a transaction.
pub(crate) fn op(request: Request) -> RequestOp {
    RequestOp { request: Some(request) }
}

/// A comparison of one key that asks for equality.
pub(crate) fn equal(key: impl Into<Bytes>, target: CompareTarget, union: TargetUnion) -> Compare {
    Compare {
        key: key.into(),
        range_end: Bytes::new(),
        result: CompareResult::Equal.into(),
        target: target.into(),
        target_union: Some(union),
    }
}

/// A read of one key.
pub(crate) fn read(key: impl Into<Bytes>) -> RangeRequest {
    RangeRequest { key: key.into(), ..RangeRequest::default() }
}

impl Generator {
    pub(super) fn txn(&mut self, known: &Known) -> TxnRequest {
        let mut written = Vec::new();
        self.txn_at(1, &mut written, known)
    }

    /// The counter's next step, if it still stands as it was seen.
    pub(crate) fn count(&mut self, known: &Known) -> TxnRequest {
        let kv = known.of(COUNTER.as_bytes());
        let text = std::str::from_utf8(&kv.value).unwrap_or_default();
        let count: u64 = text.split(':').next().and_then(|count| count.parse().ok()).unwrap_or(0);
        let next = format!("{}:{}", count + 1, String::from_utf8_lossy(&self.value()));
        // A key that is not there has no value to compare with.
        let compare = match self.rng.u32(..3) {
            0 if kv.mod_revision > 0 => equal(COUNTER, CompareTarget::Value, TargetUnion::Value(kv.value)),
            1 => equal(COUNTER, CompareTarget::Version, TargetUnion::Version(kv.version)),
            _ => equal(COUNTER, CompareTarget::Mod, TargetUnion::ModRevision(kv.mod_revision)),
        };
        let put = PutRequest { key: COUNTER.into(), value: next.into(), ..PutRequest::default() };
        TxnRequest {
            compare: vec![compare],
            success: vec![op(Request::RequestPut(put))],
            failure: vec![op(Request::RequestRange(read(COUNTER)))],
        }
    }

    /// `written` holds the keys that were written before in a transaction around this one.
    fn txn_at(&mut self, depth: usize, written: &mut Vec<Bytes>, known: &Known) -> TxnRequest {
        let compare = self.compares(known);
        let before = written.len();
        let success = self.branch(depth, written, known);
        // Only one of the branches happens, so they may write the same keys.
        let first = written.split_off(before);
        let failure = self.branch(depth, written, known);
        written.extend(first);
        TxnRequest { compare, success, failure }
    }

    fn branch(&mut self, depth: usize, written: &mut Vec<Bytes>, known: &Known) -> Vec<RequestOp> {
        let count = self.rng.usize(0..=5 - depth);
        (0..count).map(|_| self.part(depth, written, known)).collect()
    }

    fn part(&mut self, depth: usize, written: &mut Vec<Bytes>, known: &Known) -> RequestOp {
        op(match self.rng.u32(..100) {
            0..45 => {
                let key = self.unwritten(written);
                Request::RequestPut(self.put_of(key, known))
            }
            45..60 => {
                let prev_kv = self.percent(50);
                // A range may hold a key that is put as well, which is refused.
                let (key, range_end) =
                    if self.percent(20) { self.keys() } else { (self.unwritten(written), Bytes::new()) };
                Request::RequestDeleteRange(DeleteRangeRequest { key, range_end, prev_kv })
            }
            60..75 if depth < DEPTH => Request::RequestTxn(self.txn_at(depth + 1, written, known)),
            _ => Request::RequestRange(self.range(known)),
        })
    }

    /// A key that the transaction has not written, as a rule: a second write is refused.
    fn unwritten(&mut self, written: &mut Vec<Bytes>) -> Bytes {
        let mut key = self.key();
        if self.percent(97) {
            for _ in 0..8 {
                if !written.contains(&key) {
                    break;
                }
                key = self.key();
            }
        }
        written.push(key.clone());
        key
    }

    fn compares(&mut self, known: &Known) -> Vec<Compare> {
        let count = self.one_of(&[0, 0, 1, 1, 1, 2]);
        (0..count).map(|_| self.compare(known)).collect()
    }

    fn compare(&mut self, known: &Known) -> Compare {
        let (key, range_end) = self.keys();
        let kv = known.of(&key);
        // Near what was seen, so that every relation holds now and then.
        let near = self.one_of(&[0, 0, 0, 0, 0, 0, -1, 1]);
        let (target, union) = match self.rng.u32(..5) {
            0 => (CompareTarget::Version, TargetUnion::Version(kv.version + near)),
            1 => (CompareTarget::Create, TargetUnion::CreateRevision(kv.create_revision + near)),
            2 => (CompareTarget::Mod, TargetUnion::ModRevision(kv.mod_revision + near)),
            3 => (CompareTarget::Lease, TargetUnion::Lease(kv.lease + near)),
            _ => (CompareTarget::Value, TargetUnion::Value(kv.value)),
        };
        let results = [CompareResult::Equal, CompareResult::NotEqual, CompareResult::Greater, CompareResult::Less];
        let result = if self.percent(60) { CompareResult::Equal } else { self.one_of(&results) };
        Compare { key, range_end, result: result.into(), target: target.into(), target_union: Some(union) }
    }
}
