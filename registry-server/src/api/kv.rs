//! The KV service: validate, then propose or read, then answer.

use std::pin::Pin;

use futures_core::Stream;
use registry_proto::etcdserverpb::kv_server::Kv;
use registry_proto::etcdserverpb::{
    CompactionRequest, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse, PutRequest, PutResponse,
    RangeRequest, RangeResponse, RangeStreamResponse, TxnRequest, TxnResponse,
};
use tonic::{Request, Response, Status};

use super::backend::{SharedBackend, mismatch, mvcc_status};
use super::check;
use super::range::{Ranges, range, range_stream};
use crate::apply::{Outcome, is_read_only, is_serializable, read_only_txn};
use crate::command::Command;
use crate::storage::Vfs;
use crate::types::{Revision, Runtime};

/// The KV service over a backend.
pub struct KvService<R: Runtime, V: Vfs>(SharedBackend<R, V>);

impl<R: Runtime, V: Vfs> KvService<R, V> {
    /// A service over `backend`.
    pub fn new(backend: SharedBackend<R, V>) -> Self {
        Self(backend)
    }

    async fn read_txn(&self, request: &TxnRequest) -> Result<TxnResponse, Status> {
        if !is_serializable(request) {
            self.0.read_barrier().await?;
        }
        let response = read_only_txn(request, &self.0.state.store.read());
        let mut response = response.map_err(mvcc_status)?;
        let revision = response.header.map_or(0, |header| header.revision);
        response.header = Some(self.0.header(Revision(revision)));
        Ok(response)
    }
}

#[tonic::async_trait]
impl<R: Runtime, V: Vfs> Kv for KvService<R, V> {
    async fn range(&self, request: Request<RangeRequest>) -> Result<Response<RangeResponse>, Status> {
        let request = request.into_inner();
        check::range(&request)?;
        range(&self.0, &request).await.map(Response::new)
    }

    type RangeStreamStream = Pin<Box<dyn Stream<Item = Result<RangeStreamResponse, Status>> + Send>>;

    async fn range_stream(&self, request: Request<RangeRequest>) -> Result<Response<Self::RangeStreamStream>, Status> {
        let request = request.into_inner();
        check::range(&request)?;
        check::range_stream(&request)?;
        let ranges = Ranges::begin(&self.0, &request).await?;
        Ok(Response::new(Box::pin(range_stream(ranges))))
    }

    async fn put(&self, request: Request<PutRequest>) -> Result<Response<PutResponse>, Status> {
        let request = request.into_inner();
        check::put(&request)?;
        let (revision, outcome) = self.0.propose(&Command::Put(request)).await?;
        let Outcome::Put(mut response) = outcome else { return Err(mismatch()) };
        response.header = Some(self.0.header(revision));
        Ok(Response::new(response))
    }

    async fn delete_range(
        &self,
        request: Request<DeleteRangeRequest>,
    ) -> Result<Response<DeleteRangeResponse>, Status> {
        let request = request.into_inner();
        check::delete_range(&request)?;
        let (revision, outcome) = self.0.propose(&Command::DeleteRange(request)).await?;
        let Outcome::DeleteRange(mut response) = outcome else { return Err(mismatch()) };
        response.header = Some(self.0.header(revision));
        Ok(Response::new(response))
    }

    async fn txn(&self, request: Request<TxnRequest>) -> Result<Response<TxnResponse>, Status> {
        let request = request.into_inner();
        check::txn(&request, self.0.limits.max_txn_ops)?;
        if is_read_only(&request) {
            return self.read_txn(&request).await.map(Response::new);
        }
        let (revision, outcome) = self.0.propose(&Command::Txn(request)).await?;
        let Outcome::Txn(mut response) = outcome else { return Err(mismatch()) };
        response.header = Some(self.0.header(revision));
        Ok(Response::new(response))
    }

    async fn compact(&self, request: Request<CompactionRequest>) -> Result<Response<CompactionResponse>, Status> {
        let request = request.into_inner();
        let physical = request.physical;
        let at = Revision(request.revision);
        let (revision, _) = self.0.propose(&Command::Compact(request)).await?;
        if physical {
            self.0.state.swept_to(at).await;
        }
        Ok(Response::new(CompactionResponse { header: Some(self.0.header(revision)) }))
    }
}
