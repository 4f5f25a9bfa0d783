//! Members come and go as an operator would have it: asked of whoever answers, and looked up when the answer is unknown.

use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use registry_proto::etcdserverpb::cluster_client::ClusterClient;
use registry_proto::etcdserverpb::{
    Member, MemberAddRequest, MemberListRequest, MemberPromoteRequest, MemberRemoveRequest,
};
use registry_server::types::MemberId;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tonic::Status;

use crate::channel::Channel;
use crate::cluster::Cluster;
use crate::node::{number_of, peer_url};
use crate::world::note;

/// How long the operator waits for an answer.
const LIMIT: Duration = Duration::from_secs(4);

/// How often the operator asks for the same.
const ATTEMPTS: u32 = 4;

/// The operator's number as a client.
const OPERATOR: u32 = 1_000;

/// The most members that there are at once.
const MOST: usize = 7;

/// The operator. Does one thing at a time.
#[derive(Debug, Default)]
pub(crate) struct Growth(Mutex<()>);

impl Growth {
    /// Adds a member, and starts it; a learner is promoted a while later.
    pub(crate) async fn grow(&self, cluster: &Arc<Cluster>, learner: bool) {
        let _one_at_a_time = self.0.lock().await;
        if self.members(cluster).await.is_none_or(|members| members.len() >= MOST) {
            return;
        }
        let number = cluster.next_number();
        let url = peer_url(number);
        let request = MemberAddRequest { peer_ur_ls: vec![url], is_learner: learner };
        let added = ask(cluster, |mut client| {
            let request = request.clone();
            async move { client.member_add(request).await.map(drop) }
        });
        note(format_args!("member {number} is added: {:?}", added.await.map_err(|status| status.message().to_owned())));
        // Whatever the answer was: it may have been added all the same.
        self.complete(cluster).await;
        let Some(node) = cluster.node(number) else { return };
        for _ in 0..if learner { ATTEMPTS } else { 0 } {
            tokio::time::sleep(Duration::from_secs(2)).await;
            let promoted = self.promote(cluster, node.member).await;
            if promoted.is_ok() {
                return;
            }
        }
    }

    /// Promotes a learner.
    ///
    /// # Errors
    /// Why it cannot be promoted now.
    pub(crate) async fn promote(&self, cluster: &Cluster, member: MemberId) -> Result<(), Status> {
        let request = MemberPromoteRequest { id: member.0 };
        let promoted = ask(cluster, |mut client| async move { client.member_promote(request).await.map(drop) }).await;
        note(format_args!("{member} is promoted: {:?}", promoted.as_ref().map_err(Status::message)));
        promoted
    }

    /// Removes a member, unless too few would be left.
    pub(crate) async fn remove(&self, cluster: &Arc<Cluster>, member: MemberId) {
        let _one_at_a_time = self.0.lock().await;
        let voters = |members: Vec<Member>| members.iter().filter(|member| !member.is_learner).count();
        if self.members(cluster).await.is_none_or(|members| voters(members) < 3) {
            return;
        }
        let request = MemberRemoveRequest { id: member.0 };
        let removed = ask(cluster, |mut client| async move { client.member_remove(request).await.map(drop) });
        note(format_args!("{member} is removed: {:?}", removed.await.map_err(|status| status.message().to_owned())));
    }

    /// Starts the members that the cluster knows and that never ran.
    pub(crate) async fn complete(&self, cluster: &Arc<Cluster>) -> Option<Vec<Member>> {
        let members = self.members(cluster).await?;
        for member in &members {
            let Some(number) = member.peer_ur_ls.iter().find_map(|url| number_of(url)) else { continue };
            if cluster.node(number).is_none() {
                cluster.add(number, MemberId(member.id));
            }
        }
        Some(members)
    }

    /// All members, as one of them says.
    pub(crate) async fn members_as_seen_by(&self, cluster: &Cluster, number: u32) -> Option<Vec<Member>> {
        let request = MemberListRequest { linearizable: false };
        let answer = timeout(LIMIT, client(cluster, number).member_list(request)).await.ok()?.ok()?;
        Some(answer.into_inner().members)
    }

    /// All members, as a quorum says.
    pub(crate) async fn members(&self, cluster: &Arc<Cluster>) -> Option<Vec<Member>> {
        let request = MemberListRequest { linearizable: true };
        let asked = ask(cluster, |mut client| async move { client.member_list(request).await });
        asked.await.ok().map(|answer| answer.into_inner().members)
    }
}

/// Asks one member after the other until one answers.
async fn ask<T, F>(cluster: &Cluster, call: impl Fn(ClusterClient<Channel>) -> F) -> Result<T, Status>
where
    F: Future<Output = Result<T, Status>>,
{
    let mut last = Status::unavailable("nobody was asked");
    for _ in 0..ATTEMPTS {
        for node in cluster.nodes() {
            match timeout(LIMIT, call(client(cluster, node.number))).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(status)) if is_final(&status) => return Err(status),
                Ok(Err(status)) => last = status,
                Err(_) => last = Status::deadline_exceeded("no answer"),
            }
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Err(last)
}

/// The operator's way to a member.
fn client(cluster: &Cluster, number: u32) -> ClusterClient<Channel> {
    let ground = &cluster.ground;
    let channel = Channel::new(ground.network.clone(), ground.ports.clone(), OPERATOR, number);
    ClusterClient::with_origin(channel, Uri::from_static("http://member"))
}

/// Whether nobody else would answer otherwise.
fn is_final(status: &Status) -> bool {
    matches!(status.code(), tonic::Code::NotFound | tonic::Code::FailedPrecondition | tonic::Code::InvalidArgument)
}
