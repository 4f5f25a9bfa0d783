//! The Lock service: a lock is held by the oldest key below its name.

use std::sync::Arc;

use bytes::Bytes;
use registry_proto::v3lockpb::lock_server::Lock;
use registry_proto::v3lockpb::{LockRequest, LockResponse, UnlockRequest, UnlockResponse};
use tonic::{Request, Response, Status};

use super::place::{Lost, Place};
use super::session::Sessions;
use crate::storage::Vfs;
use crate::types::Runtime;

/// As etcd's client library says it.
const EXPIRED: &str = "mutex: session is expired";

/// The Lock service over sessions.
pub struct LockService<R: Runtime, V: Vfs>(Arc<Sessions<R, V>>);

impl<R: Runtime, V: Vfs> LockService<R, V> {
    /// A service over `sessions`.
    pub fn new(sessions: Arc<Sessions<R, V>>) -> Self {
        Self(sessions)
    }
}

#[tonic::async_trait]
impl<R: Runtime, V: Vfs> Lock for LockService<R, V> {
    async fn lock(&self, request: Request<LockRequest>) -> Result<Response<LockResponse>, Status> {
        let session = self.0.begin(&request);
        let LockRequest { name, lease } = request.into_inner();
        let lease = session.lease(lease).await?;
        let (mut place, taken) = Place::take(&session, &name, lease, Bytes::new()).await?;
        let header = match place.turn().await {
            Ok(header) => header.unwrap_or(taken.header),
            Err(Lost::Place) => return Err(Status::unknown(EXPIRED)),
            Err(Lost::Call(status)) => return Err(status),
        };
        let (key, _) = place.keep();
        Ok(Response::new(LockResponse { header: Some(header), key }))
    }

    async fn unlock(&self, request: Request<UnlockRequest>) -> Result<Response<UnlockResponse>, Status> {
        let session = self.0.begin(&request);
        let header = session.delete(request.into_inner().key).await?;
        Ok(Response::new(UnlockResponse { header: Some(header) }))
    }
}

impl<R: Runtime, V: Vfs> std::fmt::Debug for LockService<R, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LockService")
    }
}
