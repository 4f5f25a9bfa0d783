//! The two streams: a keep-alive stream for all leases, a watch stream for all watches.
//!
//! Requests are only taken while the client's queue has a place, so that answers are never kept waiting by requests
//! that a server does not take. Dropping the answers ends the stream at the server.

use std::future::pending;
use std::sync::Arc;

use etcd_client::proto::{PbLeaseKeepAliveResponse, PbWatchResponse};
use etcd_client::{
    Client, Error, LeaseKeepAliveStream, LeaseKeeper, WatchFilterType, WatchOptions, WatchRequestSender,
    WatchResponseStream,
};
use futures_util::stream::unfold;
use registry_proto::etcdserverpb::watch_request::RequestUnion;
use registry_proto::etcdserverpb::{LeaseKeepAliveRequest, WatchCreateRequest, WatchRequest};
use tokio::sync::mpsc;
use tonic::{Status, Streaming};

use super::{ANSWER_LIMIT_BYTES, Answers, status};

/// What the client says of a stream whose first lease is not there.
const NO_LEASE: &str = "lease not found";

/// The next answer and what comes after it; nothing at the end.
type Next<T, S> = Option<(Result<T, Status>, S)>;

/// Opens the stream with the first lease that is asked for.
pub(super) async fn keep_alive(
    client: Arc<Client>,
    requests: Streaming<LeaseKeepAliveRequest>,
) -> Result<Answers<PbLeaseKeepAliveResponse>, Status> {
    Ok(Box::pin(unfold(KeepAlive { client, requests, stream: None }, KeepAlive::next)))
}

struct KeepAlive {
    client: Arc<Client>,
    requests: Streaming<LeaseKeepAliveRequest>,
    /// None before the first lease that is there.
    stream: Option<(LeaseKeeper, LeaseKeepAliveStream)>,
}

impl KeepAlive {
    async fn next(mut self) -> Next<PbLeaseKeepAliveResponse, Self> {
        loop {
            let Some((keeper, answers)) = &mut self.stream else {
                let id = self.requests.message().await.ok()??.id;
                match self.open(id).await {
                    Ok(()) => continue,
                    Err(Error::LeaseKeepAliveError(text)) if text == NO_LEASE => {
                        let gone = PbLeaseKeepAliveResponse { header: None, id, ttl: 0 };
                        return Some((Ok(gone), self));
                    }
                    // So it calls a stream that ended before its first answer.
                    Err(Error::WatchError(_)) => return None,
                    Err(error) => return Some((Err(status(error)), self)),
                }
            };
            tokio::select! {
                biased;
                answer = answers.message() => {
                    return answer.map_err(status).transpose().map(|answer| (answer.map(|answer| answer.0), self));
                }
                request = next_request(&keeper.sender, &mut self.requests) => {
                    keeper.id = request?.id;
                    if let Err(error) = keeper.keep_alive().await {
                        return Some((Err(status(error)), self));
                    }
                }
            }
        }
    }

    /// The client takes the first answer and keeps the TTL in it to itself: the lease is kept alive once more.
    async fn open(&mut self, id: i64) -> Result<(), Error> {
        let (mut keeper, answers) = self.client.lease_client().keep_alive(id).await?;
        keeper.keep_alive().await?;
        self.stream = Some((keeper, answers));
        Ok(())
    }
}

/// Waits for the first watch and for the stream to begin, as the client opens it with a watch.
pub(super) async fn watch(
    client: Arc<Client>,
    mut requests: Streaming<WatchRequest>,
) -> Result<Answers<PbWatchResponse>, Status> {
    let (key, options) = loop {
        match requests.message().await?.ok_or_else(|| Status::cancelled("no watch was asked for"))?.request_union {
            Some(RequestUnion::CreateRequest(request)) => break created(request)?,
            // Without a watch there is nothing to cancel, and no progress.
            _ => continue,
        }
    };
    let mut client = client.watch_client().max_decoding_message_size(ANSWER_LIMIT_BYTES);
    let (sender, answers) = client.watch(key, Some(options)).await.map_err(status)?.split();
    Ok(Box::pin(unfold(Watch { requests, sender, answers }, Watch::next)))
}

struct Watch {
    requests: Streaming<WatchRequest>,
    sender: WatchRequestSender,
    answers: WatchResponseStream,
}

impl Watch {
    async fn next(mut self) -> Next<PbWatchResponse, Self> {
        loop {
            tokio::select! {
                biased;
                answer = self.answers.message() => {
                    return answer.map_err(status).transpose().map(|answer| (answer.map(|answer| answer.0), self));
                }
                request = next_request(&self.sender.0, &mut self.requests) => {
                    if let Err(error) = self.pass_on(request?).await {
                        return Some((Err(error), self));
                    }
                }
            }
        }
    }

    async fn pass_on(&mut self, request: WatchRequest) -> Result<(), Status> {
        let passed = match request.request_union {
            Some(RequestUnion::CreateRequest(request)) => {
                let (key, options) = created(request)?;
                self.sender.watch(key, Some(options)).await
            }
            Some(RequestUnion::CancelRequest(request)) => self.sender.cancel(request.watch_id).await,
            Some(RequestUnion::ProgressRequest(_)) => self.sender.request_progress().await,
            None => Ok(()),
        };
        passed.map_err(status)
    }
}

fn created(request: WatchCreateRequest) -> Result<(Vec<u8>, WatchOptions), Status> {
    let WatchCreateRequest { key, range_end, start_revision, progress_notify, filters, prev_kv, watch_id, fragment } =
        request;
    let filter =
        |filter: i32| WatchFilterType::try_from(filter).map_err(|error| Status::invalid_argument(error.to_string()));
    let filters: Vec<_> = filters.into_iter().map(filter).collect::<Result<_, _>>()?;
    let options = WatchOptions::new()
        .with_range(range_end)
        .with_start_revision(start_revision)
        .with_filters(filters)
        .with_watch_id(watch_id);
    let options = if progress_notify { options.with_progress_notify() } else { options };
    let options = if prev_kv { options.with_prev_key() } else { options };
    Ok((key.into(), if fragment { options.with_fragment() } else { options }))
}

/// The next request, once the client's queue has a place for it; nothing when nobody asks any more. Dropping the future
/// loses nothing.
async fn next_request<Q, R>(queue: &mpsc::Sender<Q>, requests: &mut Streaming<R>) -> Option<R> {
    if queue.reserve().await.is_err() {
        // The stream is over, which its answers say.
        return pending().await;
    }
    requests.message().await.ok().flatten()
}
