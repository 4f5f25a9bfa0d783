//! Listing a prefix at one revision, in pages.

use registry_proto::etcdserverpb::RangeRequest;
use registry_proto::etcdserverpb::kv_client::KvClient;
use registry_proto::mvccpb::KeyValue;
use tokio::time::{Instant, timeout};
use tonic::Code;

use super::span::Span;
use crate::channel::{CALL_LIMIT, Channel, failure};
use crate::error::Error;

/// 10,000 instances exceed a message of 4 MiB.
const PAGE_LIMIT: i64 = 500;
/// A page that is larger than this is asked for again in smaller ones.
const PAGE_LIMIT_BYTES: usize = 16 << 20;

/// All keys of a prefix at `revision`.
#[derive(Debug)]
pub(crate) struct Listing {
    pub(crate) cluster_id: u64,
    pub(crate) revision: i64,
    pub(crate) kvs: Vec<KeyValue>,
}

pub(crate) async fn list(channel: &Channel, span: &Span) -> Result<Listing, Error> {
    let mut listing = Listing { cluster_id: 0, revision: 0, kvs: Vec::new() };
    let mut request =
        RangeRequest { key: span.key.clone(), range_end: span.end.clone(), limit: PAGE_LIMIT, ..Default::default() };
    let mut client = KvClient::new(channel.clone()).max_decoding_message_size(PAGE_LIMIT_BYTES);
    loop {
        let called_at = Instant::now();
        let answer = match timeout(CALL_LIMIT, client.range(request.clone())).await {
            Ok(Ok(answer)) => answer.into_inner(),
            Ok(Err(status)) if is_too_large(status.code(), status.message()) && request.limit > 1 => {
                request.limit /= 2;
                continue;
            }
            Ok(Err(status)) => {
                if status.code() == Code::Unavailable {
                    channel.condemn(called_at);
                }
                return Err(failure(&status).error);
            }
            Err(_) => {
                channel.condemn(called_at);
                return Err(Error::Unavailable { message: format!("no list within {CALL_LIMIT:?}") });
            }
        };
        let header = answer.header.unwrap_or_default();
        if request.revision == 0 {
            // Every further page is read at the first one's revision.
            request.revision = header.revision;
            listing.revision = header.revision;
            listing.cluster_id = header.cluster_id;
        }
        let unreadable = |error: &dyn std::error::Error| Error::Unavailable { message: error.to_string() };
        listing.kvs.extend(answer.kvs.into_messages().map_err(|error| unreadable(&error))?);
        match listing.kvs.last() {
            Some(last) if answer.more => request.key = [&last.key[..], &[0]].concat().into(),
            _ => return Ok(listing),
        }
    }
}

/// tonic's own refusal of a message above the limit.
fn is_too_large(code: Code, message: &str) -> bool {
    code == Code::OutOfRange && message.contains("too large")
}
