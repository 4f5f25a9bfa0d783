//! Transactions: comparisons of which most hold, and operations of which few collide.

use bytes::Bytes;
use registry_proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use registry_proto::etcdserverpb::{Compare, DeleteRangeRequest, RequestOp, TxnRequest};

use super::Generator;
use crate::requests::Operation as _;
use registry_checkers::model::{MAX_TXN_OPS, Model};

/// How deep transactions stand in each other.
const DEPTH: usize = 3;

/// What a transaction has written so far, and what its puts and deletes may be.
struct Writes {
    keys: Vec<Bytes>,
    /// Puts may keep values and leases.
    keeps: bool,
    /// Deletes may reach to the last key.
    to_the_end: bool,
}

impl Generator {
    pub(super) fn txn(&mut self, model: &Model) -> TxnRequest {
        if self.random.u32(0..200) == 0 {
            return self.long_txn();
        }
        let keeps = self.percent(50);
        let both = self.mix.dialect.survives_a_put_that_keeps_what_is_deleted();
        let mut writes = Writes { keys: Vec::new(), keeps: both || keeps, to_the_end: both || !keeps };
        self.txn_at(1, &mut writes, model)
    }

    pub(super) fn read_only_txn(&mut self, model: &Model) -> TxnRequest {
        let ranges = |generator: &mut Self| -> Vec<RequestOp> {
            let count = generator.random.usize(0..4);
            (0..count).map(|_| generator.range(model).op()).collect()
        };
        TxnRequest { compare: self.compares(model), success: ranges(self), failure: ranges(self) }
    }

    /// About as many operations as are allowed, alone or nested.
    fn long_txn(&mut self) -> TxnRequest {
        let count = MAX_TXN_OPS + self.random.usize(0..3);
        let ops = |count: usize| vec![crate::requests::key("a").op(); count];
        let nested = TxnRequest { success: ops(count - 2), ..TxnRequest::default() };
        let (success, failure) = if self.percent(50) { (ops(count - 1), vec![]) } else { (vec![nested.op()], ops(1)) };
        TxnRequest { compare: Vec::new(), success, failure }
    }

    fn txn_at(&mut self, depth: usize, writes: &mut Writes, model: &Model) -> TxnRequest {
        let compare = self.compares(model);
        let before = writes.keys.len();
        let success = self.branch(depth, writes, model);
        // Only one of the branches happens, so they may write the same keys.
        let successes = writes.keys.split_off(before);
        let failure = self.branch(depth, writes, model);
        writes.keys.extend(successes);
        TxnRequest { compare, success, failure }
    }

    fn branch(&mut self, depth: usize, writes: &mut Writes, model: &Model) -> Vec<RequestOp> {
        let count = self.random.usize(0..=5 - depth);
        (0..count).map(|_| self.op(depth, writes, model)).collect()
    }

    fn op(&mut self, depth: usize, writes: &mut Writes, model: &Model) -> RequestOp {
        match self.random.u32(0..1_000) {
            0 => RequestOp::default(),
            1..450 => {
                let key = self.unwritten_key(writes);
                self.put_of(key, writes.keeps, model).op()
            }
            450..620 => self.delete_in(writes).op(),
            620..750 if depth < DEPTH => self.txn_at(depth + 1, writes, model).op(),
            _ => self.range(model).op(),
        }
    }

    fn delete_in(&mut self, writes: &mut Writes) -> DeleteRangeRequest {
        let (key, mut range_end) = self.keys();
        let prev_kv = self.percent(40);
        if self.percent(70) || range_end.is_empty() || (range_end == b"\0"[..] && !writes.to_the_end) {
            let key = self.unwritten_key(writes);
            range_end = Bytes::new();
            return DeleteRangeRequest { key, range_end, prev_kv };
        }
        DeleteRangeRequest { key, range_end, prev_kv }
    }

    /// A key that is not written yet, as a rule.
    fn unwritten_key(&mut self, writes: &mut Writes) -> Bytes {
        let mut key = self.key();
        if self.percent(96) {
            for _ in 0..8 {
                if !writes.keys.contains(&key) {
                    break;
                }
                key = self.key();
            }
        }
        writes.keys.push(key.clone());
        key
    }

    fn compares(&mut self, model: &Model) -> Vec<Compare> {
        let count = self.one_of(&[0, 0, 1, 1, 1, 2, 3]);
        (0..count).map(|_| self.compare(model)).collect()
    }

    fn compare(&mut self, model: &Model) -> Compare {
        let (key, range_end) = self.keys();
        let kv = model.newest(&key).cloned().unwrap_or_default();
        // Near what is there, so that every relation holds now and then, and what is asked for most holds.
        let near = self.one_of(&[0, 0, 0, 0, 0, 0, -1, 1]);
        let (target, union) = match self.random.u32(0..5) {
            0 => (CompareTarget::Version, TargetUnion::Version(kv.version + near)),
            1 => (CompareTarget::Create, TargetUnion::CreateRevision(kv.create_revision + near)),
            2 => (CompareTarget::Mod, TargetUnion::ModRevision(kv.mod_revision + near)),
            3 => (CompareTarget::Lease, TargetUnion::Lease(kv.lease.saturating_add(near))),
            _ => (CompareTarget::Value, TargetUnion::Value(if near == 0 { kv.value } else { self.value() })),
        };
        let results =
            [CompareResult::Equal, CompareResult::NotEqual, CompareResult::Greater, CompareResult::Less].map(i32::from);
        let result = if self.percent(60) { CompareResult::Equal.into() } else { self.one_of(&results) };
        let mut compare = Compare { key, range_end, result, target: target.into(), target_union: Some(union) };
        self.spoil(&mut compare);
        compare
    }

    /// What clients do not send on purpose: another target's number, no number, relations of the future, no key.
    fn spoil(&mut self, compare: &mut Compare) {
        match self.random.u32(0..400) {
            0..4 => compare.target = self.random.i32(0..6),
            4..8 => compare.target_union = None,
            8..10 => compare.result = 4,
            10 => compare.key = Bytes::new(),
            _ => {}
        }
    }
}
