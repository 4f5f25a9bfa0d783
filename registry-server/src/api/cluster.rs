//! The Cluster service: who the members are, and changes of them, on whichever member they are asked for.

use registry_proto::etcdserverpb::cluster_server::Cluster;
use registry_proto::etcdserverpb::{
    Member, MemberAddRequest, MemberAddResponse, MemberListRequest, MemberListResponse, MemberPromoteRequest,
    MemberPromoteResponse, MemberRemoveRequest, MemberRemoveResponse, MemberUpdateRequest, MemberUpdateResponse,
    ResponseHeader,
};
use tonic::{Request, Response, Status};

use super::asked::Question;
use super::backend::SharedBackend;
use super::caller::Caller;
use super::members::change_member;
use super::status::WireError;
use crate::command::{MemberChange, MemberChangeKind};
use crate::storage::Vfs;
use crate::types::{Author, MemberId, Runtime};

/// Ids have all their digits: `etcdctl member add` puts blanks in place of missing ones, which scripts trip over.
const LEAST_ID: u64 = 1 << 60;

/// The Cluster service over a backend.
pub struct ClusterService<R: Runtime, V: Vfs>(SharedBackend<R, V>);

impl<R: Runtime, V: Vfs> ClusterService<R, V> {
    /// A service over `backend`.
    pub fn new(backend: SharedBackend<R, V>) -> Self {
        Self(backend)
    }

    /// Has the leader change a member, and waits until this member knows of it; the members are those afterwards.
    async fn change(
        &self,
        author: &Author,
        change: MemberChange,
    ) -> Result<(Option<ResponseHeader>, Vec<Member>), Status> {
        let backend = &self.0;
        let question = Question::ChangeMember(author.clone(), change.clone());
        backend.on_leader(|| change_member(backend, author, &change), question).await?;
        backend.read_barrier().await?;
        Ok((self.header(), self.members()))
    }

    async fn check_admin<T>(&self, request: &Request<T>) -> Result<Author, Status> {
        let caller = Caller::of(request);
        let checked = self.0.check_caller(&caller, |auth, author| auth.check_admin(author)).await;
        if checked.is_err() {
            self.0.tell(&caller, "member", String::new, &checked);
        }
        checked
    }

    fn members(&self) -> Vec<Member> {
        self.0.state.cluster.read().members().cloned().collect()
    }

    /// As in etcd, the Cluster service's answers carry no revision.
    fn header(&self) -> Option<ResponseHeader> {
        Some(ResponseHeader { revision: 0, ..self.0.header_now() })
    }
}

/// Peer URLs as etcd takes them: with scheme, host and port, and without a path.
fn checked(peer_urls: Vec<String>) -> Result<Vec<String>, WireError> {
    let is_url = |url: &String| {
        let is_plain = url::Url::parse(url).is_ok_and(|url| {
            let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
            ["http", "https"].contains(&url.scheme()) && url.has_host() && is_bare
        });
        is_plain && url_has_port(url)
    };
    if peer_urls.is_empty() || !peer_urls.iter().all(is_url) {
        return Err(WireError::MemberBadUrls);
    }
    Ok(peer_urls.into_iter().map(|url| url.trim_end_matches('/').to_owned()).collect())
}

/// Told from the text, as the parser leaves out a scheme's own port.
fn url_has_port(url: &str) -> bool {
    let authority = url.split("//").nth(1).unwrap_or_default().split('/').next().unwrap_or_default();
    authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok())
}

#[tonic::async_trait]
impl<R: Runtime, V: Vfs> Cluster for ClusterService<R, V> {
    async fn member_add(&self, request: Request<MemberAddRequest>) -> Result<Response<MemberAddResponse>, Status> {
        let author = self.check_admin(&request).await?;
        let MemberAddRequest { peer_ur_ls, is_learner } = request.into_inner();
        let (id, kind) = (fastrand::u64(LEAST_ID..), MemberChangeKind::Add.into());
        let peer_urls = checked(peer_ur_ls)?;
        let change = MemberChange { kind, id, peer_urls, is_learner, max_learners: 0 };
        let (header, members) = self.change(&author, change).await?;
        let member = members.iter().find(|member| member.id == id).cloned();
        Ok(Response::new(MemberAddResponse { header, member, members }))
    }

    async fn member_remove(
        &self,
        request: Request<MemberRemoveRequest>,
    ) -> Result<Response<MemberRemoveResponse>, Status> {
        let author = self.check_admin(&request).await?;
        let (id, kind) = (request.into_inner().id, MemberChangeKind::Remove.into());
        let change = MemberChange { kind, id, ..MemberChange::default() };
        if MemberId(id) == self.0.member {
            // It learns nothing of the log any more once it is out.
            let question = Question::ChangeMember(author.clone(), change.clone());
            self.0.on_leader(|| change_member(&self.0, &author, &change), question).await?;
            let members = self.members().into_iter().filter(|member| member.id != id).collect();
            return Ok(Response::new(MemberRemoveResponse { header: self.header(), members }));
        }
        let (header, members) = self.change(&author, change).await?;
        Ok(Response::new(MemberRemoveResponse { header, members }))
    }

    async fn member_update(
        &self,
        request: Request<MemberUpdateRequest>,
    ) -> Result<Response<MemberUpdateResponse>, Status> {
        let author = self.check_admin(&request).await?;
        let MemberUpdateRequest { id, peer_ur_ls } = request.into_inner();
        let kind = MemberChangeKind::Update.into();
        // As in etcd, which looks for the member first.
        if self.0.state.cluster.read().get(MemberId(id)).is_none() {
            self.0.read_barrier().await?;
            if self.0.state.cluster.read().get(MemberId(id)).is_none() {
                return Err(WireError::MemberNotFound.into());
            }
        }
        let peer_urls = checked(peer_ur_ls)?;
        let change = MemberChange { kind, id, peer_urls, ..MemberChange::default() };
        let (header, members) = self.change(&author, change).await?;
        Ok(Response::new(MemberUpdateResponse { header, members }))
    }

    async fn member_list(&self, request: Request<MemberListRequest>) -> Result<Response<MemberListResponse>, Status> {
        let caller = Caller::of(&request);
        self.0.check_caller(&caller, |auth, author| auth.check_named(author)).await?;
        if request.into_inner().linearizable {
            self.0.read_barrier().await?;
        }
        Ok(Response::new(MemberListResponse { header: self.header(), members: self.members() }))
    }

    async fn member_promote(
        &self,
        request: Request<MemberPromoteRequest>,
    ) -> Result<Response<MemberPromoteResponse>, Status> {
        let author = self.check_admin(&request).await?;
        let (id, kind) = (request.into_inner().id, MemberChangeKind::Promote.into());
        let (header, members) = self.change(&author, MemberChange { kind, id, ..MemberChange::default() }).await?;
        Ok(Response::new(MemberPromoteResponse { header, members }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peer_urls_have_scheme_host_and_port_and_nothing_else() {
        let check = |url: &str| checked(vec![url.to_owned()]);
        assert_eq!(check("http://a:1").unwrap(), ["http://a:1"]);
        assert_eq!(check("https://[::1]:80/").unwrap(), ["https://[::1]:80"]);
        for url in ["", "a:1", "http://a", "ftp://a:1", "http://a:1/path", "http://:1", "http://a:1?q"] {
            assert_eq!(check(url), Err(WireError::MemberBadUrls), "{url}");
        }
        assert_eq!(checked(Vec::new()), Err(WireError::MemberBadUrls));
    }
}
