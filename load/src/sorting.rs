//! What a status says about a call: that certainly nothing was changed, or that nobody knows.
//!
//! Only etcd's own words are believed, each with its own code. Everything else, above all what a transport or a
//! proxy says, leaves the outcome open.

use registry_checkers::history::Outcome;
use tonic::{Code, Status};

/// Codes and texts after which nothing was changed: the request was refused before it was proposed, or when it
/// was applied.
const REFUSALS: &[(Code, &str)] = &[
    (Code::InvalidArgument, "key is not provided"),
    (Code::InvalidArgument, "key not found"),
    (Code::InvalidArgument, "value is provided"),
    (Code::InvalidArgument, "lease is provided"),
    (Code::InvalidArgument, "too many operations in txn request"),
    (Code::InvalidArgument, "duplicate key given in txn request"),
    (Code::InvalidArgument, "invalid sort option"),
    (Code::InvalidArgument, "request is too large"),
    (Code::OutOfRange, "mvcc: required revision has been compacted"),
    (Code::OutOfRange, "mvcc: required revision is a future revision"),
    (Code::OutOfRange, "too large lease TTL"),
    (Code::ResourceExhausted, "mvcc: database space exceeded"),
    (Code::ResourceExhausted, "too many requests"),
    (Code::NotFound, "requested lease not found"),
    (Code::FailedPrecondition, "lease already exists"),
    (Code::FailedPrecondition, "rpc not supported for learner"),
    (Code::PermissionDenied, "permission denied"),
    (Code::Unauthenticated, "invalid auth token"),
    (Code::InvalidArgument, "user name is empty"),
    (Code::InvalidArgument, "revision of auth store is old"),
    // Said before anything is proposed; a leader that is lost later is "leader changed".
    (Code::Unavailable, "no leader"),
];

/// The outcome of a call that was answered with a status.
#[must_use]
pub fn outcome(status: Status) -> Outcome {
    if is_refusal(&status) {
        return Outcome::Refused(status.into());
    }
    Outcome::Unknown(format!("{:?}: {}", status.code(), status.message()))
}

/// Whether certainly nothing was changed.
#[must_use]
pub fn is_refusal(status: &Status) -> bool {
    let Some(text) = status.message().strip_prefix("etcdserver: ") else { return false };
    REFUSALS.contains(&(status.code(), text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn etcds_refusals_are_certain() {
        for (code, text) in [
            (Code::OutOfRange, "etcdserver: mvcc: required revision has been compacted"),
            (Code::NotFound, "etcdserver: requested lease not found"),
            (Code::ResourceExhausted, "etcdserver: too many requests"),
            (Code::InvalidArgument, "etcdserver: duplicate key given in txn request"),
            (Code::Unavailable, "etcdserver: no leader"),
        ] {
            assert!(matches!(outcome(Status::new(code, text)), Outcome::Refused(_)), "{text}");
        }
    }

    #[test]
    fn what_may_have_been_done_is_unknown() {
        for (code, text) in [
            (Code::Unavailable, "etcdserver: request timed out"),
            (Code::Unavailable, "etcdserver: request timed out, possibly due to previous leader failure"),
            (Code::Unavailable, "etcdserver: leader changed"),
            (Code::Unavailable, "etcdserver: server stopped"),
            (Code::Unavailable, "tcp connect error"),
            (Code::Cancelled, "etcdserver: request canceled"),
            (Code::DataLoss, "etcdserver: corrupt cluster"),
            (Code::Unknown, "transport error"),
            (Code::Internal, "the state machine answered another request"),
        ] {
            assert!(matches!(outcome(Status::new(code, text)), Outcome::Unknown(_)), "{text}");
        }
    }

    #[test]
    fn words_of_others_and_other_codes_are_not_believed() {
        for (code, text) in [
            (Code::NotFound, "requested lease not found"),
            (Code::Unknown, "etcdserver: requested lease not found"),
            (Code::OutOfRange, "Error, decoded message length too large"),
            (Code::Unavailable, "no leader"),
        ] {
            assert!(!is_refusal(&Status::new(code, text)), "{text}");
        }
    }

    #[test]
    fn each_refusal_is_one_of_the_servers_own() {
        use registry_server::api::status::WireError;
        for (code, text) in REFUSALS {
            let text = format!("etcdserver: {text}");
            let is_known = WireError::ALL.iter().any(|error| error.code() == *code && error.text() == text);
            assert!(is_known, "{code:?} {text}");
        }
    }
}
