//! Peers over gRPC, the answering side: from the service to the node's receiver.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;
use futures_util::StreamExt;
use registry_proto::peer::Message;
use registry_proto::peer::peer_server::Peer;
use tonic::metadata::MetadataMap;
use tonic::{Code, Request, Response, Status, Streaming};

use super::admission::{Admission, Caller, NotAdmitted};
use super::counts::Counts;
use super::messages::Description;
use super::peer_counts::PeerCount;
use super::receiver::Receive;
use super::transport::{Answers, Call, Directory, LinkError, Messages};
use crate::types::{ClusterId, MemberId};

/// The metadata that every call carries: the cluster's id, and the members' at both ends, in hexadecimal.
pub(super) const CLUSTER: &str = "registry-cluster";
pub(super) const FROM: &str = "registry-from";
pub(super) const TO: &str = "registry-to";

/// What a refusal is told with: the receiver has done nothing.
pub(super) const REFUSED: Code = Code::FailedPrecondition;

/// What a peer is told that means another cluster or member.
pub(super) const MISMATCH: Code = Code::InvalidArgument;

/// What a member is told that was removed.
pub(super) const REMOVED: Code = Code::PermissionDenied;

/// Serves the peers of one member.
pub struct PeerService {
    receiver: Arc<dyn Receive>,
    directory: Arc<dyn Directory>,
    admission: Admission,
    counts: Arc<Counts>,
}

impl PeerService {
    /// Serves with a node's receiver, as a member of a cluster.
    pub fn new(
        receiver: Arc<dyn Receive>,
        directory: Arc<dyn Directory>,
        cluster: ClusterId,
        member: MemberId,
    ) -> Self {
        let admission = Admission::new(receiver.clone(), directory.clone(), cluster, member);
        Self { receiver, directory, admission, counts: Arc::default() }
    }

    /// The same, counting what comes and goes in a node's counts.
    #[must_use]
    pub fn counting(self, counts: Arc<Counts>) -> Self {
        Self { counts, ..self }
    }

    /// Refuses whom the admission does not let in; the counts of whom it does.
    fn admit(&self, metadata: &MetadataMap) -> Result<Arc<PeerCount>, Status> {
        self.check(metadata)?;
        Ok(self.counts.peers.of(id_in(metadata, FROM).map(MemberId).unwrap_or_default()))
    }

    /// Refuses whom the admission does not let in.
    fn check(&self, metadata: &MetadataMap) -> Result<(), Status> {
        let id = |name| id_in(metadata, name);
        let caller =
            Caller { from: id(FROM).map(MemberId), cluster: id(CLUSTER).map(ClusterId), to: id(TO).map(MemberId) };
        self.admission.check(caller).map_err(|refusal| {
            let code = match refusal {
                NotAdmitted::Removed => REMOVED,
                NotAdmitted::Mismatch(_) => MISMATCH,
                NotAdmitted::Unnamed { .. } | NotAdmitted::Stranger => REFUSED,
            };
            Status::new(code, refusal.to_string())
        })
    }

    async fn answer(&self, call: Call, request: Request<Message>) -> Result<Response<Message>, Status> {
        let count = self.admit(request.metadata())?;
        let body = request.into_inner().body;
        count.received_bytes.add(body.len() as u64);
        let answer = self.receiver.call(call, body).await;
        count.sent_bytes.add(answer.as_ref().map_or(0, Bytes::len) as u64);
        answer.map(|body| Response::new(Message { body })).map_err(status)
    }
}

/// An id of a call's metadata.
fn id_in(metadata: &MetadataMap, name: &str) -> Option<u64> {
    metadata.get(name).and_then(|value| u64::from_str_radix(value.to_str().ok()?, 16).ok())
}

fn status(error: LinkError) -> Status {
    match error {
        LinkError::Refused(why) => Status::new(REFUSED, why),
        LinkError::NotSent(why) | LinkError::Lost(why) => Status::unavailable(why),
    }
}

/// What a peer sends, up to its end or to the first error: the sender knows about either.
fn messages(stream: Streaming<Message>) -> Messages {
    stream.scan((), |(), message| std::future::ready(message.ok().map(|message| message.body))).boxed()
}

/// The answers of an append stream.
pub struct Appended(Answers);

impl Stream for Appended {
    type Item = Result<Message, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let message = |body: Bytes| Message { body };
        self.0.as_mut().poll_next(cx).map(|answer| answer.map(|answer| answer.map(message).map_err(status)))
    }
}

#[tonic::async_trait]
impl Peer for PeerService {
    type AppendStream = Appended;

    async fn append(&self, request: Request<Streaming<Message>>) -> Result<Response<Appended>, Status> {
        let count = self.admit(request.metadata())?;
        let answers = self.receiver.append(count.received(messages(request.into_inner())));
        Ok(Response::new(Appended(count.answered(answers))))
    }

    async fn install_snapshot(&self, request: Request<Streaming<Message>>) -> Result<Response<Message>, Status> {
        let count = self.admit(request.metadata())?;
        let installed = self.receiver.install(count.received(messages(request.into_inner()))).await;
        installed.map(|body| Response::new(Message { body })).map_err(status)
    }

    async fn vote(&self, request: Request<Message>) -> Result<Response<Message>, Status> {
        self.answer(Call::Vote, request).await
    }

    async fn pre_vote(&self, request: Request<Message>) -> Result<Response<Message>, Status> {
        self.answer(Call::PreVote, request).await
    }

    async fn transfer_leader(&self, request: Request<Message>) -> Result<Response<Message>, Status> {
        self.answer(Call::TransferLeader, request).await
    }

    async fn propose(&self, request: Request<Message>) -> Result<Response<Message>, Status> {
        self.answer(Call::Propose, request).await
    }

    async fn read_index(&self, request: Request<Message>) -> Result<Response<Message>, Status> {
        self.answer(Call::ReadIndex, request).await
    }

    async fn describe(&self, _: Request<Message>) -> Result<Response<Message>, Status> {
        let (members, version) = (self.directory.members(), self.directory.version());
        let description = Description { cluster: self.admission.cluster, members, version };
        Ok(Response::new(Message { body: description.to_bytes() }))
    }

    async fn ask(&self, request: Request<Message>) -> Result<Response<Message>, Status> {
        self.answer(Call::Ask, request).await
    }
}

impl std::fmt::Debug for PeerService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PeerService").field("member", &self.admission.member).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::BoxFuture;

    use super::*;
    use crate::consensus::PeerNode;

    /// A node whose members are 1 and 2, and that has the only vote or not. It answers everything.
    struct Small {
        is_only_voter: bool,
    }

    impl Receive for Small {
        fn call(&self, _: Call, body: Bytes) -> BoxFuture<'static, Result<Bytes, LinkError>> {
            Box::pin(async move { Ok(body) })
        }

        fn append(&self, _: Messages) -> Answers {
            futures_util::stream::empty().boxed()
        }

        fn is_member(&self, member: MemberId) -> bool {
            member.0 <= 2
        }

        fn is_only_voter(&self) -> bool {
            self.is_only_voter
        }

        fn install(&self, _: Messages) -> BoxFuture<'static, Result<Bytes, LinkError>> {
            Box::pin(async { Ok(Bytes::new()) })
        }
    }

    impl Directory for Small {
        fn peer_urls(&self, _: MemberId) -> Option<Vec<String>> {
            None
        }

        fn was_removed(&self, member: MemberId) -> bool {
            member.0 == 4
        }

        fn version(&self) -> u32 {
            0
        }

        fn members(&self) -> Vec<(MemberId, PeerNode)> {
            Vec::new()
        }
    }

    async fn vote_from(member: u64, is_only_voter: bool) -> Result<(), Code> {
        let receiver = Arc::new(Small { is_only_voter });
        let service = PeerService::new(receiver, Arc::new(Small { is_only_voter }), ClusterId(9), MemberId(1));
        let mut request = Request::new(Message::default());
        for (name, value) in [(CLUSTER, 9), (FROM, member), (TO, 1)] {
            request.metadata_mut().insert(name, value.to_string().parse().unwrap());
        }
        service.vote(request).await.map(drop).map_err(|status| status.code())
    }

    /// One of several voters may not know yet of a member that has become a voter.
    #[tokio::test]
    async fn who_has_the_only_vote_takes_nothing_from_a_stranger() {
        for is_only_voter in [true, false] {
            assert_eq!(vote_from(2, is_only_voter).await, Ok(()));
            assert_eq!(vote_from(4, is_only_voter).await, Err(REMOVED));
        }
        assert_eq!(vote_from(3, true).await, Err(REFUSED));
        assert_eq!(vote_from(3, false).await, Ok(()));
    }
}
