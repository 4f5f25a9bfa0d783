//! A keep-alive stream: renewals one after the other, each waited for.

use registry_proto::etcdserverpb::lease_client::LeaseClient;
use registry_proto::etcdserverpb::{LeaseKeepAliveRequest, LeaseKeepAliveResponse};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use crate::reach::Member;

/// A stream to one member, opened with its first renewal. One whose answer was not waited for must not be used
/// again.
pub(crate) struct KeepAlive {
    client: LeaseClient<Member>,
    open: Option<(mpsc::Sender<LeaseKeepAliveRequest>, Streaming<LeaseKeepAliveResponse>)>,
}

impl KeepAlive {
    pub(crate) fn new(member: Member) -> Self {
        Self { client: LeaseClient::new(member), open: None }
    }

    pub(crate) async fn renew(&mut self, request: LeaseKeepAliveRequest) -> Result<LeaseKeepAliveResponse, Status> {
        let ended = || Status::unavailable("the keep-alive stream ended");
        if let Some((requests, _)) = &self.open {
            requests.send(request).await.map_err(|_| ended())?;
        } else {
            let (requests, outgoing) = mpsc::channel(1);
            requests.send(request).await.map_err(|_| ended())?;
            let answers = self.client.lease_keep_alive(ReceiverStream::new(outgoing)).await?.into_inner();
            self.open = Some((requests, answers));
        }
        let Some((_, answers)) = &mut self.open else { return Err(ended()) };
        answers.message().await?.ok_or_else(ended)
    }
}
