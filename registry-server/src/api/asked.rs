//! What members ask each other: the leader on behalf of clients, as only it knows the deadlines of leases, and the others
//! whether they hold the same as the leader.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;
use registry_proto::etcdserverpb::HashKvResponse;
use tonic::{Code, Status};

use super::backend::{Backend, SharedBackend};
use super::keep_alive::renew;
use super::members::change_member;
use super::status::WireError;
use crate::command::{Authored, Command, MemberChange};
use crate::consensus::{Ask, ReadError};
use crate::storage::Vfs;
use crate::types::{Author, LeaseId, MemberId, Revision, Runtime};

/// Before the leader is asked again, when there was none.
const PAUSE: Duration = Duration::from_millis(50);

/// A question to another member. On the wire it is a version byte, a kind byte and a message.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Question {
    /// Renew leases. Answered with [`Renewals`].
    Renew(Vec<i64>),
    /// What remains of a lease. Answered with [`Remaining`].
    Remaining(i64),
    /// Change a member, in somebody's name. Answered with nothing.
    ChangeMember(Author, MemberChange),
    /// The hash of the store up to a revision. Answered with a [`HashKvResponse`], by any member, once it has come so far.
    Hash(Revision),
}

/// The TTLs of renewed leases, in seconds and in the order in which they were asked for; 0 for one that is not there.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Renewals {
    #[prost(int64, repeated, tag = "1")]
    pub(super) ttls: Vec<i64>,
}

/// What remains of a lease, in milliseconds.
#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct Remaining {
    #[prost(uint64, tag = "1")]
    pub(super) millis: u64,
}

#[derive(Clone, PartialEq, Message)]
struct Ids {
    #[prost(int64, repeated, tag = "1")]
    ids: Vec<i64>,
}

const VERSION: u8 = 1;
const RENEW: u8 = 1;
const REMAINING: u8 = 2;
const CHANGE_MEMBER: u8 = 3;
const HASH: u8 = 4;
/// The same change as [`CHANGE_MEMBER`], as the command that it becomes, with its author.
const CHANGE_MEMBER_BY: u8 = 5;

impl Question {
    fn to_bytes(&self) -> Bytes {
        match self {
            Self::Renew(ids) => encoded(RENEW, &Ids { ids: ids.clone() }),
            Self::Remaining(id) => encoded(REMAINING, &Ids { ids: vec![*id] }),
            Self::ChangeMember(Author::Nobody, change) => encoded(CHANGE_MEMBER, change),
            Self::ChangeMember(author, change) => {
                let command = Command::Member(change.clone()).encode_by(author);
                [&[VERSION, CHANGE_MEMBER_BY], command.as_ref()].concat().into()
            }
            Self::Hash(at) => encoded(HASH, &Ids { ids: vec![at.0] }),
        }
    }

    fn from_bytes(mut bytes: Bytes) -> Result<Self, String> {
        let mut byte = || bytes.try_get_u8().map_err(text);
        let (version, kind) = (byte()?, byte()?);
        if version == VERSION && kind == CHANGE_MEMBER {
            return MemberChange::decode(bytes).map(|it| Self::ChangeMember(Author::Nobody, it)).map_err(text);
        }
        if version == VERSION && kind == CHANGE_MEMBER_BY {
            let Authored { author, command } = Authored::decode(bytes).map_err(text)?;
            let Command::Member(change) = command else { return Err("it is no change of members".to_owned()) };
            return Ok(Self::ChangeMember(author, change));
        }
        let ids = Ids::decode(bytes).map_err(text)?.ids;
        match (version, kind, ids.as_slice()) {
            (VERSION, RENEW, _) => Ok(Self::Renew(ids)),
            (VERSION, REMAINING, [id]) => Ok(Self::Remaining(*id)),
            (VERSION, HASH, [at]) => Ok(Self::Hash(Revision(*at))),
            _ => Err(format!("a question of version {version} and kind {kind} is not known to this server")),
        }
    }
}

fn encoded(kind: u8, message: &impl Message) -> Bytes {
    let mut out = BytesMut::with_capacity(2 + message.encoded_len());
    out.put_u8(VERSION);
    out.put_u8(kind);
    message.encode_raw(&mut out);
    out.freeze()
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Has a node answer the questions of others.
pub fn answer_questions<R: Runtime, V: Vfs>(backend: &SharedBackend<R, V>) {
    // The node holds the answer, and the backend the node: a weak pointer lets both go.
    let weak = Arc::downgrade(backend);
    let ask: Ask = Arc::new(move |question| {
        let backend = weak.upgrade();
        Box::pin(async move {
            let backend = backend.ok_or("it is stopping")?;
            match Question::from_bytes(question)? {
                Question::Renew(ids) => answer(renew(&backend, &ids).await),
                Question::Remaining(id) => answer(remaining(&backend, id).await),
                Question::ChangeMember(author, change) => answer(change_member(&backend, &author, &change).await),
                Question::Hash(at) => answer(hash_when_there(&backend, at).await.map(Some)),
            }
        })
    });
    backend.node.answer_with(ask);
}

/// What a leader answers: a message, or the error that the client gets.
#[derive(Clone, PartialEq, Message)]
struct Answer {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    text: String,
    #[prost(bytes = "bytes", tag = "3")]
    message: Bytes,
}

fn answer<T: Message>(answer: Result<Option<T>, Status>) -> Result<Bytes, String> {
    let answer = match answer {
        Ok(Some(message)) => Answer { message: message.encode_to_vec().into(), ..Answer::default() },
        Ok(None) => return Err("it does not lead".to_owned()),
        Err(status) => Answer { code: status.code().into(), text: status.message().to_owned(), ..Answer::default() },
    };
    Ok(answer.encode_to_vec().into())
}

fn answered<T: Message + Default>(bytes: Bytes) -> Result<T, Status> {
    let malformed = |error: prost::DecodeError| Status::internal(error.to_string());
    let Answer { code, text, message } = Answer::decode(bytes).map_err(malformed)?;
    if code != 0 {
        return Err(Status::new(Code::from_i32(code), text));
    }
    T::decode(message).map_err(malformed)
}

/// The hash up to a revision that the asking member has: with a barrier this one has it as well.
async fn hash_when_there<R: Runtime, V: Vfs>(backend: &Backend<R, V>, at: Revision) -> Result<HashKvResponse, Status> {
    backend.read_barrier().await?;
    backend.hash_kv(at).await
}

/// What remains of a lease by this leader's clock; none if it does not lead.
///
/// # Errors
/// etcd's, when the node stops.
pub(super) async fn remaining<R: Runtime, V: Vfs>(
    backend: &Backend<R, V>,
    id: i64,
) -> Result<Option<Remaining>, Status> {
    match backend.node.confirm_leading().await {
        Ok(term) if backend.keeper.leading() == Some(term) => {
            let left = backend.keeper.remaining(LeaseId(id)).unwrap_or_default();
            Ok(Some(Remaining { millis: u64::try_from(left.as_millis()).unwrap_or(u64::MAX) }))
        }
        Err(ReadError::Stopped) => Err(WireError::Stopped.into()),
        Ok(_) | Err(_) => Ok(None),
    }
}

impl<R: Runtime, V: Vfs> Backend<R, V> {
    /// The hash of another member's store up to a revision that this one has.
    ///
    /// # Errors
    /// When it does not answer, or has no hash of that revision.
    pub(super) async fn hash_of(&self, member: MemberId, at: Revision) -> Result<HashKvResponse, Status> {
        let answer = self.node.ask(member, Question::Hash(at).to_bytes()).await;
        answered(answer.map_err(|_| Status::from(WireError::Timeout))?)
    }

    /// Does on this member what only the leader can, or asks the leader for it; for as long as a request may take.
    ///
    /// # Errors
    /// etcd's, above all when no leader is found in time.
    pub(super) async fn on_leader<T, F>(
        &self,
        here: impl Fn() -> F + Send + Sync,
        question: Question,
    ) -> Result<T, Status>
    where
        T: Message + Default,
        F: Future<Output = Result<Option<T>, Status>> + Send,
    {
        let find = async {
            loop {
                if let Some(answer) = here().await? {
                    return Ok(answer);
                }
                match self.node.ask_leader(question.to_bytes()).await {
                    Ok(answer) => return answered(answer),
                    // It may have been done, and a second time it would be refused.
                    Err(ReadError::TimedOut) if matches!(question, Question::ChangeMember(..)) => {
                        return Err(WireError::Timeout.into());
                    }
                    Err(_) => {}
                }
                R::sleep(PAUSE).await;
            }
        };
        R::timeout(self.node.request_timeout(), find).await.unwrap_or_else(|_| Err(WireError::Timeout.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_survive_their_bytes_and_unknown_ones_are_refused() {
        let questions = [
            Question::Renew(vec![1, -2, 3]),
            Question::Renew(Vec::new()),
            Question::Remaining(7),
            Question::Hash(Revision(9)),
            Question::ChangeMember(Author::Nobody, MemberChange { id: 7, ..MemberChange::default() }),
            Question::ChangeMember(Author::Member, MemberChange { id: 7, ..MemberChange::default() }),
        ];
        for question in questions {
            assert_eq!(Question::from_bytes(question.to_bytes()), Ok(question));
        }
        for bytes in [b"".as_slice(), b"\x01", b"\x02\x01", b"\x01\x09", b"\x01\x02", b"\x01\x01\xff"] {
            assert!(Question::from_bytes(Bytes::from_static(bytes)).is_err(), "{bytes:?}");
        }
    }
}
