//! What an operation touches: from it follows which earlier operations explain an answer.

use bytes::Bytes;
use registry_proto::etcdserverpb::request_op::Request;
use registry_proto::etcdserverpb::{RequestOp, TxnRequest};

use super::Operation;
use registry_checkers::model::is_in;

/// Ranges of keys and ids of leases.
#[derive(Debug, Default)]
pub(super) struct Footprint {
    ranges: Vec<(Bytes, Bytes)>,
    leases: Vec<i64>,
    /// Compactions concern everybody.
    everything: bool,
}

impl Footprint {
    pub(super) fn of(operation: &Operation) -> Self {
        let mut footprint = Self::default();
        match operation {
            Operation::Range(request) => footprint.range(&request.key, &request.range_end),
            Operation::Put(request) => {
                footprint.range(&request.key, &Bytes::new());
                footprint.leases.push(request.lease);
            }
            Operation::DeleteRange(request) => footprint.range(&request.key, &request.range_end),
            Operation::Txn(request) => footprint.txn(request),
            Operation::Compact(_) => footprint.everything = true,
            Operation::LeaseGrant(request) => footprint.leases.push(request.id),
            Operation::LeaseRevoke(request) => footprint.leases.push(request.id),
            Operation::LeaseTimeToLive(request) => footprint.leases.push(request.id),
            Operation::LeaseKeepAlive(request) => footprint.leases.push(request.id),
            Operation::LeaseLeases(_) => {}
        }
        footprint.leases.retain(|id| *id != 0);
        footprint
    }

    pub(super) fn meets(&self, other: &Self) -> bool {
        let met =
            |(key, end): &(Bytes, Bytes)| other.ranges.iter().any(|(at, to)| is_in(key, at, to) || is_in(at, key, end));
        self.everything
            || other.everything
            || self.ranges.iter().any(met)
            || self.leases.iter().any(|id| other.leases.contains(id))
    }

    fn range(&mut self, key: &Bytes, end: &Bytes) {
        self.ranges.push((key.clone(), end.clone()));
    }

    fn txn(&mut self, txn: &TxnRequest) {
        for compare in &txn.compare {
            self.range(&compare.key, &compare.range_end);
        }
        for RequestOp { request } in txn.success.iter().chain(&txn.failure) {
            match request {
                Some(Request::RequestRange(request)) => self.range(&request.key, &request.range_end),
                Some(Request::RequestPut(request)) => {
                    self.range(&request.key, &Bytes::new());
                    self.leases.push(request.lease);
                }
                Some(Request::RequestDeleteRange(request)) => self.range(&request.key, &request.range_end),
                Some(Request::RequestTxn(request)) => self.txn(request),
                None => {}
            }
        }
    }
}
