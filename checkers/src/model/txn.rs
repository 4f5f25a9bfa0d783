//! Transactions: all comparisons first, then all checks of the branches that they choose, then the work.

use registry_proto::etcdserverpb::request_op::Request;
use registry_proto::etcdserverpb::response_op::Response;
use registry_proto::etcdserverpb::{RangeRequest, RequestOp, ResponseHeader, ResponseOp, TxnRequest, TxnResponse};

use super::Model;
use super::refusal::{COMPACTED, FUTURE_REVISION, Refusal};

/// A transaction whose branches are chosen.
struct Chosen<'a> {
    succeeded: bool,
    ops: Vec<Op<'a>>,
}

enum Op<'a> {
    Plain(&'a Request),
    Txn(Chosen<'a>),
}

/// Which operations are checked in one pass.
#[derive(Clone, Copy)]
struct Pass {
    puts: bool,
    ranges: bool,
}

impl Model {
    pub(super) fn txn(&mut self, request: &TxnRequest) -> Result<TxnResponse, Refusal> {
        let chosen = self.chosen_of(request);
        if self.dialect.checks_puts_before_ranges() {
            self.check_chosen(&chosen, Pass { puts: true, ranges: false })?;
            self.check_chosen(&chosen, Pass { puts: false, ranges: true })?;
        } else {
            self.check_chosen(&chosen, Pass { puts: true, ranges: true })?;
        }
        let answer = self.execute(&chosen);
        self.store.end();
        Ok(TxnResponse { header: self.header(), ..answer })
    }

    fn chosen_of<'a>(&self, txn: &'a TxnRequest) -> Chosen<'a> {
        let succeeded = txn.compare.iter().all(|compare| self.holds(compare));
        let ops = if succeeded { &txn.success } else { &txn.failure };
        Chosen { succeeded, ops: ops.iter().map(|op| self.chosen_op(op)).collect() }
    }

    fn chosen_op<'a>(&self, op: &'a RequestOp) -> Op<'a> {
        match op.request.as_ref().expect("an operation of no kind is refused before") {
            Request::RequestTxn(nested) => Op::Txn(self.chosen_of(nested)),
            plain => Op::Plain(plain),
        }
    }

    fn check_chosen(&self, chosen: &Chosen<'_>, pass: Pass) -> Result<(), Refusal> {
        for op in &chosen.ops {
            match op {
                Op::Txn(nested) => self.check_chosen(nested, pass)?,
                Op::Plain(Request::RequestPut(put)) if pass.puts => {
                    if self.dialect.checks_puts_before_ranges() {
                        self.check_kept(put)?;
                        self.check_lease_of(put)?;
                    } else {
                        self.check_lease_of(put)?;
                        self.check_kept(put)?;
                    }
                }
                Op::Plain(Request::RequestRange(range)) if pass.ranges => self.check_revision(range)?,
                Op::Plain(_) => {}
            }
        }
        Ok(())
    }

    /// Before anything is changed, so not even the revision that the transaction will have can be asked for.
    /// A negative revision, which alone stands for the newest, is compacted as soon as anything is.
    fn check_revision(&self, range: &RangeRequest) -> Result<(), Refusal> {
        match range.revision {
            0 => Ok(()),
            asked if asked > self.store.revision => Err(FUTURE_REVISION),
            asked if asked < self.store.compacted => Err(COMPACTED),
            _ => Ok(()),
        }
    }

    fn execute(&mut self, chosen: &Chosen<'_>) -> TxnResponse {
        let responses = chosen.ops.iter().map(|op| ResponseOp { response: Some(self.execute_op(op)) }).collect();
        // etcd leaves the header of a nested answer empty.
        TxnResponse { header: Some(ResponseHeader::default()), succeeded: chosen.succeeded, responses }
    }

    fn execute_op(&mut self, op: &Op<'_>) -> Response {
        match op {
            Op::Txn(nested) => Response::ResponseTxn(self.execute(nested)),
            Op::Plain(Request::RequestPut(put)) => Response::ResponsePut(self.put(put)),
            Op::Plain(Request::RequestDeleteRange(delete)) => Response::ResponseDeleteRange(self.delete_range(delete)),
            Op::Plain(Request::RequestRange(range)) => {
                Response::ResponseRange(self.range(range).expect("its revision was checked"))
            }
            Op::Plain(Request::RequestTxn(_)) => unreachable!("nested transactions are chosen, not plain"),
        }
    }
}
