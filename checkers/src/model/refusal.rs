//! The refusals, with etcd's codes and texts written out once more: a slip in the server's table shows here.

use std::fmt;

use tonic::{Code, Status};

/// A refusal as clients see it.
#[derive(Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The gRPC code.
    pub code: Code,
    /// The whole text.
    pub text: std::borrow::Cow<'static, str>,
}

impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.code, self.text)
    }
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        Self { code: status.code(), text: status.message().to_owned().into() }
    }
}

const fn refusal(code: Code, text: &'static str) -> Refusal {
    Refusal { code, text: std::borrow::Cow::Borrowed(text) }
}

pub(super) const EMPTY_KEY: Refusal = refusal(Code::InvalidArgument, "etcdserver: key is not provided");
pub(super) const KEY_NOT_FOUND: Refusal = refusal(Code::InvalidArgument, "etcdserver: key not found");
pub(super) const VALUE_PROVIDED: Refusal = refusal(Code::InvalidArgument, "etcdserver: value is provided");
pub(super) const LEASE_PROVIDED: Refusal = refusal(Code::InvalidArgument, "etcdserver: lease is provided");
pub(super) const TOO_MANY_OPS: Refusal =
    refusal(Code::InvalidArgument, "etcdserver: too many operations in txn request");
pub(super) const DUPLICATE_KEY: Refusal =
    refusal(Code::InvalidArgument, "etcdserver: duplicate key given in txn request");
pub(super) const INVALID_SORT: Refusal = refusal(Code::InvalidArgument, "etcdserver: invalid sort option");
/// The revision is below the compacted one.
pub const COMPACTED: Refusal = refusal(Code::OutOfRange, "etcdserver: mvcc: required revision has been compacted");
/// The revision has not happened yet.
pub const FUTURE_REVISION: Refusal =
    refusal(Code::OutOfRange, "etcdserver: mvcc: required revision is a future revision");
/// There is no such lease.
pub const LEASE_NOT_FOUND: Refusal = refusal(Code::NotFound, "etcdserver: requested lease not found");
pub(super) const LEASE_EXISTS: Refusal = refusal(Code::FailedPrecondition, "etcdserver: lease already exists");
pub(super) const TTL_TOO_LARGE: Refusal = refusal(Code::OutOfRange, "etcdserver: too large lease TTL");
