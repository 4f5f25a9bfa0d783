//! The KV service: validate, then propose or read, then answer.

use std::pin::Pin;

use futures_core::Stream;
use futures_util::StreamExt;
use prost::Message;
use registry_proto::etcdserverpb::kv_server::Kv;
use registry_proto::etcdserverpb::{
    CompactionRequest, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse, PutRequest, PutResponse,
    RangeRequest, RangeResponse, RangeStreamResponse, TxnRequest, TxnResponse,
};
use tonic::{Request, Response, Status};

use super::answers::{Answers, Share, Taken, read_something};
use super::audit::Wanted;
use super::backend::{SharedBackend, mismatch, mvcc_status};
use super::caller::Caller;
use super::check;
use super::range::{Ranges, range, range_stream};
use super::steps::{step, step_named};
use crate::apply::{Outcome, is_read_only, is_serializable, permit_txn, read_only_txn};
use crate::auth::Rights;
use crate::command::Command;
use crate::storage::Vfs;
use crate::types::{Revision, Runtime};

/// The KV service over a backend.
pub struct KvService<R: Runtime, V: Vfs>(SharedBackend<R, V>, Answers);

impl<R: Runtime, V: Vfs> KvService<R, V> {
    /// A service over `backend`.
    pub fn new(backend: SharedBackend<R, V>) -> Self {
        let answers = Answers::new(backend.limits.max_answers_bytes);
        Self(backend, answers)
    }

    async fn read_txn(&self, caller: &Caller, request: &TxnRequest) -> Result<Response<TxnResponse>, Status> {
        if !is_serializable(request) {
            self.0.read_barrier().await?;
        }
        let check = |rights: &Rights<'_>| permit_txn(rights, &self.0.state.leases.read(), request);
        let permitted = self.0.permit_read(caller, check).await;
        self.0.tell(caller, "txn", || Wanted::of_txn(request), &permitted);
        let permitted = permitted?;
        let response = read_only_txn(request, &self.0.state.store.read());
        let mut response = response.map_err(mvcc_status)?;
        self.0.is_still(permitted)?;
        self.0.state.counts.note_txn(&response);
        let revision = response.header.map_or(0, |header| header.revision);
        response.header = Some(self.0.header(Revision(revision)));
        let mut taken = self.1.begin();
        taken.grow(response.encoded_len())?;
        Ok(with_share(response, taken.share()))
    }
}

/// The answer of a write that was done; if it reads, with its share.
fn settled<T: Message>(answer: T, taken: Option<Taken>) -> Response<T> {
    let share = taken.and_then(|taken| taken.settle(answer.encoded_len()));
    with_share(answer, share)
}

/// An answer whose bytes hold a share, if it is large.
fn with_share<T>(answer: T, share: Option<Share>) -> Response<T> {
    let mut response = Response::new(answer);
    if let Some(share) = share {
        response.extensions_mut().insert(share);
    }
    response
}

#[tonic::async_trait]
impl<R: Runtime, V: Vfs> Kv for KvService<R, V> {
    async fn range(&self, request: Request<RangeRequest>) -> Result<Response<RangeResponse>, Status> {
        let _step = step(&request);
        let caller = Caller::of(&request);
        let request = request.into_inner();
        check::range(&request)?;
        let (answer, share) = range(&self.0, &self.1, &caller, &request).await?;
        Ok(with_share(answer, share))
    }

    type RangeStreamStream = Pin<Box<dyn Stream<Item = Result<RangeStreamResponse, Status>> + Send>>;

    async fn range_stream(&self, request: Request<RangeRequest>) -> Result<Response<Self::RangeStreamStream>, Status> {
        let step = step_named("range_streaming", &request);
        let caller = Caller::of(&request);
        let request = request.into_inner();
        check::range(&request)?;
        check::range_stream(&request)?;
        let ranges = Ranges::begin(&self.0, &caller, &request).await?;
        let slices = range_stream(ranges).inspect(move |_| {
            // The step ends with the stream.
            let _ = &step;
        });
        Ok(Response::new(Box::pin(slices)))
    }

    async fn put(&self, request: Request<PutRequest>) -> Result<Response<PutResponse>, Status> {
        let _step = step(&request);
        let caller = Caller::of(&request);
        let request = request.into_inner();
        check::put(&request)?;
        let taken = request.prev_kv.then(|| self.1.begin_write()).transpose()?;
        let author = self.0.author(&caller).await?;
        let (revision, outcome) = self.0.propose(&author, &Command::Put(request)).await?;
        let Outcome::Put(mut response) = outcome else { return Err(mismatch()) };
        response.header = Some(self.0.header(revision));
        Ok(settled(response, taken))
    }

    async fn delete_range(
        &self,
        request: Request<DeleteRangeRequest>,
    ) -> Result<Response<DeleteRangeResponse>, Status> {
        let _step = step(&request);
        let caller = Caller::of(&request);
        let request = request.into_inner();
        check::delete_range(&request)?;
        let taken = request.prev_kv.then(|| self.1.begin_write()).transpose()?;
        let author = self.0.author(&caller).await?;
        let (revision, outcome) = self.0.propose(&author, &Command::DeleteRange(request)).await?;
        let Outcome::DeleteRange(mut response) = outcome else { return Err(mismatch()) };
        response.header = Some(self.0.header(revision));
        Ok(settled(response, taken))
    }

    async fn txn(&self, request: Request<TxnRequest>) -> Result<Response<TxnResponse>, Status> {
        let _step = step(&request);
        let caller = Caller::of(&request);
        let request = request.into_inner();
        check::txn(&request, self.0.limits.max_txn_ops)?;
        if is_read_only(&request) {
            return self.read_txn(&caller, &request).await;
        }
        let reads = read_something(&request.success) || read_something(&request.failure);
        let taken = reads.then(|| self.1.begin_write()).transpose()?;
        let author = self.0.author(&caller).await?;
        let (revision, outcome) = self.0.propose(&author, &Command::Txn(request)).await?;
        let Outcome::Txn(mut response) = outcome else { return Err(mismatch()) };
        response.header = Some(self.0.header(revision));
        Ok(settled(response, taken))
    }

    async fn compact(&self, request: Request<CompactionRequest>) -> Result<Response<CompactionResponse>, Status> {
        let _step = step(&request);
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let physical = request.physical;
        let at = Revision(request.revision);
        let author = self.0.author(&caller).await?;
        let (revision, _) = self.0.propose(&author, &Command::Compact(request)).await?;
        if physical {
            self.0.state.swept_to(at).await;
        }
        Ok(Response::new(CompactionResponse { header: Some(self.0.header(revision)) }))
    }
}
