//! Replaying what a server did: an operation tried without leaving a trace, and events taken over as told.
//!
//! Leases end by a clock, which the model does not have; here a lease that a put names is taken to exist, and
//! whoever replays judges leases by other means.

use bytes::Bytes;
use registry_proto::etcdserverpb::request_op::Request;
use registry_proto::etcdserverpb::{TxnRequest, WatchCreateRequest};
use registry_proto::mvccpb::{Event, KeyValue};

use super::{Answer, Dialect, Model, Operation, Refusal};

impl Model {
    /// A cluster with these keys at a revision. What was before it is not known, nor are its leases.
    #[must_use]
    pub fn at(dialect: Dialect, revision: i64, mut keys: Vec<KeyValue>) -> Self {
        let mut model = Self::new(dialect);
        keys.sort_by_key(|kv| kv.mod_revision);
        for kv in keys {
            model.store.push(kv);
        }
        model.store.revision = revision;
        model
    }

    /// Does an operation, whatever leases it names, and tells the answer and the events, with what was before.
    ///
    /// # Errors
    /// etcd's refusal, after which nothing has changed.
    pub fn replay(&mut self, operation: &Operation) -> Result<(Answer, Vec<Event>), Refusal> {
        self.assume_leases(operation);
        let before = self.revision();
        let answer = self.answer(operation)?;
        Ok((answer, self.events_after(before)))
    }

    /// What [`Model::replay`] would tell; nothing has changed afterwards.
    ///
    /// # Errors
    /// etcd's refusal.
    pub fn peek(&mut self, operation: &Operation) -> Result<(Answer, Vec<Event>), Refusal> {
        let (mark, revision) = (self.store.mark(), self.revision());
        let told = self.replay(operation);
        self.store.undo_to(mark, revision);
        told
    }

    /// Takes over the events of the next revision as they were told. Returns them with what was before.
    pub fn take_over(&mut self, events: &[Event]) -> Vec<Event> {
        let (before, at) = (self.revision(), self.revision() + 1);
        for event in events {
            let kv = event.kv.clone().unwrap_or_default();
            let is_put = event.r#type == 0;
            let gone = KeyValue { key: kv.key.clone(), mod_revision: at, ..KeyValue::default() };
            self.store.push(if is_put { KeyValue { mod_revision: at, ..kv } } else { gone });
        }
        self.store.revision = at;
        self.events_after(before)
    }

    /// All events after a revision, with what was before.
    fn events_after(&self, revision: i64) -> Vec<Event> {
        let all = Bytes::from_static(b"\0");
        let watch = WatchCreateRequest {
            key: all.clone(),
            range_end: all,
            start_revision: revision + 1,
            prev_kv: true,
            ..WatchCreateRequest::default()
        };
        self.events(&watch, true)
    }

    fn assume_leases(&mut self, operation: &Operation) {
        match operation {
            Operation::Put(put) => self.assume_lease(put.lease),
            Operation::Txn(txn) => self.assume_leases_of(txn),
            _ => {}
        }
    }

    fn assume_leases_of(&mut self, txn: &TxnRequest) {
        for op in txn.success.iter().chain(&txn.failure) {
            match &op.request {
                Some(Request::RequestPut(put)) => self.assume_lease(put.lease),
                Some(Request::RequestTxn(nested)) => self.assume_leases_of(nested),
                _ => {}
            }
        }
    }

    fn assume_lease(&mut self, id: i64) {
        if id != 0 {
            self.leases.entry(id).or_insert(0);
        }
    }
}
