//! Whether an answer is the expected one, field by field.

use std::time::Duration;

use registry_proto::etcdserverpb::{LeaseTimeToLiveResponse, ResponseHeader};

use super::Answer;

/// Who answers: the part of a header that is the same in every answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answerer {
    /// The cluster's id.
    pub cluster: u64,
    /// The member's id.
    pub member: u64,
    /// The term; it grows with a restart.
    pub term: u64,
}

impl From<&ResponseHeader> for Answerer {
    fn from(header: &ResponseHeader) -> Self {
        Self { cluster: header.cluster_id, member: header.member_id, term: header.raft_term }
    }
}

/// Takes out of an answer what the model cannot know, and checks that against what can be said of it: who
/// answered before, and how long the run has lasted.
pub(super) fn comparable(
    mut got: Answer,
    expected: &Answer,
    known: &mut Option<Answerer>,
    elapsed: Duration,
) -> Result<Answer, String> {
    let header = got.header_mut().as_mut().ok_or("the answer has no header")?;
    let answerer = Answerer::from(&*header);
    let known = known.get_or_insert(answerer);
    if answerer.cluster == 0 || answerer.member == 0 || answerer != (Answerer { term: answerer.term, ..*known }) {
        return Err(format!("{answerer:?} answered, and {known:?} before"));
    }
    if answerer.term < known.term {
        return Err(format!("the term went back from {} to {}", known.term, answerer.term));
    }
    known.term = answerer.term;
    *header = ResponseHeader { revision: header.revision, ..ResponseHeader::default() };
    match (&mut got, expected) {
        (Answer::LeaseTimeToLive(got), Answer::LeaseTimeToLive(expected)) => {
            // They come in whatever order the server keeps them.
            got.keys.sort_unstable();
            if got.granted_ttl != 0 {
                check_remaining(got, elapsed)?;
                got.ttl = expected.ttl;
            }
        }
        (Answer::LeaseLeases(got), _) => got.leases.sort_unstable_by_key(|lease| lease.id),
        _ => {}
    }
    Ok(got)
}

/// A lease has no more left than was granted, and no less than if nobody ever renewed it.
fn check_remaining(got: &LeaseTimeToLiveResponse, elapsed: Duration) -> Result<(), String> {
    // What remains is rounded down, and so is what has passed.
    let passed = i64::try_from(elapsed.as_secs()).unwrap_or(i64::MAX).saturating_add(2);
    let least = got.granted_ttl.saturating_sub(passed).max(0);
    if (least..=got.granted_ttl).contains(&got.ttl) {
        return Ok(());
    }
    Err(format!("{} of {} seconds remain after {elapsed:?}", got.ttl, got.granted_ttl))
}
