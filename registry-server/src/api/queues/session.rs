//! What a call of these services does to keys, leases and watches: the only way from here to the rest of the server.
//!
//! etcd's Lock and Election are clients inside the server, and its client library hands errors on without their
//! code: they arrive as `Unknown` with their text. Clients look for that, so it is so here.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use registry_proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use registry_proto::etcdserverpb::request_op::Request as Operation;
use registry_proto::etcdserverpb::watch_request::RequestUnion;
use registry_proto::etcdserverpb::{
    Compare, DeleteRangeRequest, LeaseGrantRequest, PutRequest, RangeRequest, RequestOp, ResponseHeader, TxnRequest,
    TxnResponse, WatchCreateRequest, WatchRequest,
};
use registry_proto::mvccpb::{Event, KeyValue};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Status};

use super::claims::Claims;
use crate::api::answers::Answers;
use crate::api::backend::{SharedBackend, mismatch};
use crate::api::caller::Caller;
use crate::api::check;
use crate::api::range::range;
use crate::api::require_leader::RequireLeader;
use crate::api::watch::{WatchAnswers, WatchService};
use crate::apply::Outcome;
use crate::command::Command;
use crate::storage::Vfs;
use crate::types::{Author, Revision, Runtime};

/// The TTL of a lease that is granted because the caller brought none, in seconds, as in etcd.
const OWN_LEASE_TTL_SECONDS: i64 = 60;

/// What all calls of the services share.
pub struct Sessions<R: Runtime, V: Vfs> {
    backend: SharedBackend<R, V>,
    watches: WatchService,
    leader: Arc<RequireLeader>,
    claims: Claims,
    answers: Answers,
}

/// One call's way to the rest of the server.
pub(super) struct Session<R: Runtime, V: Vfs> {
    shared: Arc<Sessions<R, V>>,
    /// What this call does is permitted, or not, as if the caller did it itself.
    caller: Caller,
    /// Cancelled when the leader is lost, for a client that wants one.
    lost: Option<CancellationToken>,
}

/// The events of some watchers, in order.
pub(super) struct Watching(WatchAnswers<stream::Iter<std::vec::IntoIter<Result<WatchRequest, Status>>>>);

impl<R: Runtime, V: Vfs> Sessions<R, V> {
    /// Sessions over `backend`; waiting ends when the streams of `watches` end.
    pub fn new(backend: SharedBackend<R, V>, watches: WatchService, leader: Arc<RequireLeader>) -> Arc<Self> {
        // One key each: they take nothing that counts.
        let answers = Answers::new(backend.limits.max_answers_bytes);
        Arc::new(Self { backend, watches, leader, claims: Claims::default(), answers })
    }

    pub(super) fn begin<T>(self: &Arc<Self>, request: &Request<T>) -> Session<R, V> {
        let lost = self.leader.lost(request.metadata().as_ref());
        Session { shared: self.clone(), caller: Caller::of(request), lost }
    }
}

impl<R: Runtime, V: Vfs> Clone for Session<R, V> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), caller: self.caller.clone(), lost: self.lost.clone() }
    }
}

impl<R: Runtime, V: Vfs> Session<R, V> {
    /// Who shares which places in lines.
    pub(super) fn claims(&self) -> &Claims {
        &self.shared.claims
    }

    /// How long a proposal may take.
    pub(super) fn request_timeout(&self) -> std::time::Duration {
        self.shared.backend.node.request_timeout()
    }

    /// The lease that the caller named, or one that is granted for it.
    pub(super) async fn lease(&self, id: i64) -> Result<i64, Status> {
        if id != 0 {
            return Ok(id);
        }
        let id = fastrand::i64(1..);
        let ttl = OWN_LEASE_TTL_SECONDS.max(self.shared.backend.limits.min_lease_ttl_seconds);
        let grant = Command::LeaseGrant(LeaseGrantRequest { id, ttl });
        let author = self.author().await?;
        self.shared.backend.propose(&author, &grant).await.map_err(without_code)?;
        Ok(id)
    }

    /// The key-values of a range.
    pub(super) async fn range(&self, request: RangeRequest) -> Result<(ResponseHeader, Vec<KeyValue>), Status> {
        check::range(&request).map_err(without_code)?;
        let Sessions { backend, answers, .. } = &*self.shared;
        let (answer, _share) = range(backend, answers, &self.caller, &request).await.map_err(without_code)?;
        let kvs = answer.kvs.into_messages().map_err(|error| Status::internal(error.to_string()))?;
        Ok((answer.header.unwrap_or_default(), kvs))
    }

    /// Executes a transaction that writes.
    pub(super) async fn txn(&self, request: TxnRequest) -> Result<TxnResponse, Status> {
        let author = self.author().await?;
        self.txn_by(&author, request).await
    }

    /// Takes back what the caller was permitted to do here, also when its token has ended meanwhile.
    pub(super) async fn undo(&self, request: TxnRequest) -> Result<TxnResponse, Status> {
        self.txn_by(&Author::Member, request).await
    }

    async fn author(&self) -> Result<Author, Status> {
        self.shared.backend.author(&self.caller).await.map_err(without_code)
    }

    async fn txn_by(&self, author: &Author, request: TxnRequest) -> Result<TxnResponse, Status> {
        let backend = &self.shared.backend;
        check::txn(&request, backend.limits.max_txn_ops).map_err(without_code)?;
        let (revision, outcome) = backend.propose(author, &Command::Txn(request)).await.map_err(without_code)?;
        let Outcome::Txn(answer) = outcome else { return Err(mismatch()) };
        Ok(TxnResponse { header: Some(backend.header(revision)), ..answer })
    }

    /// Deletes a key.
    pub(super) async fn delete(&self, key: Bytes) -> Result<ResponseHeader, Status> {
        let request = DeleteRangeRequest { key, ..DeleteRangeRequest::default() };
        check::delete_range(&request).map_err(without_code)?;
        let author = self.author().await?;
        let proposed = self.shared.backend.propose(&author, &Command::DeleteRange(request)).await;
        proposed.map(|(revision, _)| self.shared.backend.header(revision)).map_err(without_code)
    }

    /// Watches ranges, each a key and a range end, from a revision on.
    pub(super) fn watch(&self, ranges: impl IntoIterator<Item = (Bytes, Bytes)>, from: Revision) -> Watching {
        let create = |(key, range_end)| {
            let create = WatchCreateRequest { key, range_end, start_revision: from.0, ..WatchCreateRequest::default() };
            Ok(WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) })
        };
        let creates: Vec<_> = ranges.into_iter().map(create).collect();
        Watching(self.shared.watches.answers(self.caller.clone(), stream::iter(creates), self.lost.clone()))
    }
}

impl Watching {
    /// The next events with the header of their answer; none when the watchers cannot go on, because what they want
    /// was compacted.
    ///
    /// # Errors
    /// The server stops, or the leader is lost and the client wants one.
    pub(super) async fn next(&mut self) -> Result<Option<(ResponseHeader, Vec<Event>)>, Status> {
        loop {
            let Some(answer) = self.0.next().await.transpose()? else { return Ok(None) };
            if answer.canceled {
                return Ok(None);
            }
            let events = answer.events.into_messages().map_err(|error| Status::internal(error.to_string()))?;
            if !events.is_empty() {
                return Ok(Some((answer.header.unwrap_or_default(), events)));
            }
        }
    }
}

/// An error as it comes out of etcd's client library. Only a server that cannot be used just now says so: whoever
/// tries again then does not wait for nothing.
fn without_code(error: impl Into<Status>) -> Status {
    let status = error.into();
    match status.code() {
        Code::Unavailable => status,
        _ => Status::unknown(status.message()),
    }
}

/// The keys below a name, as a key and a range end.
pub(super) fn below(name: &[u8]) -> (Bytes, Bytes) {
    // '0' comes after '/'.
    ([name, b"/"].concat().into(), [name, b"0"].concat().into())
}

/// Does one thing if a key was created at a revision, 0 standing for a key that is not there.
pub(super) fn if_created_at(key: &Bytes, revision: i64, then: Operation) -> TxnRequest {
    let compare = Compare {
        result: CompareResult::Equal.into(),
        target: CompareTarget::Create.into(),
        key: key.clone(),
        target_union: Some(TargetUnion::CreateRevision(revision)),
        range_end: Bytes::new(),
    };
    TxnRequest { compare: vec![compare], success: vec![RequestOp { request: Some(then) }], failure: Vec::new() }
}

/// A put under a lease.
pub(super) fn put(key: &Bytes, value: Bytes, lease: i64) -> Operation {
    Operation::RequestPut(PutRequest { key: key.clone(), value, lease, ..PutRequest::default() })
}

impl<R: Runtime, V: Vfs> std::fmt::Debug for Sessions<R, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sessions")
    }
}
