//! The table of etcd's errors: each gRPC code and exact text, in one place.
//!
//! Clients match on both, so a text is never written anywhere else. Rooms below have errors of their own;
//! the services of this room say which row answers each.

use std::fmt;

use tonic::{Code, Status};

macro_rules! wire_errors {
    ($($name:ident $code:ident $text:literal,)+) => {
        /// What goes wrong, as clients are told.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum WireError {
            $(#[doc = $text] $name,)+
        }

        impl WireError {
            /// Every row of the table.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The code, and the text with etcd's prefix.
            const fn row(self) -> (Code, &'static str) {
                match self {
                    $(Self::$name => (Code::$code, concat!("etcdserver: ", $text)),)+
                }
            }
        }
    };
}

wire_errors! {
    EmptyKey InvalidArgument "key is not provided",
    KeyNotFound InvalidArgument "key not found",
    ValueProvided InvalidArgument "value is provided",
    LeaseProvided InvalidArgument "lease is provided",
    TooManyOps InvalidArgument "too many operations in txn request",
    DuplicateKey InvalidArgument "duplicate key given in txn request",
    InvalidClientApiVersion InvalidArgument "invalid client api version",
    InvalidSortOption InvalidArgument "invalid sort option",
    Compacted OutOfRange "mvcc: required revision has been compacted",
    FutureRevision OutOfRange "mvcc: required revision is a future revision",
    NoSpace ResourceExhausted "mvcc: database space exceeded",

    LeaseNotFound NotFound "requested lease not found",
    LeaseExists FailedPrecondition "lease already exists",
    LeaseTtlTooLarge OutOfRange "too large lease TTL",

    WatchCanceled Cancelled "watch canceled",

    MemberExists FailedPrecondition "member ID already exist",
    PeerUrlExists FailedPrecondition "Peer URLs already exists",
    MemberNotEnoughStarted FailedPrecondition "re-configuration failed due to not enough started members",
    MemberBadUrls InvalidArgument "given member URLs are invalid",
    MemberNotFound NotFound "member not found",
    MemberNotLearner FailedPrecondition "can only promote a learner member",
    LearnerNotReady FailedPrecondition "can only promote a learner member which is in sync with leader",
    TooManyLearners FailedPrecondition "too many learner members in cluster",
    ClusterIdMismatch FailedPrecondition "cluster ID mismatch",

    RequestTooLarge InvalidArgument "request is too large",
    TooManyRequests ResourceExhausted "too many requests",

    RootUserNotExist FailedPrecondition "root user does not exist",
    RootRoleNotExist FailedPrecondition "root user does not have root role",
    UserAlreadyExists FailedPrecondition "user name already exists",
    UserEmpty InvalidArgument "user name is empty",
    UserNotFound FailedPrecondition "user name not found",
    RoleAlreadyExists FailedPrecondition "role name already exists",
    RoleNotFound FailedPrecondition "role name not found",
    RoleEmpty InvalidArgument "role name is empty",
    AuthFailed InvalidArgument "authentication failed, invalid user ID or password",
    PermissionNotGiven InvalidArgument "permission not given",
    PermissionDenied PermissionDenied "permission denied",
    RoleNotGranted FailedPrecondition "role is not granted to the user",
    PermissionNotGranted FailedPrecondition "permission is not granted to the role",
    AuthNotEnabled FailedPrecondition "authentication is not enabled",
    InvalidAuthToken Unauthenticated "invalid auth token",
    InvalidAuthManagement InvalidArgument "invalid auth management",
    AuthOldRevision InvalidArgument "revision of auth store is old",

    NoLeader Unavailable "no leader",
    NotLeader FailedPrecondition "not leader",
    LeaderChanged Unavailable "leader changed",
    NotCapable FailedPrecondition "not capable",
    Stopped Unavailable "server stopped",
    Timeout Unavailable "request timed out",
    TimeoutDueToLeaderFail Unavailable "request timed out, possibly due to previous leader failure",
    TimeoutDueToConnectionLost Unavailable "request timed out, possibly due to connection lost",
    TimeoutWaitAppliedIndex Unavailable "request timed out, waiting for the applied index took too long",
    TimeoutLeaderTransfer Unknown "request timed out, leader transfer took too long",
    Unhealthy Unavailable "unhealthy cluster",
    Corrupt DataLoss "corrupt cluster",
    NotSupportedForLearner FailedPrecondition "rpc not supported for learner",
    BadLeaderTransferee FailedPrecondition "bad leader transferee",

    WrongDowngradeVersionFormat InvalidArgument "wrong downgrade target version format",
    InvalidDowngradeTargetVersion InvalidArgument "invalid downgrade target version",
    ClusterVersionUnavailable FailedPrecondition "cluster version not found during downgrade",
    DowngradeInProcess FailedPrecondition "cluster has a downgrade job in progress",
    NoInflightDowngrade FailedPrecondition "no inflight downgrade job",

    Canceled Cancelled "request canceled",
    DeadlineExceeded DeadlineExceeded "context deadline exceeded",
}

impl WireError {
    /// The gRPC code.
    #[must_use]
    pub const fn code(self) -> Code {
        self.row().0
    }

    /// The text, with etcd's prefix.
    #[must_use]
    pub const fn text(self) -> &'static str {
        self.row().1
    }

    /// The answer.
    #[must_use]
    pub fn status(self) -> Status {
        let (code, text) = self.row();
        Status::new(code, text)
    }
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl std::error::Error for WireError {}

impl From<WireError> for Status {
    fn from(error: WireError) -> Self {
        error.status()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expect(error: WireError, code: i32, text: &str) {
        let status = Status::from(error);
        assert_eq!((i32::from(status.code()), status.message()), (code, text));
    }

    #[test]
    fn key_value_errors_are_etcds() {
        expect(WireError::EmptyKey, 3, "etcdserver: key is not provided");
        expect(WireError::KeyNotFound, 3, "etcdserver: key not found");
        expect(WireError::ValueProvided, 3, "etcdserver: value is provided");
        expect(WireError::LeaseProvided, 3, "etcdserver: lease is provided");
        expect(WireError::TooManyOps, 3, "etcdserver: too many operations in txn request");
        expect(WireError::DuplicateKey, 3, "etcdserver: duplicate key given in txn request");
        expect(WireError::InvalidSortOption, 3, "etcdserver: invalid sort option");
        expect(WireError::RequestTooLarge, 3, "etcdserver: request is too large");
        expect(WireError::InvalidClientApiVersion, 3, "etcdserver: invalid client api version");
        expect(WireError::Compacted, 11, "etcdserver: mvcc: required revision has been compacted");
        expect(WireError::FutureRevision, 11, "etcdserver: mvcc: required revision is a future revision");
        expect(WireError::NoSpace, 8, "etcdserver: mvcc: database space exceeded");
        expect(WireError::TooManyRequests, 8, "etcdserver: too many requests");
    }

    #[test]
    fn lease_and_watch_errors_are_etcds() {
        expect(WireError::LeaseNotFound, 5, "etcdserver: requested lease not found");
        expect(WireError::LeaseExists, 9, "etcdserver: lease already exists");
        expect(WireError::LeaseTtlTooLarge, 11, "etcdserver: too large lease TTL");
        expect(WireError::WatchCanceled, 1, "etcdserver: watch canceled");
    }

    #[test]
    fn cluster_errors_are_etcds() {
        expect(WireError::MemberNotFound, 5, "etcdserver: member not found");
        expect(WireError::MemberExists, 9, "etcdserver: member ID already exist");
        expect(WireError::PeerUrlExists, 9, "etcdserver: Peer URLs already exists");
        let text = "etcdserver: re-configuration failed due to not enough started members";
        expect(WireError::MemberNotEnoughStarted, 9, text);
        expect(WireError::MemberBadUrls, 3, "etcdserver: given member URLs are invalid");
        expect(WireError::MemberNotLearner, 9, "etcdserver: can only promote a learner member");
        let text = "etcdserver: can only promote a learner member which is in sync with leader";
        expect(WireError::LearnerNotReady, 9, text);
        expect(WireError::TooManyLearners, 9, "etcdserver: too many learner members in cluster");
        expect(WireError::ClusterIdMismatch, 9, "etcdserver: cluster ID mismatch");
        expect(WireError::BadLeaderTransferee, 9, "etcdserver: bad leader transferee");
        expect(WireError::NotSupportedForLearner, 9, "etcdserver: rpc not supported for learner");
    }

    #[test]
    fn availability_errors_are_etcds() {
        expect(WireError::NoLeader, 14, "etcdserver: no leader");
        expect(WireError::LeaderChanged, 14, "etcdserver: leader changed");
        expect(WireError::Stopped, 14, "etcdserver: server stopped");
        expect(WireError::Timeout, 14, "etcdserver: request timed out");
        let text = "etcdserver: request timed out, possibly due to previous leader failure";
        expect(WireError::TimeoutDueToLeaderFail, 14, text);
        let text = "etcdserver: request timed out, possibly due to connection lost";
        expect(WireError::TimeoutDueToConnectionLost, 14, text);
        let text = "etcdserver: request timed out, waiting for the applied index took too long";
        expect(WireError::TimeoutWaitAppliedIndex, 14, text);
        expect(WireError::TimeoutLeaderTransfer, 2, "etcdserver: request timed out, leader transfer took too long");
        expect(WireError::Unhealthy, 14, "etcdserver: unhealthy cluster");
        expect(WireError::NotLeader, 9, "etcdserver: not leader");
        expect(WireError::NotCapable, 9, "etcdserver: not capable");
        expect(WireError::Corrupt, 15, "etcdserver: corrupt cluster");
        expect(WireError::Canceled, 1, "etcdserver: request canceled");
        expect(WireError::DeadlineExceeded, 4, "etcdserver: context deadline exceeded");
    }

    #[test]
    fn auth_errors_are_etcds() {
        expect(WireError::PermissionDenied, 7, "etcdserver: permission denied");
        expect(WireError::InvalidAuthToken, 16, "etcdserver: invalid auth token");
        expect(WireError::UserEmpty, 3, "etcdserver: user name is empty");
        expect(WireError::AuthFailed, 3, "etcdserver: authentication failed, invalid user ID or password");
        expect(WireError::AuthNotEnabled, 9, "etcdserver: authentication is not enabled");
    }

    #[test]
    fn no_text_stands_twice() {
        let mut texts: Vec<_> = WireError::ALL.iter().map(|error| error.text()).collect();
        texts.sort_unstable();
        assert!(texts.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
