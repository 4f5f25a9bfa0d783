//! Twenty gRPC servers on loopback, of which the first is slow.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::{FAST, SERVERS, SLOW, WORKERS};

/// Running servers; they end when it is dropped.
pub(crate) struct Servers {
    uris: Vec<String>,
    slow: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

/// Does nothing, for some time, for so many callers at once.
struct Work {
    workers: Semaphore,
    takes: Duration,
    served: Arc<AtomicUsize>,
}

impl Servers {
    pub(crate) async fn start() -> Self {
        let mut tasks = JoinSet::new();
        let mut uris = Vec::new();
        let slow = Arc::new(AtomicUsize::new(0));
        for number in 0..SERVERS {
            let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap().with_nodelay(Some(true));
            uris.push(format!("http://{}", incoming.local_addr().unwrap()));
            let is_slow = number == 0;
            let work = Work {
                workers: Semaphore::new(WORKERS),
                takes: if is_slow { SLOW } else { FAST },
                served: if is_slow { Arc::clone(&slow) } else { Arc::default() },
            };
            let server = Server::builder().add_service(HealthServer::new(work));
            tasks.spawn(async move { server.serve_with_incoming(incoming).await.unwrap() });
        }
        tokio::task::yield_now().await;
        Self { uris, slow, _tasks: tasks }
    }

    pub(crate) fn uris(&self) -> &[String] {
        &self.uris
    }

    /// The requests that came to the slow one.
    pub(crate) fn served_by_the_slow_one(&self) -> usize {
        self.slow.load(Ordering::Relaxed)
    }
}

#[tonic::async_trait]
impl Health for Work {
    async fn check(&self, _: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        self.served.fetch_add(1, Ordering::Relaxed);
        let _worker = self.workers.acquire().await.map_err(|_| Status::unavailable("no more workers"))?;
        tokio::time::sleep(self.takes).await;
        Ok(Response::new(HealthCheckResponse { status: 1 }))
    }

    type WatchStream = futures_util::stream::Pending<Result<HealthCheckResponse, Status>>;

    async fn watch(&self, _: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("nobody watches"))
    }
}
