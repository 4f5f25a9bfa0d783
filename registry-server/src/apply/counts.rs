//! What this member has done to the store and the leases since it started, entries that it replayed included.
//!
//! The numbers follow etcd's: an operation inside a transaction counts like one alone, and a transaction of
//! a single operation counts as that operation only.

use registry_proto::etcdserverpb::TxnResponse;
use registry_proto::etcdserverpb::response_op::Response;

use crate::types::Counter;

/// Operations by kind.
#[derive(Debug, Default)]
pub struct Counts {
    /// Keys written.
    pub puts: Counter,
    /// Deletes, of one key or of many.
    pub deletes: Counter,
    /// Ranges read.
    pub ranges: Counter,
    /// Transactions of more than one operation.
    pub txns: Counter,
    /// Leases made.
    pub leases_granted: Counter,
    /// Leases ended, by whomever.
    pub leases_revoked: Counter,
}

/// What one transaction did.
#[derive(Default)]
struct Done {
    puts: u64,
    deletes: u64,
    ranges: u64,
}

impl Counts {
    /// Counts what a transaction did.
    pub fn note_txn(&self, response: &TxnResponse) {
        let mut done = Done::default();
        done.add(response);
        self.puts.add(done.puts);
        self.deletes.add(done.deletes);
        self.ranges.add(done.ranges);
        if done.puts + done.deletes + done.ranges > 1 {
            self.txns.inc();
        }
    }

    /// Counts the end of a lease, whose keys go one by one.
    pub(super) fn note_revoked(&self, keys: usize) {
        self.leases_revoked.inc();
        self.deletes.add(keys as u64);
        if keys > 1 {
            self.txns.inc();
        }
    }
}

impl Done {
    fn add(&mut self, response: &TxnResponse) {
        for op in &response.responses {
            match &op.response {
                Some(Response::ResponsePut(_)) => self.puts += 1,
                Some(Response::ResponseDeleteRange(_)) => self.deletes += 1,
                Some(Response::ResponseRange(_)) => self.ranges += 1,
                Some(Response::ResponseTxn(nested)) => self.add(nested),
                None => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use registry_proto::etcdserverpb::{DeleteRangeResponse, PutResponse, RangeResponse, ResponseOp};

    use super::*;

    fn txn(responses: Vec<Response>) -> TxnResponse {
        let responses = responses.into_iter().map(|response| ResponseOp { response: Some(response) }).collect();
        TxnResponse { responses, ..TxnResponse::default() }
    }

    #[test]
    fn operations_count_wherever_they_are_nested() {
        let counts = Counts::default();
        let inner = txn(vec![
            Response::ResponseDeleteRange(DeleteRangeResponse::default()),
            Response::ResponseRange(RangeResponse::default()),
        ]);
        counts.note_txn(&txn(vec![Response::ResponsePut(PutResponse::default()), Response::ResponseTxn(inner)]));
        let seen = [&counts.puts, &counts.deletes, &counts.ranges, &counts.txns].map(Counter::get);
        assert_eq!(seen, [1, 1, 1, 1]);
    }

    #[test]
    fn a_transaction_of_one_operation_counts_as_that_only() {
        let counts = Counts::default();
        counts.note_txn(&txn(vec![Response::ResponsePut(PutResponse::default())]));
        counts.note_txn(&txn(Vec::new()));
        assert_eq!((counts.puts.get(), counts.txns.get()), (1, 0));
    }
}
