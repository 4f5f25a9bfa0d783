//! What was seen in a run: every call with its answer, every watch with its events, and how it all ended.
//!
//! Times are durations since the start of the run, on one clock for all clients. A run writes things down as
//! they come; nothing here judges.

use std::time::Duration;

use bytes::Bytes;
use registry_proto::etcdserverpb::{WatchCreateRequest, WatchResponse};
use registry_proto::mvccpb::KeyValue;

use crate::model::{Answer, Operation, Refusal};

/// Everything that was seen.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// In any order.
    pub calls: Vec<Call>,
    /// In any order, but what a watch carries on from stands before it.
    pub watches: Vec<Watch>,
    /// Those that were held by the SDK, whose own calls are not among `calls`.
    pub registrations: Vec<Registration>,
    /// At the end, read from each member directly after all was healed.
    pub members: Vec<MemberState>,
    /// When all faults had ended; none if that was not waited for, and then nothing is said of the end.
    pub healed: Option<Duration>,
    /// When all was over, the reading of the members' states, too.
    pub ended: Duration,
}

/// One call of a client, sent once.
#[derive(Debug, Clone)]
pub struct Call {
    /// Whose call it was.
    pub client: u32,
    /// Which member was asked.
    pub member: u64,
    /// When it was sent, or earlier.
    pub asked: Duration,
    /// When its outcome was known; none if it never was.
    pub answered: Option<Duration>,
    /// What was asked. Every put of the load holds a value that no other call has.
    pub operation: Operation,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a call.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// It was done.
    Answered(Answer),
    /// Certainly nothing was changed.
    Refused(Refusal),
    /// It may be done, once, at any time after it was asked. Why that is not known.
    Unknown(String),
}

/// One watcher, alone on its stream.
#[derive(Debug, Clone)]
pub struct Watch {
    /// Whose it was.
    pub client: u32,
    /// Which member was asked.
    pub member: u64,
    /// When it was asked for, or earlier.
    pub opened: Duration,
    /// What was asked for.
    pub request: WatchCreateRequest,
    /// What was told, and when, in the order of arrival.
    pub answers: Vec<(Duration, WatchResponse)>,
    /// How it ended; none if it was open to the end of the run.
    pub end: Option<(Duration, WatchEnd)>,
    /// The index of the watch that it carries on from.
    pub resumes: Option<usize>,
}

/// How a watch ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchEnd {
    /// The stream broke, and how.
    Broken(String),
    /// The server cancelled it; the last answer says so.
    Cancelled,
    /// The client wanted no more.
    Closed,
}

/// An instance of a service that the SDK held registered.
#[derive(Debug, Clone)]
pub struct Registration {
    /// The service's name.
    pub name: String,
    /// The key that it held.
    pub key: Bytes,
    /// When it was asked for.
    pub began: Duration,
    /// When and how it ended; none if it was held to the end of the run.
    pub ended: Option<(Duration, HowEnded)>,
    /// All leases that it ever had, as far as is known.
    pub leases: Vec<i64>,
    /// Their TTL as granted.
    pub ttl: Duration,
}

/// How a registration ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HowEnded {
    /// The revoke was waited for and acknowledged.
    Shutdown,
    /// Its handle was dropped: the lease is given back when that can be done.
    Dropped,
    /// Its process was killed: the lease ends by itself.
    Killed,
}

/// A member's state at the end.
#[derive(Debug, Clone, Default)]
pub struct MemberState {
    /// Whose state it is.
    pub member: u64,
    /// When the reading of it began.
    pub read: Duration,
    /// Its newest revision.
    pub revision: i64,
    /// Its compacted revision, as the server counts it.
    pub compacted: i64,
    /// The whole replicated state, in a form that is the same wherever the state is the same.
    pub state: Bytes,
    /// All keys, in their order.
    pub keys: Vec<KeyValue>,
    /// Each lease and its granted TTL in seconds.
    pub leases: Vec<(i64, i64)>,
}

impl History {
    /// The newest revision that any member has at the end; none if no member was read.
    #[must_use]
    pub fn newest(&self) -> Option<i64> {
        self.members.iter().map(|member| member.revision).max()
    }

    /// Whether all members were read after a time, so that what was told then must be found in them.
    #[must_use]
    pub fn was_read_after(&self, time: Duration) -> bool {
        !self.members.is_empty() && self.members.iter().all(|member| member.read > time)
    }
}

impl Call {
    /// The answer, if it was answered.
    #[must_use]
    pub fn answer(&self) -> Option<&Answer> {
        match &self.outcome {
            Outcome::Answered(answer) => Some(answer),
            _ => None,
        }
    }

    /// The revision of the answer's header; none if there is none.
    #[must_use]
    pub fn revision(&self) -> Option<i64> {
        self.answer()?.header().map(|header| header.revision).filter(|revision| *revision > 0)
    }

    /// Whether it may have changed something.
    #[must_use]
    pub fn is_possible(&self) -> bool {
        !matches!(self.outcome, Outcome::Refused(_))
    }

    /// When its outcome was known; never, if it never was.
    #[must_use]
    pub fn done(&self) -> Duration {
        self.answered.unwrap_or(Duration::MAX)
    }
}

impl Outcome {
    /// Its name, for people.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Answered(_) => "answered",
            Self::Refused(_) => "refused",
            Self::Unknown(_) => "unknown",
        }
    }
}
