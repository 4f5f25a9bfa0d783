//! What a client knows of the cluster from the answers it had: enough to ask for what is likely to hold.

use std::collections::BTreeMap;

use bytes::Bytes;
use registry_checkers::history::Outcome;
use registry_checkers::model::{Answer, LEASE_NOT_FOUND, Operation};
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
                self.forget(request.id);
                self.leases.push(request.id);
            }
            Operation::LeaseRevoke(request) => self.forget(request.id),
            _ => {}
        }
        if let Some(lease) = gone(operation, outcome) {
            self.forget(lease);
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

    fn forget(&mut self, id: i64) {
        self.leases.retain(|lease| *lease != id);
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

/// The lease that an outcome shows not to be there; of a transaction it is not known which one was meant.
fn gone(operation: &Operation, outcome: &Outcome) -> Option<i64> {
    match (operation, outcome) {
        (Operation::Put(request), Outcome::Refused(refusal)) if *refusal == LEASE_NOT_FOUND => Some(request.lease),
        (Operation::LeaseKeepAlive(request), Outcome::Answered(Answer::LeaseKeepAlive(answer))) if answer.ttl <= 0 => {
            Some(request.id)
        }
        (Operation::LeaseTimeToLive(request), Outcome::Answered(Answer::LeaseTimeToLive(answer))) if answer.ttl < 0 => {
            Some(request.id)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use registry_proto::etcdserverpb::{LeaseGrantRequest, LeaseGrantResponse};

    use super::*;

    /// Clients of long runs asked for leases of which nearly all had expired.
    #[test]
    fn a_lease_that_is_gone_is_forgotten() {
        let mut known = Known::default();
        for id in 1..=2 {
            let granted = Answer::LeaseGrant(LeaseGrantResponse { id, ttl: 2, ..LeaseGrantResponse::default() });
            let grant = Operation::LeaseGrant(LeaseGrantRequest { id, ttl: 2 });
            known.learn(&grant, &Outcome::Answered(granted));
        }
        let put = Operation::Put(PutRequest { lease: 1, ..PutRequest::default() });
        known.learn(&put, &Outcome::Unknown(String::new()));
        assert_eq!(known.leases, [1, 2], "it may be there");
        known.learn(&put, &Outcome::Refused(LEASE_NOT_FOUND));
        assert_eq!(known.leases, [2]);
    }
}
