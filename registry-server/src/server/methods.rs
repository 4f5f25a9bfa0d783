//! The methods and codes that calls are counted by.

use tonic::Code;

/// How many messages go which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MethodKind {
    Unary,
    ServerStream,
    BidiStream,
}

use MethodKind::{BidiStream, ServerStream, Unary};

impl MethodKind {
    /// As the label `grpc_type` has it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Unary => "unary",
            ServerStream => "server_stream",
            BidiStream => "bidi_stream",
        }
    }
}

/// Every method that is served, by its path.
pub(super) const METHODS: [(&str, MethodKind); 53] = [
    ("/etcdserverpb.KV/Range", Unary),
    ("/etcdserverpb.KV/RangeStream", ServerStream),
    ("/etcdserverpb.KV/Put", Unary),
    ("/etcdserverpb.KV/DeleteRange", Unary),
    ("/etcdserverpb.KV/Txn", Unary),
    ("/etcdserverpb.KV/Compact", Unary),
    ("/etcdserverpb.Watch/Watch", BidiStream),
    ("/etcdserverpb.Lease/LeaseGrant", Unary),
    ("/etcdserverpb.Lease/LeaseRevoke", Unary),
    ("/etcdserverpb.Lease/LeaseKeepAlive", BidiStream),
    ("/etcdserverpb.Lease/LeaseTimeToLive", Unary),
    ("/etcdserverpb.Lease/LeaseLeases", Unary),
    ("/etcdserverpb.Cluster/MemberAdd", Unary),
    ("/etcdserverpb.Cluster/MemberRemove", Unary),
    ("/etcdserverpb.Cluster/MemberUpdate", Unary),
    ("/etcdserverpb.Cluster/MemberList", Unary),
    ("/etcdserverpb.Cluster/MemberPromote", Unary),
    ("/etcdserverpb.Maintenance/Alarm", Unary),
    ("/etcdserverpb.Maintenance/Status", Unary),
    ("/etcdserverpb.Maintenance/Defragment", Unary),
    ("/etcdserverpb.Maintenance/Hash", Unary),
    ("/etcdserverpb.Maintenance/HashKV", Unary),
    ("/etcdserverpb.Maintenance/Snapshot", ServerStream),
    ("/etcdserverpb.Maintenance/MoveLeader", Unary),
    ("/etcdserverpb.Maintenance/Downgrade", Unary),
    ("/etcdserverpb.Auth/AuthEnable", Unary),
    ("/etcdserverpb.Auth/AuthDisable", Unary),
    ("/etcdserverpb.Auth/AuthStatus", Unary),
    ("/etcdserverpb.Auth/Authenticate", Unary),
    ("/etcdserverpb.Auth/UserAdd", Unary),
    ("/etcdserverpb.Auth/UserGet", Unary),
    ("/etcdserverpb.Auth/UserList", Unary),
    ("/etcdserverpb.Auth/UserDelete", Unary),
    ("/etcdserverpb.Auth/UserChangePassword", Unary),
    ("/etcdserverpb.Auth/UserGrantRole", Unary),
    ("/etcdserverpb.Auth/UserRevokeRole", Unary),
    ("/etcdserverpb.Auth/RoleAdd", Unary),
    ("/etcdserverpb.Auth/RoleGet", Unary),
    ("/etcdserverpb.Auth/RoleList", Unary),
    ("/etcdserverpb.Auth/RoleDelete", Unary),
    ("/etcdserverpb.Auth/RoleGrantPermission", Unary),
    ("/etcdserverpb.Auth/RoleRevokePermission", Unary),
    ("/v3lockpb.Lock/Lock", Unary),
    ("/v3lockpb.Lock/Unlock", Unary),
    ("/v3electionpb.Election/Campaign", Unary),
    ("/v3electionpb.Election/Proclaim", Unary),
    ("/v3electionpb.Election/Leader", Unary),
    ("/v3electionpb.Election/Observe", ServerStream),
    ("/v3electionpb.Election/Resign", Unary),
    ("/grpc.health.v1.Health/Check", Unary),
    ("/grpc.health.v1.Health/Watch", ServerStream),
    ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", BidiStream),
    ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", BidiStream),
];

/// Unary calls that are answered when the caller's turn comes, however long that takes.
pub(super) const WAITING: [&str; 2] = ["/v3lockpb.Lock/Lock", "/v3electionpb.Election/Campaign"];

/// Whether there is any method of the service.
pub(super) fn is_served(service: &str) -> bool {
    let of_service = |path: &str| path[1..].rsplit_once('/').is_some_and(|(name, _)| name == service);
    METHODS.iter().any(|(path, _)| of_service(path))
}

/// How many codes there are; they count from 0.
pub(super) const CODES: usize = 17;

/// As the label `grpc_code` has it.
pub(super) fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "Canceled",
        Code::Unknown => "Unknown",
        Code::InvalidArgument => "InvalidArgument",
        Code::DeadlineExceeded => "DeadlineExceeded",
        Code::NotFound => "NotFound",
        Code::AlreadyExists => "AlreadyExists",
        Code::PermissionDenied => "PermissionDenied",
        Code::ResourceExhausted => "ResourceExhausted",
        Code::FailedPrecondition => "FailedPrecondition",
        Code::Aborted => "Aborted",
        Code::OutOfRange => "OutOfRange",
        Code::Unimplemented => "Unimplemented",
        Code::Internal => "Internal",
        Code::Unavailable => "Unavailable",
        Code::DataLoss => "DataLoss",
        Code::Unauthenticated => "Unauthenticated",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_of_the_served_services_is_counted() {
        let served = [
            ("etcdserverpb.KV", include_str!("../../../registry-proto/proto/kv.proto")),
            ("etcdserverpb.Watch", include_str!("../../../registry-proto/proto/watch.proto")),
            ("etcdserverpb.Lease", include_str!("../../../registry-proto/proto/lease.proto")),
            ("etcdserverpb.Cluster", include_str!("../../../registry-proto/proto/cluster.proto")),
            ("etcdserverpb.Maintenance", include_str!("../../../registry-proto/proto/maintenance.proto")),
            ("v3lockpb.Lock", include_str!("../../../registry-proto/proto/lock.proto")),
            ("v3electionpb.Election", include_str!("../../../registry-proto/proto/election.proto")),
            ("etcdserverpb.Auth", include_str!("../../../registry-proto/proto/auth.proto")),
        ];
        let mut found = 0;
        for (service, proto) in served {
            for line in proto.lines().filter_map(|line| line.trim().strip_prefix("rpc ")) {
                let (name, types) = line.split_once('(').unwrap();
                let kind = match (types.starts_with("stream"), types.contains("returns (stream")) {
                    (true, _) => BidiStream,
                    (false, true) => ServerStream,
                    (false, false) => Unary,
                };
                let path = format!("/{service}/{name}");
                assert!(METHODS.contains(&(path.as_str(), kind)), "{path} is not counted as {kind:?}");
                found += 1;
            }
        }
        assert_eq!(found + 4, METHODS.len());
    }

    #[test]
    fn each_code_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<_> =
            (0..CODES as i32).map(|code| code_name(Code::from_i32(code))).collect();
        assert_eq!(names.len(), CODES);
    }
}
