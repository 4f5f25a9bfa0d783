//! What a client knows of the cluster from the answers it had: enough to ask for what is likely to hold.

use std::collections::BTreeMap;

use bytes::Bytes;
use registry_checkers::history::Outcome;
use registry_checkers::model::{Answer, Operation};
use registry_proto::etcdserverpb::response_op::Response;
use registry_proto::etcdserverpb::{PutRequest, RangeRequest, RangeResponse, ResponseOp};
use registry_proto::mvccpb::KeyValue;

/// One client's knowledge. Any of it may be old.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// The newest revision it was told.
    pub(crate) revision: i64,
    /// What it last saw under each key.
    pub(crate) keys: BTreeMap<Bytes, KeyValue>,
    /// Leases that it has asked for and did not revoke, as far as it knows.
    pub(crate) leases: Vec<i64>,
}

impl Known {
    /// Takes in what came of an operation.
    pub(crate) fn learn(&mut self, operation: &Operation, outcome: &Outcome) {
        match operation {
            // Without an answer, too: it may be there.
            Operation::LeaseGrant(request) if !matches!(outcome, Outcome::Refused(_)) => {
                self.leases.retain(|lease| *lease != request.id);
                self.leases.push(request.id);
            }
            Operation::LeaseRevoke(request) => self.leases.retain(|lease| *lease != request.id),
            _ => {}
        }
        let Outcome::Answered(answer) = outcome else { return };
        let revision = answer.clone().header_mut().as_ref().map_or(0, |header| header.revision);
        self.revision = self.revision.max(revision);
        match (operation, answer) {
            (Operation::Put(request), Answer::Put(_)) => self.put(request, revision),
            (Operation::Range(request), Answer::Range(answer)) => self.range(request, answer),
            (Operation::Txn(_), Answer::Txn(answer)) => answer.responses.iter().for_each(|part| self.part(part)),
            _ => {}
        }
    }

    /// The state of a key as far as it is known; an empty one for a key that is not there.
    pub(crate) fn of(&self, key: &[u8]) -> KeyValue {
        self.keys.get(key).cloned().unwrap_or_default()
    }

    fn put(&mut self, request: &PutRequest, revision: i64) {
        let kv = self.keys.entry(request.key.clone()).or_default();
        kv.key = request.key.clone();
        kv.version += 1;
        kv.mod_revision = revision;
        if kv.create_revision == 0 {
            kv.create_revision = revision;
        }
        if !request.ignore_value {
            kv.value = request.value.clone();
        }
        if !request.ignore_lease {
            kv.lease = request.lease;
        }
    }

    fn range(&mut self, request: &RangeRequest, answer: &RangeResponse) {
        if request.revision > 0 || request.keys_only || request.count_only {
            return;
        }
        if request.range_end.is_empty() && answer.count == 0 {
            self.keys.remove(&request.key);
        }
        self.see(answer);
    }

    fn see(&mut self, answer: &RangeResponse) {
        for kv in answer.kvs.clone().into_messages().unwrap_or_default() {
            // A value that was left out is no value to compare with, but the revisions are right.
            if kv.mod_revision >= self.of(&kv.key).mod_revision {
                self.keys.insert(kv.key.clone(), kv);
            }
        }
    }

    fn part(&mut self, part: &ResponseOp) {
        match &part.response {
            Some(Response::ResponseRange(answer)) => self.see(answer),
            Some(Response::ResponseTxn(answer)) => answer.responses.iter().for_each(|part| self.part(part)),
            _ => {}
        }
    }
}
