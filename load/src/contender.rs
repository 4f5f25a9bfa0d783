//! A client that contends for a lock as etcd's concurrency package does, and fences what it writes.
//!
//! Each contender puts a key of its own under a lease; the key that was created first owns the lock. Everything
//! the owner writes is compared with its key's create revision, so that an owner that slept through the end of
//! its lease writes nothing, whatever it believes.

use std::sync::Arc;
use std::time::Duration;

use registry_checkers::history::Outcome;
use registry_checkers::model::{Answer, Operation};
use registry_proto::etcdserverpb::compare::{CompareTarget, TargetUnion};
use registry_proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use registry_proto::etcdserverpb::request_op::Request;
use registry_proto::etcdserverpb::{
    DeleteRangeRequest, LeaseKeepAliveRequest, LeaseRevokeRequest, PutRequest, RangeRequest, TxnRequest,
};
use tokio::time::{Instant, sleep};

use crate::client::Client;
use crate::generator::{equal, op, read};
use crate::settings::Settings;

/// How often a contender looks whether the lock is its own.
const LOOKS: usize = 20;

pub(crate) struct Contender {
    client: Client,
    settings: Arc<Settings>,
    /// Nothing is begun after it.
    end: Instant,
}

/// A place in the queue for the lock.
struct Place {
    key: String,
    lease: i64,
    ttl: Duration,
    /// When the key was created: the fence.
    revision: i64,
}

impl Contender {
    pub(crate) fn new(client: Client, settings: Arc<Settings>) -> Self {
        let end = Instant::now() + settings.limit;
        Self { client, settings, end }
    }

    pub(crate) async fn run(&mut self) {
        for _ in 0..self.settings.locks {
            self.think(3).await;
            if Instant::now() >= self.end {
                return;
            }
            let Some(place) = self.queue().await else { continue };
            if self.is_turn(&place).await {
                self.write(&place).await;
            }
            self.leave(&place).await;
        }
    }

    async fn think(&mut self, times: u64) {
        let pause = self.client.generator.think_ms() * times;
        sleep(Duration::from_millis(pause)).await;
    }

    /// A lease and a key under it.
    async fn queue(&mut self) -> Option<Place> {
        let grant = self.client.generator.grant();
        let Outcome::Answered(Answer::LeaseGrant(granted)) = self.client.call(Operation::LeaseGrant(grant)).await
        else {
            return None;
        };
        let key = format!("lock/{:x}", granted.id);
        let value = self.client.generator.value();
        let put = PutRequest { key: key.clone().into(), value, lease: granted.id, ..PutRequest::default() };
        let request = TxnRequest {
            compare: vec![equal(key.clone(), CompareTarget::Create, TargetUnion::CreateRevision(0))],
            success: vec![op(Request::RequestPut(put))],
            failure: vec![op(Request::RequestRange(read(key.clone())))],
        };
        let Outcome::Answered(Answer::Txn(answer)) = self.client.call(Operation::Txn(request)).await else {
            return None;
        };
        let revision = answer.header.filter(|_| answer.succeeded)?.revision;
        Some(Place { key, lease: granted.id, ttl: Duration::from_secs(granted.ttl.unsigned_abs()), revision })
    }

    /// Waits until the key is the oldest one; not for ever.
    async fn is_turn(&mut self, place: &Place) -> bool {
        let first = RangeRequest {
            key: "lock/".into(),
            range_end: "lock0".into(),
            limit: 1,
            sort_order: SortOrder::Ascend.into(),
            sort_target: SortTarget::Create.into(),
            ..RangeRequest::default()
        };
        for _ in 0..LOOKS {
            if Instant::now() >= self.end {
                break;
            }
            if let Outcome::Answered(Answer::Range(answer)) = self.client.call(Operation::Range(first.clone())).await {
                let kvs = answer.kvs.into_messages().unwrap_or_default();
                if kvs.first().is_some_and(|kv| kv.key == place.key.as_bytes()) {
                    return true;
                }
            }
            self.think(2).await;
            self.renew(place).await;
        }
        false
    }

    async fn renew(&mut self, place: &Place) {
        self.client.call(Operation::LeaseKeepAlive(LeaseKeepAliveRequest { id: place.lease })).await;
    }

    /// Writes under the fence. One in a few sleeps through its lease first.
    async fn write(&mut self, place: &Place) {
        if self.client.generator.percent(25) {
            sleep(place.ttl + place.ttl / 2).await;
        }
        for _ in 0..4 {
            let value = self.client.generator.value();
            let put = PutRequest { key: "fenced".into(), value, prev_kv: true, ..PutRequest::default() };
            let fence = TargetUnion::CreateRevision(place.revision);
            let request = TxnRequest {
                compare: vec![equal(place.key.clone(), CompareTarget::Create, fence)],
                success: vec![op(Request::RequestPut(put))],
                failure: vec![op(Request::RequestRange(read("fenced")))],
            };
            if let Outcome::Answered(Answer::Txn(answer)) = self.client.call(Operation::Txn(request)).await
                && !answer.succeeded
            {
                self.client.caller.recorder.trace(format_args!("the lock of {} is lost", place.key));
                return;
            }
            self.think(1).await;
            if self.client.generator.percent(50) {
                self.renew(place).await;
            }
        }
    }

    /// Gives the place up: by a revoke, by a delete, or not at all.
    async fn leave(&mut self, place: &Place) {
        let key = place.key.clone().into();
        if self.client.generator.percent(60) {
            self.client.call(Operation::LeaseRevoke(LeaseRevokeRequest { id: place.lease })).await;
        } else if self.client.generator.percent(60) {
            let request = DeleteRangeRequest { key, ..DeleteRangeRequest::default() };
            self.client.call(Operation::DeleteRange(request)).await;
        }
    }
}
