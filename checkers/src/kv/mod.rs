//! Strict serializability of keys: the writes in the order of their revisions, replayed with the model.
//!
//! As in Jepsen's report on etcd 3.4.3: every successful write carries a revision that no other has, so the
//! order of all writes is known and need not be searched for. Each answer must then be the model's, field by
//! field, reads at the revision in their header; [`order`] adds real time and [`refusals`] compaction. Writes
//! of unknown outcome are found by what they would have done ([`claims`]), each once at most.

mod claims;
mod matching;
pub(crate) mod order;
pub(crate) mod refusals;
mod replay;
mod resumption;
mod wrong;

use registry_proto::etcdserverpb::ResponseHeader;
use registry_proto::mvccpb::Event;

use std::collections::BTreeMap;

use crate::model::{Answer, Model};
use crate::report::Violation;

pub(crate) use replay::Replay;

/// A revision of which all is known.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    /// With what was before, if that is known.
    pub(crate) events: Vec<Event>,
    /// Whether it is.
    pub(crate) knows_before: bool,
}

/// What came of the replay.
#[derive(Debug, Default)]
pub(crate) struct Replayed {
    pub(crate) revisions: BTreeMap<i64, Known>,
    pub(crate) gaps: Vec<(i64, i64)>,
    /// The state at the last revision; none if it is not known.
    pub(crate) model: Option<Model>,
    /// Leases that ended by themselves, as far as can be told, each with the first revision at which its keys, and
    /// nothing else, are gone.
    pub(crate) expiries: BTreeMap<i64, i64>,
    /// Answers that were compared.
    pub(crate) compared: usize,
    /// Writes of unknown outcome that happened.
    pub(crate) found: usize,
    pub(crate) violations: Vec<Violation>,
}

/// An answer with nothing in its header but the revision, which is all that the model knows.
fn comparable(answer: &Answer) -> Answer {
    let mut answer = answer.clone();
    let header = answer.header_mut();
    let revision = header.as_ref().map_or(0, |header| header.revision);
    *header = Some(ResponseHeader { revision, ..ResponseHeader::default() });
    answer
}
