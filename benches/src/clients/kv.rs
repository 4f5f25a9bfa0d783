//! Clients of the KV service: put, get, range, txn.
//!
//! Answers are checked: a server that is fast because it returns something else is not fast.

use std::future::Future;
use std::sync::Arc;

use registry_proto::etcdserverpb::kv_client::KvClient;
use registry_proto::etcdserverpb::request_op::Request;
use registry_proto::etcdserverpb::{PutRequest, RangeRequest, RequestOp, TxnRequest};
use tokio::time::Instant;

use super::{Client, MAX_ANSWER_BYTES};
use crate::BenchError;
use crate::channel::Connection;
use crate::crew::Plan;
use crate::keys::Keys;

type Kv = KvClient<Connection>;

/// Puts the next key.
pub(crate) struct Put {
    kv: Kv,
    keys: Arc<Keys>,
}

/// Reads `count` neighbouring keys; a single one by its name.
pub(crate) struct Range {
    kv: Kv,
    keys: Arc<Keys>,
    count: u64,
    serializable: bool,
    operation: &'static str,
}

/// Puts `puts` neighbouring keys at once.
pub(crate) struct Txn {
    kv: Kv,
    keys: Arc<Keys>,
    puts: u64,
}

pub(crate) async fn puts(plan: &Plan) -> Result<Vec<Put>, BenchError> {
    let keys = || Arc::clone(&plan.keys);
    Ok(stubs(plan).await?.map(|kv| Put { kv, keys: keys() }).collect())
}

pub(crate) async fn gets(plan: &Plan) -> Result<Vec<Range>, BenchError> {
    readers(plan, 1, "get").await
}

pub(crate) async fn ranges(plan: &Plan) -> Result<Vec<Range>, BenchError> {
    readers(plan, plan.load.range_keys, "range").await
}

pub(crate) async fn txns(plan: &Plan) -> Result<Vec<Txn>, BenchError> {
    let (keys, puts) = (|| Arc::clone(&plan.keys), plan.load.txn_puts);
    Ok(stubs(plan).await?.map(|kv| Txn { kv, keys: keys(), puts }).collect())
}

async fn readers(plan: &Plan, count: u64, operation: &'static str) -> Result<Vec<Range>, BenchError> {
    let (keys, serializable) = (|| Arc::clone(&plan.keys), plan.load.serializable);
    Ok(stubs(plan).await?.map(|kv| Range { kv, keys: keys(), count, serializable, operation }).collect())
}

async fn stubs(plan: &Plan) -> Result<impl Iterator<Item = Kv>, BenchError> {
    let stub = |connection: Connection| {
        let origin = connection.origin();
        KvClient::with_origin(connection, origin).max_decoding_message_size(MAX_ANSWER_BYTES)
    };
    Ok(plan.connect().await?.into_iter().map(stub))
}

impl Client for Put {
    fn act(&mut self, _: Instant) -> impl Future<Output = Result<(), BenchError>> + Send {
        let request = PutRequest { key: self.keys.next(), value: self.keys.value(), ..PutRequest::default() };
        async {
            self.kv.put(request).await.map_err(BenchError::operation("put"))?;
            Ok(())
        }
    }
}

impl Client for Range {
    async fn act(&mut self, _: Instant) -> Result<(), BenchError> {
        let first = self.keys.next_run(self.count);
        let request = RangeRequest {
            key: self.keys.key(first),
            range_end: if self.count == 1 { bytes::Bytes::new() } else { self.keys.key(first + self.count) },
            serializable: self.serializable,
            ..RangeRequest::default()
        };
        let answer = self.kv.range(request).await.map_err(BenchError::operation(self.operation))?.into_inner();
        let kvs = answer.kvs.into_messages().map_err(|error| BenchError::answer(self.operation, error.to_string()))?;
        if kvs.len() as u64 != self.count {
            let what = format!("{} keys from key {first} on instead of {}", kvs.len(), self.count);
            return Err(BenchError::answer(self.operation, what));
        }
        Ok(())
    }
}

impl Client for Txn {
    async fn act(&mut self, _: Instant) -> Result<(), BenchError> {
        let first = self.keys.next_run(self.puts);
        let request = put_all(&self.keys, first..first + self.puts);
        self.kv.txn(request).await.map_err(BenchError::operation("txn"))?;
        Ok(())
    }
}

/// A transaction without conditions that puts these keys.
pub(crate) fn put_all(keys: &Keys, numbers: impl Iterator<Item = u64>) -> TxnRequest {
    let put = |number| {
        let put = PutRequest { key: keys.key(number), value: keys.value(), ..PutRequest::default() };
        RequestOp { request: Some(Request::RequestPut(put)) }
    };
    TxnRequest { success: numbers.map(put).collect(), ..TxnRequest::default() }
}
