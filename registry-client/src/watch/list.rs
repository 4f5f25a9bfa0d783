//! Listing a prefix at one revision, in pages.

use registry_proto::etcdserverpb::kv_client::KvClient;
use registry_proto::etcdserverpb::{RangeRequest, RangeResponse};
use registry_proto::mvccpb::KeyValue;
use tokio::time::{Instant, timeout};
use tonic::{Code, Status};

use super::span::Span;
use crate::channel::{CALL_LIMIT, Channel, failure};
use crate::error::Error;

/// 10,000 instances exceed a message of 4 MiB.
const PAGE_LIMIT: i64 = 500;
/// A page that is larger than this is asked for again in smaller ones.
const PAGE_LIMIT_BYTES: usize = 16 << 20;
/// How often a list begins anew because its revision went away while it was read.
const ATTEMPTS: usize = 3;

/// All keys of a prefix at `revision`.
#[derive(Debug)]
pub(crate) struct Listing {
    pub(crate) cluster_id: u64,
    pub(crate) revision: i64,
    pub(crate) kvs: Vec<KeyValue>,
}

/// What comes of one page.
enum Page {
    Read(RangeResponse),
    TooLarge,
    /// The revision of the pages before is compacted, or another registry answers, which has none of it.
    Gone,
}

pub(crate) async fn list(channel: &Channel, span: &Span) -> Result<Listing, Error> {
    for _ in 0..ATTEMPTS {
        if let Some(listing) = list_once(channel, span).await? {
            return Ok(listing);
        }
    }
    Err(Error::Unavailable { message: format!("the revision of {ATTEMPTS} lists went away while they were read") })
}

/// Nothing when the list's revision went away while it was read.
async fn list_once(channel: &Channel, span: &Span) -> Result<Option<Listing>, Error> {
    let mut listing = Listing { cluster_id: 0, revision: 0, kvs: Vec::new() };
    let mut request =
        RangeRequest { key: span.key.clone(), range_end: span.end.clone(), limit: PAGE_LIMIT, ..Default::default() };
    loop {
        let answer = match page(channel, &request).await? {
            Page::Read(answer) => answer,
            Page::TooLarge => {
                request.limit /= 2;
                continue;
            }
            Page::Gone => return Ok(None),
        };
        let header = answer.header.unwrap_or_default();
        if request.revision == 0 {
            // Every further page is read at the first one's revision.
            request.revision = header.revision;
            listing.revision = header.revision;
            listing.cluster_id = header.cluster_id;
        } else if listing.cluster_id != header.cluster_id {
            return Ok(None);
        }
        let unreadable = |error: &dyn std::error::Error| Error::Unavailable { message: error.to_string() };
        listing.kvs.extend(answer.kvs.into_messages().map_err(|error| unreadable(&error))?);
        match listing.kvs.last() {
            Some(last) if answer.more => request.key = [&last.key[..], &[0]].concat().into(),
            _ => return Ok(Some(listing)),
        }
    }
}

async fn page(channel: &Channel, request: &RangeRequest) -> Result<Page, Error> {
    let mut client = KvClient::new(channel.clone()).max_decoding_message_size(PAGE_LIMIT_BYTES);
    let called_at = Instant::now();
    match timeout(CALL_LIMIT, client.range(request.clone())).await {
        Ok(Ok(answer)) => Ok(Page::Read(answer.into_inner())),
        Ok(Err(status)) if is_too_large(&status) && request.limit > 1 => Ok(Page::TooLarge),
        Ok(Err(status)) if is_gone(&status) && request.revision > 0 => Ok(Page::Gone),
        Ok(Err(status)) => {
            if status.code() == Code::Unavailable {
                channel.condemn(called_at);
            }
            Err(failure(&status).error)
        }
        Err(_) => {
            channel.condemn(called_at);
            Err(Error::Unavailable { message: format!("no list within {CALL_LIMIT:?}") })
        }
    }
}

/// tonic's own refusal of a message above the limit.
fn is_too_large(status: &Status) -> bool {
    status.code() == Code::OutOfRange && status.message().contains("too large")
}

/// etcd's words for a revision that it has no more, and for one that it has not got yet.
fn is_gone(status: &Status) -> bool {
    status.code() == Code::OutOfRange && status.message().contains("required revision")
}
