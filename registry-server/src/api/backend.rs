//! What every service stands on: the consensus handle, the state, the clock of leases, and who we are.

use std::sync::Arc;

use bytes::Bytes;
use registry_proto::etcdserverpb::ResponseHeader;
use tonic::Status;

use super::audit::{Audit, Wanted};
use super::logins::Logins;
use super::status::WireError;
use crate::apply::{ApplyError, Machine, Outcome, State, cost, permit};
use crate::auth::AuthError;
use crate::cluster::MemberError;
use crate::command::{AUTHORS_SINCE, Command};
use crate::consensus::{Node, ProposeError, ReadError};
use crate::lease::{GrantError, Keeper};
use crate::mvcc::MvccError;
use crate::storage::Vfs;
use crate::types::{Author, ClusterId, MemberId, Revision, Runtime};

/// Limits that the services keep, and what the cluster's timing makes of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Operations in one level of a transaction.
    pub max_txn_ops: usize,
    /// Bytes of one request.
    pub max_request_bytes: usize,
    /// A shorter TTL is raised to this many seconds.
    pub min_lease_ttl_seconds: i64,
    /// Learners that a cluster has at most while this member leads it.
    pub max_learners: u32,
    /// Bytes of all large answers under way.
    pub max_answers_bytes: u64,
    /// How large the store may grow before what adds to it is refused, in bytes; 0 when there is no quota.
    pub quota_bytes: u64,
}

/// Everything the services share.
pub struct Backend<R: Runtime, V: Vfs> {
    /// Proposals and read barriers.
    pub node: Node<Machine, R, V>,
    /// The replicated state, to read.
    pub state: Arc<State>,
    /// The deadlines of leases.
    pub keeper: Arc<Keeper<R>>,
    /// How it is known who calls.
    pub logins: Logins<R>,
    /// Who did what.
    pub audit: Audit,
    /// The cluster's id.
    pub cluster: ClusterId,
    /// This member's id.
    pub member: MemberId,
    /// Limits of requests.
    pub limits: Limits,
    /// Held while this node proposes the alarm that it is out of space.
    pub raising: tokio::sync::Mutex<()>,
    /// Held while this node, as leader, changes the members: what was checked must still hold when Raft follows.
    pub changing: tokio::sync::Mutex<()>,
    /// Whether other members can reach this one.
    pub has_peer_port: bool,
}

/// Services share one backend.
pub type SharedBackend<R, V> = Arc<Backend<R, V>>;

impl<R: Runtime, V: Vfs> Backend<R, V> {
    /// The header of an answer at a revision.
    pub fn header(&self, revision: Revision) -> ResponseHeader {
        ResponseHeader {
            cluster_id: self.cluster.0,
            member_id: self.member.0,
            revision: revision.0,
            raft_term: self.node.term(),
        }
    }

    /// The header of an answer at the store's revision now.
    pub fn header_now(&self) -> ResponseHeader {
        self.header(self.state.store.read().revision())
    }

    /// Whether this member has no vote, and is to have none yet.
    pub fn is_learner(&self) -> bool {
        self.state.cluster.read().get(self.member).is_some_and(|member| member.is_learner)
    }

    /// A command's bytes. While some member does not know authors, nobody is asked for one either.
    pub(super) fn encoded(&self, author: &Author, command: &Command) -> Bytes {
        match author {
            Author::Nobody => command.encode(),
            _ if self.state.cluster.read().version() < AUTHORS_SINCE => command.encode(),
            author => command.encode_by(author),
        }
    }

    /// Keeps out of the log what would be refused when it is applied.
    async fn check_permitted(&self, author: &Author, command: &Command) -> Result<(), Status> {
        if !self.state.is_auth_enabled() {
            return Ok(());
        }
        let check = || permit(&self.state.auth.read(), &self.state.leases.read(), author, command);
        let Err(refusal) = check() else { return Ok(()) };
        // This member may be behind.
        if refusal == AuthError::OldRevision || self.read_barrier().await.is_err() {
            return Err(auth_error(refusal).into());
        }
        check().map_err(|refusal| auth_error(refusal).into())
    }

    /// Proposes a command in somebody's name, if that may have it done and the quota has room for it, waits until it was
    /// applied here, and tells what it did.
    ///
    /// # Errors
    /// etcd's status for whatever stood in the way.
    pub async fn propose(&self, author: &Author, command: &Command) -> Result<(Revision, Outcome), Status> {
        let telling = self.audit.begin(author, command.kind(), || Wanted::of(command));
        let proposed = self.propose_permitted(author, command).await;
        if let Some(telling) = telling {
            telling.end(&proposed);
        }
        proposed
    }

    async fn propose_permitted(&self, author: &Author, command: &Command) -> Result<(Revision, Outcome), Status> {
        self.check_permitted(author, command).await?;
        let bytes = self.encoded(author, command);
        if bytes.len() > self.limits.max_request_bytes {
            return Err(WireError::RequestTooLarge.into());
        }
        self.check_version(command.since_version())?;
        self.check_quota(cost(command)).await?;
        let reply = self.node.propose(bytes).await.map_err(propose_status)?;
        let outcome = reply.outcome.map_err(apply_status)?;
        Ok((reply.revision, outcome))
    }

    /// Keeps out of the log what a member does not know yet.
    fn check_version(&self, needed: u32) -> Result<(), Status> {
        let cluster = self.state.cluster.read().version();
        if needed <= cluster {
            return Ok(());
        }
        let mend = "start the newer server on every member";
        let text = format!("the cluster has version {cluster} and this needs {needed}: {mend}");
        Err(Status::failed_precondition(text))
    }

    /// Makes the reads that follow linearizable.
    ///
    /// # Errors
    /// etcd's status when no leader confirms.
    pub async fn read_barrier(&self) -> Result<(), Status> {
        self.node.read_barrier().await.map_err(read_status)
    }
}

/// A reply of another kind than the command: a bug, told as one instead of a panic.
pub(super) fn mismatch() -> Status {
    Status::internal("the state machine answered another request")
}

pub(super) fn mvcc_status(error: MvccError) -> Status {
    match error {
        MvccError::Compacted => WireError::Compacted.into(),
        MvccError::FutureRevision => WireError::FutureRevision.into(),
        MvccError::Corrupt { .. } => WireError::Corrupt.into(),
    }
}

fn apply_status(error: ApplyError) -> Status {
    match error {
        ApplyError::Mvcc(error) => mvcc_status(error),
        ApplyError::Grant(GrantError::Exists) => WireError::LeaseExists.into(),
        ApplyError::Grant(GrantError::TtlTooLarge) => WireError::LeaseTtlTooLarge.into(),
        ApplyError::Member(error) => member_error(error).into(),
        ApplyError::OtherTerm => WireError::LeaderChanged.into(),
        ApplyError::LeaseNotFound => WireError::LeaseNotFound.into(),
        ApplyError::KeyNotFound => WireError::KeyNotFound.into(),
        ApplyError::Auth(error) => auth_error(error).into(),
        ApplyError::NoSpace => WireError::NoSpace.into(),
        ApplyError::Corrupt => WireError::Corrupt.into(),
        ApplyError::TooManyAlarms => WireError::TooManyRequests.into(),
    }
}

pub(super) fn auth_error(error: AuthError) -> WireError {
    match error {
        AuthError::RootUserNotExist => WireError::RootUserNotExist,
        AuthError::RootRoleNotExist => WireError::RootRoleNotExist,
        AuthError::UserExists => WireError::UserAlreadyExists,
        AuthError::UserEmpty => WireError::UserEmpty,
        AuthError::UserNotFound => WireError::UserNotFound,
        AuthError::RoleExists => WireError::RoleAlreadyExists,
        AuthError::RoleNotFound => WireError::RoleNotFound,
        AuthError::RoleEmpty => WireError::RoleEmpty,
        AuthError::PermissionNotGiven => WireError::PermissionNotGiven,
        AuthError::PermissionDenied => WireError::PermissionDenied,
        AuthError::RoleNotGranted => WireError::RoleNotGranted,
        AuthError::PermissionNotGranted => WireError::PermissionNotGranted,
        AuthError::NotEnabled => WireError::AuthNotEnabled,
        AuthError::Failed => WireError::AuthFailed,
        AuthError::InvalidManagement => WireError::InvalidAuthManagement,
        AuthError::OldRevision => WireError::AuthOldRevision,
    }
}

fn member_error(error: MemberError) -> WireError {
    match error {
        MemberError::IdExists => WireError::MemberExists,
        MemberError::UrlExists => WireError::PeerUrlExists,
        MemberError::NotFound => WireError::MemberNotFound,
        MemberError::NotLearner => WireError::MemberNotLearner,
        MemberError::TooManyLearners => WireError::TooManyLearners,
        MemberError::TooOld => WireError::NotCapable,
        MemberError::LastVoter => WireError::MemberNotEnoughStarted,
    }
}

fn propose_status(error: ProposeError) -> Status {
    match error {
        ProposeError::TooManyRequests => WireError::TooManyRequests.into(),
        ProposeError::TooLarge => WireError::RequestTooLarge.into(),
        ProposeError::NoLeader => WireError::NoLeader.into(),
        ProposeError::LeaderChanged => WireError::LeaderChanged.into(),
        ProposeError::TimedOut => WireError::Timeout.into(),
        ProposeError::NoSpace => WireError::NoSpace.into(),
        ProposeError::Stopped => WireError::Stopped.into(),
    }
}

fn read_status(error: ReadError) -> Status {
    match error {
        ReadError::NoLeader => WireError::NoLeader.into(),
        ReadError::TimedOut => WireError::Timeout.into(),
        ReadError::TooManyRequests => WireError::TooManyRequests.into(),
        ReadError::Stopped => WireError::Stopped.into(),
    }
}
