//! Clients that keep a lease each alive, over a stream each, as etcd's own client does.

use registry_proto::etcdserverpb::lease_client::LeaseClient;
use registry_proto::etcdserverpb::{LeaseGrantRequest, LeaseKeepAliveRequest, LeaseKeepAliveResponse};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::Client;
use crate::BenchError;
use crate::channel::Connection;
use crate::crew::Plan;

const OPERATION: &str = "keep-alive";
/// Long enough for the preparation of many clients, short enough to leave nothing behind for long.
const TTL_SECONDS: i64 = 120;

/// One lease and the stream that keeps it.
pub(crate) struct KeepAlive {
    id: i64,
    requests: mpsc::Sender<LeaseKeepAliveRequest>,
    answers: Streaming<LeaseKeepAliveResponse>,
}

pub(crate) async fn keep_alives(plan: &Plan) -> Result<Vec<KeepAlive>, BenchError> {
    let mut clients = Vec::new();
    for connection in plan.connect().await? {
        let origin = connection.origin();
        let leases = LeaseClient::with_origin(connection, origin);
        clients.push(KeepAlive::open(leases).await?);
    }
    Ok(clients)
}

impl KeepAlive {
    async fn open(mut leases: LeaseClient<Connection>) -> Result<Self, BenchError> {
        let failed = BenchError::operation(OPERATION);
        let grant = LeaseGrantRequest { ttl: TTL_SECONDS, id: 0 };
        let id = leases.lease_grant(grant).await.map_err(&failed)?.into_inner().id;
        let (requests, stream) = mpsc::channel(1);
        // A server may hold the answer's head back until there is something to answer.
        let first = requests.try_send(LeaseKeepAliveRequest { id });
        first.map_err(|_| BenchError::answer(OPERATION, "the stream ended before it began"))?;
        let answers = leases.lease_keep_alive(ReceiverStream::new(stream)).await.map_err(&failed)?.into_inner();
        let mut client = Self { id, requests, answers };
        client.receive().await?;
        Ok(client)
    }

    async fn receive(&mut self) -> Result<(), BenchError> {
        let answer = self.answers.message().await.map_err(BenchError::operation(OPERATION))?;
        match answer {
            Some(answer) if answer.ttl > 0 => Ok(()),
            Some(_) => Err(BenchError::answer(OPERATION, "the lease has expired")),
            None => Err(BenchError::answer(OPERATION, "the stream has ended")),
        }
    }
}

impl Client for KeepAlive {
    async fn act(&mut self, _: Instant) -> Result<(), BenchError> {
        let sent = self.requests.send(LeaseKeepAliveRequest { id: self.id }).await;
        sent.map_err(|_| BenchError::answer(OPERATION, "the stream has ended"))?;
        self.receive().await
    }
}
