//! Reading what stands under a prefix: in pages, at one revision.

use bytes::Bytes;
use registry_proto::etcdserverpb::kv_client::KvClient;
use registry_proto::etcdserverpb::{RangeRequest, ResponseHeader};
use registry_proto::mvccpb::KeyValue;
use tonic::{Code, Status};

use crate::commands::span::prefix_end;
use crate::commands::within;
use crate::connect::Connection;
use crate::error::CtlError;
use crate::global::Global;

/// Of one request, so that no answer is too large to hold.
const PAGE_LIMIT: i64 = 500;
/// How often it is begun anew because its revision went away while it was read.
const ATTEMPTS: usize = 3;

/// Adds up all keys of a prefix at one revision; the answer's header tells which.
pub(in crate::commands) async fn fold<T: Default>(
    global: &Global,
    connection: &Connection,
    prefix: &str,
    mut add: impl FnMut(&mut T, KeyValue),
) -> Result<(T, ResponseHeader), CtlError> {
    let mut client = KvClient::new(connection.clone()).max_decoding_message_size(usize::MAX);
    let range_end = prefix_end(prefix.as_bytes());
    for _ in 0..ATTEMPTS {
        let (mut sum, mut header) = (T::default(), ResponseHeader::default());
        let key = Bytes::copy_from_slice(prefix.as_bytes());
        let mut request =
            RangeRequest { key, range_end: range_end.clone(), limit: PAGE_LIMIT, ..RangeRequest::default() };
        loop {
            let asked = request.clone();
            let answer = within(global, async { Ok(client.range(asked).await?.into_inner()) }).await;
            let answer = match answer {
                Err(CtlError::Status(status)) if is_gone(&status) && request.revision > 0 => break,
                answer => answer?,
            };
            if request.revision == 0 {
                header = answer.header.unwrap_or_default();
                request.revision = header.revision;
            }
            let more = answer.more;
            let kvs = answer.kvs.into_messages().map_err(|error| CtlError::Answer(error.to_string()))?;
            if let Some(last) = kvs.last() {
                request.key = [&last.key[..], &[0]].concat().into();
            }
            let is_last = !more || kvs.is_empty();
            kvs.into_iter().for_each(|kv| add(&mut sum, kv));
            if is_last {
                return Ok((sum, header));
            }
        }
    }
    let text = format!("history was compacted {ATTEMPTS} times while it was read: try again");
    Err(CtlError::Answer(text))
}

/// The revision is compacted; etcd's words, as its code has other meanings too.
fn is_gone(status: &Status) -> bool {
    status.code() == Code::OutOfRange && status.message().contains("required revision")
}
