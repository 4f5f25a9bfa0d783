//! How clients reach members: whatever carries a gRPC request, and whose id stands behind it.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use parking_lot::Mutex;
use tonic::body::Body;
use tonic::client::GrpcService;
use tower_service::Service;

/// A future whose type is its owner's own matter.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Puts a task where it is to run.
pub type Spawn = Arc<dyn Fn(BoxFuture<()>) + Send + Sync>;

/// What went wrong below gRPC.
pub type CarryError = Box<dyn std::error::Error + Send + Sync>;

type Carry = Arc<dyn Fn(Request<Body>) -> BoxFuture<Result<Response<Body>, CarryError>> + Send + Sync>;

/// The members of the cluster, as a client can reach them.
pub trait Members: Send + Sync {
    /// How many there are, running or not. At least one.
    fn count(&self) -> usize;

    /// Whether there is a member of that index at present; one may have been removed.
    fn is_there(&self, index: usize) -> bool {
        index < self.count()
    }

    /// The member of that index, below [`Members::count`], as `client` reaches it. It is asked for each call, so
    /// that another member may take the place of a lost one.
    fn reach(&self, client: u32, index: usize) -> Member;
}

impl Members for Vec<Member> {
    fn count(&self) -> usize {
        self.len()
    }

    fn reach(&self, _: u32, index: usize) -> Member {
        self[index].clone()
    }
}

/// One member and the way to it.
#[derive(Clone)]
pub struct Member {
    /// Its id.
    pub id: u64,
    carry: Carry,
}

impl Member {
    /// The member of that id behind a service that carries requests to it.
    pub fn new<T>(id: u64, service: T) -> Self
    where
        T: GrpcService<Body> + Clone + Send + 'static,
        T::Future: Send,
        T::Error: Send,
        T::ResponseBody: http_body::Body<Data = Bytes> + Send + 'static,
        <T::ResponseBody as http_body::Body>::Error: Into<CarryError>,
    {
        // A service need not be shareable between threads; a lock around what is cloned for each call is.
        let shared = Mutex::new(service);
        let carry = move |request| -> BoxFuture<Result<Response<Body>, CarryError>> {
            let mut service = shared.lock().clone();
            Box::pin(async move {
                poll_fn(|context| service.poll_ready(context)).await.map_err(Into::into)?;
                service.call(request).await.map(|answer| answer.map(Body::new)).map_err(Into::into)
            })
        };
        Self { id, carry: Arc::new(carry) }
    }
}

impl std::fmt::Debug for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Member").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Service<Request<Body>> for Member {
    type Response = Response<Body>;
    type Error = CarryError;
    type Future = BoxFuture<Result<Response<Body>, CarryError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), CarryError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        (self.carry)(request)
    }
}
