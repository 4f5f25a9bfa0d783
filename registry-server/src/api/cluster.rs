//! The Cluster service: who the members are. A cluster of one has nobody to add or to remove yet; those
//! calls say so.

use registry_proto::etcdserverpb::cluster_server::Cluster;
use registry_proto::etcdserverpb::{
    MemberAddRequest, MemberAddResponse, MemberListRequest, MemberListResponse, MemberPromoteRequest,
    MemberPromoteResponse, MemberRemoveRequest, MemberRemoveResponse, MemberUpdateRequest, MemberUpdateResponse,
    ResponseHeader,
};
use tonic::{Request, Response, Status};

use super::backend::SharedBackend;
use crate::storage::Vfs;
use crate::types::Runtime;

/// The Cluster service over a backend.
pub struct ClusterService<R: Runtime, V: Vfs>(SharedBackend<R, V>);

impl<R: Runtime, V: Vfs> ClusterService<R, V> {
    /// A service over `backend`.
    pub fn new(backend: SharedBackend<R, V>) -> Self {
        Self(backend)
    }
}

fn one_member(call: &str) -> Status {
    Status::unimplemented(format!("{call}: this version runs clusters of one member, which cannot be changed"))
}

#[tonic::async_trait]
impl<R: Runtime, V: Vfs> Cluster for ClusterService<R, V> {
    async fn member_add(&self, _: Request<MemberAddRequest>) -> Result<Response<MemberAddResponse>, Status> {
        Err(one_member("MemberAdd"))
    }

    async fn member_remove(&self, _: Request<MemberRemoveRequest>) -> Result<Response<MemberRemoveResponse>, Status> {
        Err(one_member("MemberRemove"))
    }

    async fn member_update(&self, _: Request<MemberUpdateRequest>) -> Result<Response<MemberUpdateResponse>, Status> {
        Err(one_member("MemberUpdate"))
    }

    async fn member_list(&self, request: Request<MemberListRequest>) -> Result<Response<MemberListResponse>, Status> {
        if request.into_inner().linearizable {
            self.0.read_barrier().await?;
        }
        let members = self.0.state.cluster.read().members().cloned().collect();
        // As in etcd, the Cluster service's answers carry no revision.
        let header = ResponseHeader { revision: 0, ..self.0.header_now() };
        Ok(Response::new(MemberListResponse { header: Some(header), members }))
    }

    async fn member_promote(
        &self,
        _: Request<MemberPromoteRequest>,
    ) -> Result<Response<MemberPromoteResponse>, Status> {
        Err(one_member("MemberPromote"))
    }
}
