//! What applying a command answers to whoever proposed it.

use registry_proto::etcdserverpb::{AlarmMember, DeleteRangeResponse, PutResponse, ResponseHeader, TxnResponse};

use crate::auth::AuthError;
use crate::cluster::MemberError;
use crate::lease::GrantError;
use crate::mvcc::MvccError;
use crate::types::Revision;

/// The outcome, and the store's revision right after it.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// The header's revision.
    pub revision: Revision,
    /// What the command did, or why it did nothing.
    pub outcome: Result<Outcome, ApplyError>,
}

/// What a command did. Answers carry no header of their own yet: `api` adds it.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// A put.
    Put(PutResponse),
    /// A delete.
    DeleteRange(DeleteRangeResponse),
    /// A transaction; the answers inside carry headers with nothing but the revision, as in etcd.
    Txn(TxnResponse),
    /// The alarms that were raised, cleared or asked for.
    Alarm(Vec<AlarmMember>),
    /// A token was granted; with its place in the log, which every member that knows of it has reached.
    Token {
        /// The entry's index.
        index: u64,
    },
    /// A command that has nothing to tell but that it was done.
    Done,
}

/// Why a command did nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// A revision that cannot be read or compacted.
    #[error(transparent)]
    Mvcc(#[from] MvccError),
    /// What the leader of one term has decided stands in the log of another.
    #[error("the term in which this was decided is over")]
    OtherTerm,
    /// A change of members that makes no sense.
    #[error(transparent)]
    Member(#[from] MemberError),
    /// A lease that cannot be granted.
    #[error(transparent)]
    Grant(#[from] GrantError),
    /// A lease that is not there.
    #[error("requested lease not found")]
    LeaseNotFound,
    /// A put that keeps the value or the lease of a key that is not there.
    #[error("key not found")]
    KeyNotFound,
    /// Whoever wants it may not, or users and roles do not allow it.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// A member is out of space, and the command would take more of it.
    #[error("database space exceeded")]
    NoSpace,
    /// A member holds something else than the others, so nothing changes until that is mended.
    #[error("corrupt cluster")]
    Corrupt,
    /// So many alarms are raised that no other can be.
    #[error("too many alarms")]
    TooManyAlarms,
}

/// The header of an answer inside a transaction.
pub(super) fn inner_header(revision: Revision) -> Option<ResponseHeader> {
    Some(ResponseHeader { revision: revision.0, ..ResponseHeader::default() })
}
