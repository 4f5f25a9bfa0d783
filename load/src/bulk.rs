//! A client that writes large values now and then: several at once, over those that were there, so that one
//! revision's events with what was before are more than one answer for those who ask for fragments.
//!
//! They are deleted at once, as every read of all keys would carry them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use registry_checkers::history::Outcome;
use registry_checkers::model::Operation;
use registry_proto::etcdserverpb::request_op::Request;
use registry_proto::etcdserverpb::{DeleteRangeRequest, PutRequest, RequestOp, TxnRequest};
use tokio::time::{Instant, sleep};

use crate::client::Client;
use crate::generator::op;
use crate::settings::Settings;

/// Where all its keys are, and no others.
const PREFIX: &str = "k/large-";
const PREFIX_END: &str = "k/large.";
/// A request of all values must be one that servers take: 1.5 MiB, unless they are told otherwise.
const VALUES: usize = 3;
/// How often a round is written before it is deleted.
const WRITES: usize = 2;
/// Between two attempts to delete.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

pub(crate) struct Bulk {
    client: Client,
    settings: Arc<Settings>,
    /// Nothing is begun after it.
    end: Instant,
}

impl Bulk {
    pub(crate) fn new(client: Client, settings: Arc<Settings>) -> Self {
        let end = Instant::now() + settings.limit;
        Self { client, settings, end }
    }

    pub(crate) async fn run(&mut self) {
        for round in 0.. {
            let pause = self.client.generator.draw(self.settings.large_pause_ms.clone());
            sleep(Duration::from_millis(pause)).await;
            if Instant::now() >= self.end {
                return;
            }
            // The first round is as large as can be, so that every run has one.
            let most = self.settings.large_bytes;
            let bytes = if round % 2 == 0 { most } else { self.client.generator.draw(1..=most as u64) as usize };
            for _ in 0..WRITES {
                let request = self.write(bytes);
                self.client.call(Operation::Txn(request)).await;
            }
            self.clear().await;
        }
    }

    /// All values in one revision.
    fn write(&mut self, bytes: usize) -> TxnRequest {
        let success = (0..VALUES).map(|number| self.put(number, bytes)).collect();
        TxnRequest { success, ..TxnRequest::default() }
    }

    fn put(&mut self, number: usize, bytes: usize) -> RequestOp {
        let key = Bytes::from(format!("{PREFIX}{number}"));
        let value = self.client.generator.large_value(bytes);
        op(Request::RequestPut(PutRequest { key, value, ..PutRequest::default() }))
    }

    /// Deletes all, again and again until it is sure: deleting what is gone harms nobody.
    async fn clear(&mut self) {
        loop {
            let request = DeleteRangeRequest {
                key: PREFIX.into(),
                range_end: PREFIX_END.into(),
                ..DeleteRangeRequest::default()
            };
            if let Outcome::Answered(_) = self.client.call(Operation::DeleteRange(request)).await {
                return;
            }
            if Instant::now() >= self.end {
                return;
            }
            sleep(RETRY_PAUSE).await;
        }
    }
}
