//! Commands: the payload of log entries, and their bytes.
//!
//! A command is a version byte, a kind byte, its author if there is one, and the protobuf message of that kind: protobuf
//! lets later versions add fields that this one skips, and the version byte tells what can not be skipped.

mod auth;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;
use registry_proto::etcdserverpb::{
    AlarmRequest, CompactionRequest, DeleteRangeRequest, LeaseGrantRequest, LeaseRevokeRequest, Member, PutRequest,
    TxnRequest,
};

pub use auth::{AuthAction, AuthChange, TokenGrant};

use crate::types::{Author, Grant, GrantNumber, LeaseId};

const VERSION: u8 = 1;
/// Of a command with an author, which stands before the message.
const AUTHORED_VERSION: u8 = 2;

/// The cluster's version from which on commands have authors: a member of before would stop at one.
pub const AUTHORS_SINCE: u32 = 2;

/// What an entry asks the state machine to do. Whatever is not in here and not in the replicated state
/// cannot influence the outcome.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Put one key.
    Put(PutRequest),
    /// Delete a range of keys.
    DeleteRange(DeleteRangeRequest),
    /// Compare, then do one list of operations or the other.
    Txn(TxnRequest),
    /// Trim history.
    Compact(CompactionRequest),
    /// Make a lease. Id and TTL are final: whoever proposes it chose the id and raised the TTL.
    LeaseGrant(LeaseGrantRequest),
    /// End a lease and delete its keys, because a client says so; before grants were counted, also when a lease expired.
    LeaseRevoke(LeaseRevokeRequest),
    /// A member tells its name and URLs.
    Publish(Member),
    /// Raise or clear an alarm of a member.
    Alarm(AlarmRequest),
    /// Record what remains of leases.
    LeaseCheckpoint(LeaseCheckpoints),
    /// End a lease whose time has come, and delete its keys; nothing happens to a later life of the same id.
    LeaseExpire(LeaseExpiry),
    /// Add, remove, update or promote a member.
    Member(MemberChange),
    /// A member tells which version it knows.
    MemberVersion(MemberVersion),
    /// Change users or roles, or whether they count.
    Auth(AuthChange),
    /// A user has a token from now on.
    Token(TokenGrant),
}

/// A command and in whose name it stands in the log, which decides whether it may be done.
#[derive(Debug, Clone, PartialEq)]
pub struct Authored {
    /// Who wants it.
    pub author: Author,
    /// What.
    pub command: Command,
}

/// An author's bytes. Nobody is not written at all.
#[derive(Clone, PartialEq, Message)]
struct StoredAuthor {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(uint64, tag = "2")]
    revision: u64,
    #[prost(bool, tag = "3")]
    is_member: bool,
}

/// Which version a member knows.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct MemberVersion {
    /// Who.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// [`KNOWN_VERSION`](crate::cluster::KNOWN_VERSION) of its program.
    #[prost(uint32, tag = "2")]
    pub version: u32,
}

/// What becomes of a member. Raft's own membership follows it.
#[derive(Clone, PartialEq, Message)]
pub struct MemberChange {
    /// What is done.
    #[prost(enumeration = "MemberChangeKind", tag = "1")]
    pub kind: i32,
    /// To whom.
    #[prost(uint64, tag = "2")]
    pub id: u64,
    /// Where peers reach it, when it is added or updated.
    #[prost(string, repeated, tag = "3")]
    pub peer_urls: Vec<String>,
    /// Whether it has no vote, when it is added.
    #[prost(bool, tag = "4")]
    pub is_learner: bool,
    /// How many learners there may be, when one is added; fewer than 2 for 1, as versions of before have it, which do not
    /// look at this.
    #[prost(uint32, tag = "5")]
    pub max_learners: u32,
}

/// What is done to a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
pub enum MemberChangeKind {
    /// Nothing that this version knows.
    Unknown = 0,
    /// It becomes one.
    Add = 1,
    /// It is none any more, for good.
    Remove = 2,
    /// It has other peer URLs.
    Update = 3,
    /// It gets a vote.
    Promote = 4,
}

/// What remains of leases, to be recorded.
#[derive(Clone, PartialEq, Message)]
pub struct LeaseCheckpoints {
    /// In the order in which they are recorded.
    #[prost(message, repeated, tag = "1")]
    pub checkpoints: Vec<LeaseCheckpoint>,
    /// The term whose leader decided it by its deadlines. In the log of another one nothing happens: a new leader may have
    /// renewed the leases since. 0 for any.
    #[prost(uint64, tag = "2")]
    pub term: u64,
}

/// What remains of one lease. Its first two fields are etcd's, which is how it was written before grants were counted.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct LeaseCheckpoint {
    /// The lease's id.
    #[prost(int64, tag = "1")]
    pub id: i64,
    /// In seconds; 0 for the whole TTL.
    #[prost(int64, tag = "2")]
    pub remaining_seconds: i64,
    /// Which life of the lease; 0 for whichever there is.
    #[prost(uint64, tag = "3")]
    pub grant: u64,
}

/// A lease whose time has come.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct LeaseExpiry {
    /// The lease's id.
    #[prost(int64, tag = "1")]
    pub id: i64,
    /// Which life of the lease; 0 for whichever there is.
    #[prost(uint64, tag = "2")]
    pub grant: u64,
    /// The term whose leader decided it, as in [`LeaseCheckpoints::term`].
    #[prost(uint64, tag = "3")]
    pub term: u64,
}

/// Bytes that should be a command are not.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// Too short to be one.
    #[error("it is cut off")]
    CutOff,
    /// Written by a newer version.
    #[error("version {version}, kind {kind} is not known to this server")]
    Unknown {
        /// The format's version.
        version: u8,
        /// The command's kind.
        kind: u8,
    },
    /// The message inside is malformed.
    #[error(transparent)]
    Malformed(#[from] prost::DecodeError),
}

impl Command {
    /// What kind of command it is, for people.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Put(_) => "put",
            Self::DeleteRange(_) => "delete_range",
            Self::Txn(_) => "txn",
            Self::Compact(_) => "compact",
            Self::LeaseGrant(_) => "lease_grant",
            Self::LeaseRevoke(_) => "lease_revoke",
            Self::Publish(_) => "publish",
            Self::Alarm(_) => "alarm",
            Self::LeaseCheckpoint(_) => "lease_checkpoint",
            Self::LeaseExpire(_) => "lease_expire",
            Self::Member(_) => "member",
            Self::MemberVersion(_) => "member_version",
            Self::Auth(_) => "auth",
            Self::Token(_) => "token",
        }
    }

    /// The cluster's version that it needs: a member of before would stop at it.
    #[must_use]
    pub fn since_version(&self) -> u32 {
        match self {
            Self::Member(change) if change.max_learners > 1 => 2,
            // What was there before versions were told.
            Self::Put(_)
            | Self::DeleteRange(_)
            | Self::Txn(_)
            | Self::Compact(_)
            | Self::LeaseGrant(_)
            | Self::LeaseRevoke(_)
            | Self::Publish(_)
            | Self::Alarm(_)
            | Self::LeaseCheckpoint(_)
            | Self::LeaseExpire(_)
            | Self::Member(_)
            | Self::MemberVersion(_) => 0,
            Self::Auth(_) | Self::Token(_) => AUTHORS_SINCE,
        }
    }

    /// Whether it changes keys, their history, or leases.
    #[must_use]
    pub fn is_of_data(&self) -> bool {
        match self {
            Self::Put(_)
            | Self::DeleteRange(_)
            | Self::Txn(_)
            | Self::Compact(_)
            | Self::LeaseGrant(_)
            | Self::LeaseRevoke(_)
            | Self::LeaseExpire(_) => true,
            // What remains of a lease is recorded of leases that live: none is to end sooner for it.
            Self::LeaseCheckpoint(_)
            | Self::Publish(_)
            | Self::Alarm(_)
            | Self::Member(_)
            | Self::MemberVersion(_)
            | Self::Auth(_)
            | Self::Token(_) => false,
        }
    }

    /// The command's bytes, in nobody's name.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        self.encode_by(&Author::Nobody)
    }

    /// The command's bytes, in somebody's name. Before the cluster has version [`AUTHORS_SINCE`], only nobody has one.
    #[must_use]
    pub fn encode_by(&self, author: &Author) -> Bytes {
        match self {
            Self::Put(message) => encode(author, 1, message),
            Self::DeleteRange(message) => encode(author, 2, message),
            Self::Txn(message) => encode(author, 3, message),
            Self::Compact(message) => encode(author, 4, message),
            Self::LeaseGrant(message) => encode(author, 5, message),
            Self::LeaseRevoke(message) => encode(author, 6, message),
            Self::Publish(message) => encode(author, 7, message),
            Self::Alarm(message) => encode(author, 8, message),
            // 9 was the same without grant numbers; a version that knows only that would hit the wrong life.
            // 10 and 11 were the same without a term, which a version that knows only those would not look at.
            Self::LeaseCheckpoint(message) => encode(author, 12, message),
            Self::LeaseExpire(message) => encode(author, 13, message),
            Self::Member(message) => encode(author, 14, message),
            Self::MemberVersion(message) => encode(author, 15, message),
            Self::Auth(message) => encode(author, 16, message),
            Self::Token(message) => encode(author, 17, message),
        }
    }

    /// Reads what stands behind the version, the kind and the author.
    fn decode(kind: u8, bytes: Bytes) -> Result<Self, CommandError> {
        Ok(match kind {
            1 => Self::Put(PutRequest::decode(bytes)?),
            2 => Self::DeleteRange(DeleteRangeRequest::decode(bytes)?),
            3 => Self::Txn(TxnRequest::decode(bytes)?),
            4 => Self::Compact(CompactionRequest::decode(bytes)?),
            5 => Self::LeaseGrant(LeaseGrantRequest::decode(bytes)?),
            6 => Self::LeaseRevoke(LeaseRevokeRequest::decode(bytes)?),
            7 => Self::Publish(Member::decode(bytes)?),
            8 => Self::Alarm(AlarmRequest::decode(bytes)?),
            9 | 10 | 12 => Self::LeaseCheckpoint(LeaseCheckpoints::decode(bytes)?),
            11 | 13 => Self::LeaseExpire(LeaseExpiry::decode(bytes)?),
            14 => Self::Member(MemberChange::decode(bytes)?),
            15 => Self::MemberVersion(MemberVersion::decode(bytes)?),
            16 => Self::Auth(AuthChange::decode(bytes)?),
            17 => Self::Token(TokenGrant::decode(bytes)?),
            kind => return Err(CommandError::Unknown { version: VERSION, kind }),
        })
    }
}

impl Authored {
    /// Reads a command and its author, sharing the bytes.
    ///
    /// # Errors
    /// [`CommandError`] for bytes that no version up to this one writes.
    pub fn decode(mut bytes: Bytes) -> Result<Self, CommandError> {
        let version = bytes.try_get_u8().map_err(|_| CommandError::CutOff)?;
        let kind = bytes.try_get_u8().map_err(|_| CommandError::CutOff)?;
        let author = match version {
            VERSION => Author::Nobody,
            AUTHORED_VERSION => StoredAuthor::decode_length_delimited(&mut bytes)?.into(),
            _ => return Err(CommandError::Unknown { version, kind }),
        };
        Ok(Self { author, command: Command::decode(kind, bytes)? })
    }

    /// The bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        self.command.encode_by(&self.author)
    }
}

impl StoredAuthor {
    fn of(author: &Author) -> Option<Self> {
        match author {
            Author::Nobody => None,
            Author::User { name, revision } => {
                Some(Self { name: name.as_ref().to_owned(), revision: *revision, is_member: false })
            }
            Author::Member => Some(Self { is_member: true, ..Self::default() }),
        }
    }
}

impl From<StoredAuthor> for Author {
    fn from(stored: StoredAuthor) -> Self {
        match stored.is_member {
            true => Self::Member,
            false => Self::User { name: stored.name.into(), revision: stored.revision },
        }
    }
}

impl LeaseCheckpoint {
    /// What remains of this life of a lease, in seconds; 0 for the whole TTL.
    #[must_use]
    pub fn of(grant: Grant, remaining_seconds: i64) -> Self {
        Self { id: grant.id.0, remaining_seconds, grant: grant.number.0 }
    }

    /// Of which lease.
    #[must_use]
    pub fn grant(&self) -> Grant {
        Grant { id: LeaseId(self.id), number: GrantNumber(self.grant) }
    }
}

impl LeaseExpiry {
    /// Of a lease whose time has come by the deadlines of a term's leader.
    #[must_use]
    pub fn new(grant: Grant, term: u64) -> Self {
        Self { id: grant.id.0, grant: grant.number.0, term }
    }

    /// Of which lease.
    #[must_use]
    pub fn grant(&self) -> Grant {
        Grant { id: LeaseId(self.id), number: GrantNumber(self.grant) }
    }
}

fn encode(author: &Author, kind: u8, message: &impl Message) -> Bytes {
    let author = StoredAuthor::of(author);
    let author_len = author.as_ref().map_or(0, |author| author.encoded_len() + 10);
    let mut bytes = BytesMut::with_capacity(2 + author_len + message.encoded_len());
    bytes.put_u8(if author.is_some() { AUTHORED_VERSION } else { VERSION });
    bytes.put_u8(kind);
    if let Some(author) = author {
        author.encode_length_delimited(&mut bytes).expect("the buffer grows");
    }
    message.encode_raw(&mut bytes);
    bytes.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_survives_its_bytes() {
        let command =
            Command::Put(PutRequest { key: "k".into(), value: "v".into(), lease: 7, ..PutRequest::default() });
        let user = Author::User { name: "anna".into(), revision: 7 };
        for author in [Author::Nobody, Author::Member, user] {
            let authored = Authored { author, command: command.clone() };
            assert_eq!(Authored::decode(authored.encode()).unwrap(), authored);
        }
    }

    #[test]
    fn what_nobody_wrote_is_read_by_a_version_of_before_there_were_authors() {
        assert_eq!(Command::Compact(CompactionRequest::default()).encode().as_ref(), [VERSION, 4]);
    }

    #[test]
    fn commands_from_before_grants_were_counted_mean_whichever_life_there_is() {
        let old = |kind, message: &[u8]| Authored::decode([&[VERSION, kind], message].concat().into()).unwrap().command;
        let checkpoint = registry_proto::etcdserverpb::LeaseCheckpoint { id: 7, remaining_ttl: 20 };
        let request = registry_proto::etcdserverpb::LeaseCheckpointRequest { checkpoints: vec![checkpoint] };
        let read = LeaseCheckpoint::of(Grant { id: LeaseId(7), number: GrantNumber(0) }, 20);
        let expected = Command::LeaseCheckpoint(LeaseCheckpoints { checkpoints: vec![read], term: 0 });
        assert_eq!(old(9, &request.encode_to_vec()), expected);
        let revoke = LeaseRevokeRequest { id: 7 };
        assert_eq!(old(6, &revoke.encode_to_vec()), Command::LeaseRevoke(revoke));
    }

    #[test]
    fn a_newer_command_is_refused_not_guessed() {
        let unknown_kind = Bytes::from_static(&[VERSION, 200]);
        assert!(matches!(Authored::decode(unknown_kind), Err(CommandError::Unknown { kind: 200, .. })));
        let newer = Bytes::from_static(&[AUTHORED_VERSION + 1, 1]);
        assert!(matches!(Authored::decode(newer), Err(CommandError::Unknown { .. })));
        assert!(matches!(Authored::decode(Bytes::new()), Err(CommandError::CutOff)));
    }
}
