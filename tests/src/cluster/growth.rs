//! Members that are added to a cluster that runs, and removed from it.

use registry_proto::etcdserverpb::{MemberAddRequest, MemberListRequest, MemberPromoteRequest, MemberRemoveRequest};
use tokio::time::{Instant, sleep};
use tonic::{Response, Status};

use super::Cluster;
use super::member::{Member, Place};
use crate::budget::{POLL, SOON};
use crate::client::Client;

/// What etcd says until all members have been connected for five seconds; nothing was changed then.
const UNHEALTHY: &str = "etcdserver: unhealthy cluster";

impl Cluster {
    /// Prepares one more member: it has addresses and an empty directory, and is neither added nor started.
    ///
    /// # Panics
    /// When the cluster has proxies: they are made at its start.
    pub fn enroll(&mut self) -> usize {
        let member = Member::new(self.members.len(), self.dir.path(), Place::Enrolled);
        self.take_in(member)
    }

    /// The same at the addresses of a member that does not run any more.
    ///
    /// # Panics
    /// As above.
    pub fn enroll_in_place_of(&mut self, former: usize) -> usize {
        let member = Member::in_place_of(&self.members[former], self.members.len(), self.dir.path());
        self.take_in(member)
    }

    fn take_in(&mut self, member: Member) -> usize {
        assert!(self.network.is_none(), "proxies are made at the start");
        self.clients.push(Client::lazy(&member.client.url()));
        self.ids.push(None);
        self.members.push(member);
        self.members.len() - 1
    }

    /// Has a member add one that was enrolled; it can be started then.
    ///
    /// # Errors
    /// The server's.
    ///
    /// # Panics
    /// When the answer contradicts the request.
    pub async fn add(&mut self, by: usize, member: usize, is_learner: bool) -> Result<u64, Status> {
        let peer_url = self.peer_url(member);
        let request = MemberAddRequest { peer_ur_ls: vec![peer_url.clone()], is_learner };
        let mut client = self.client(by).cluster;
        let answer = when_healthy(async || client.member_add(request.clone()).await).await?.into_inner();
        let added = answer.member.expect("the answer says who was added");
        assert_eq!((&added.peer_ur_ls, added.is_learner), (&vec![peer_url], is_learner));
        assert!(answer.members.contains(&added), "{added:?} is not among {:?}", answer.members);
        self.ids[member] = Some(added.id);
        self.members[member].place = Place::Added(self.listed(self.members().into_iter().chain([member])));
        Ok(added.id)
    }

    /// Has a member add one that was enrolled, starts that, and waits until it serves.
    ///
    /// # Panics
    /// When it is refused, or does not serve.
    pub async fn add_and_start(&mut self, by: usize, member: usize) {
        self.add(by, member, false).await.expect("the member is added");
        self.restart(member).await;
    }

    /// Has a member remove one, which it may be itself.
    ///
    /// # Errors
    /// The server's.
    ///
    /// # Panics
    /// When the answer contradicts the request.
    pub async fn remove(&mut self, by: usize, member: usize) -> Result<(), Status> {
        let id = self.id(member);
        let mut client = self.client(by).cluster;
        let answer = when_healthy(async || client.member_remove(MemberRemoveRequest { id }).await).await?.into_inner();
        assert!(answer.members.iter().all(|member| member.id != id), "{answer:?}");
        self.members[member].is_removed = true;
        Ok(())
    }

    /// Counts members no longer whom their cluster was forced to go on without.
    pub fn count_out(&mut self, lost: &[usize]) {
        lost.iter().for_each(|member| self.members[*member].is_removed = true);
    }

    /// Has a member promote a learner.
    ///
    /// # Errors
    /// The server's.
    pub async fn promote(&self, by: usize, learner: usize) -> Result<(), Status> {
        let request = MemberPromoteRequest { id: self.id(learner) };
        self.client(by).cluster.member_promote(request).await.map(drop)
    }

    /// The id of a member that has served or was added.
    ///
    /// # Panics
    /// When it has none yet.
    #[must_use]
    pub fn id(&self, member: usize) -> u64 {
        self.ids[member].expect("it was added, or has served")
    }

    /// The members as one of them lists them.
    ///
    /// # Panics
    /// When it does not.
    pub async fn listed_by(&self, member: usize) -> Vec<registry_proto::etcdserverpb::Member> {
        let request = MemberListRequest { linearizable: true };
        let answer = self.client(member).cluster.member_list(request).await.map(Response::into_inner);
        answer.expect("members are listed").members
    }
}

/// Asks until the cluster is no longer unhealthy.
async fn when_healthy<T>(mut ask: impl AsyncFnMut() -> Result<T, Status>) -> Result<T, Status> {
    let end = Instant::now() + SOON;
    loop {
        match ask().await {
            Err(status) if status.message() == UNHEALTHY && Instant::now() < end => sleep(POLL).await,
            answer => return answer,
        }
    }
}
