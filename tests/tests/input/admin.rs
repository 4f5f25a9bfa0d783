//! Maintenance and cluster calls that make no sense.

use registry_proto::etcdserverpb::{
    AlarmRequest, DowngradeRequest, HashKvRequest, MemberAddRequest, MemberListRequest, MemberPromoteRequest,
    MemberRemoveRequest, MemberUpdateRequest, MoveLeaderRequest,
};
use tonic::Code::{FailedPrecondition, InvalidArgument, NotFound, OutOfRange, Unimplemented, Unknown};

use crate::table::{COMPACTED, NEWEST, Row, holds, row};

fn hash_rows() -> Vec<Row> {
    let ask = |what, revision| row(what, "/etcdserverpb.Maintenance/HashKV", &HashKvRequest { revision });
    vec![
        ask("a future revision", NEWEST + 1).refused(OutOfRange, "mvcc: required revision is a future revision"),
        ask("as far as can be", i64::MAX).refused(OutOfRange, "mvcc: required revision is a future revision"),
        ask("a compacted revision", COMPACTED - 1).refused(OutOfRange, "mvcc: required revision has been compacted"),
        ask("where history begins", COMPACTED).etcd_refuses(
            OutOfRange,
            "mvcc: required revision has been compacted",
            "3.4 refuses it; 3.7 hashes it",
        ),
        ask("a negative revision", -1),
        ask("the least revision", i64::MIN),
    ]
}

fn alarm_rows() -> Vec<Row> {
    let ask = |what, action, member_id, alarm| {
        row(what, "/etcdserverpb.Maintenance/Alarm", &AlarmRequest { action, member_id, alarm })
    };
    let ends = "3.4 loses its answer, panics and is gone";
    vec![
        ask("get of an unknown kind", 0, 0, 9),
        ask("an unknown action asks", 9, 0, 0).etcd_is_not_asked(ends),
        ask("a negative action asks", -1, 0, 1).etcd_is_not_asked(ends),
        ask("to disarm what is not raised", 2, 99, 1),
        ask("to disarm an unknown kind", 2, 99, 9),
    ]
}

fn maintenance_rows() -> Vec<Row> {
    let call = |method| row(method, method, &());
    let move_leader = MoveLeaderRequest { target_id: 404 };
    let downgrade = |version: &str, action| DowngradeRequest { action, version: version.to_owned() };
    let ask = |what, request| row(what, "/etcdserverpb.Maintenance/Downgrade", &request);
    let newer = "unknown method Downgrade for service etcdserverpb.Maintenance";
    let old = "3.4 has no such method";
    let wrong = "wrong downgrade target version format";
    vec![
        call("/etcdserverpb.Maintenance/Status"),
        call("/etcdserverpb.Maintenance/Defragment"),
        call("/etcdserverpb.Maintenance/Hash"),
        call("/etcdserverpb.Maintenance/Snapshot"),
        row("no such member", "/etcdserverpb.Maintenance/MoveLeader", &move_leader)
            .refused(FailedPrecondition, "bad leader transferee"),
        ask("no version", downgrade("", 0)).refused(InvalidArgument, wrong).etcd_refuses_plainly(
            Unimplemented,
            newer,
            old,
        ),
        ask("a version that is none", downgrade("3.x", 1)).refused(InvalidArgument, wrong).etcd_refuses_plainly(
            Unimplemented,
            newer,
            old,
        ),
        ask("an older version", downgrade("3.6.0", 1))
            .refused(InvalidArgument, "invalid downgrade target version")
            .etcd_refuses_plainly(Unimplemented, newer, old),
        ask("no downgrade to cancel", downgrade("", 2))
            .refused(FailedPrecondition, "no inflight downgrade job")
            .etcd_refuses_plainly(Unimplemented, newer, old),
        ask("an unknown action", downgrade("3.6", 9)).refused(Unknown, "unknown method").etcd_refuses_plainly(
            Unimplemented,
            newer,
            old,
        ),
    ]
}

fn cluster_rows() -> Vec<Row> {
    let urls = |url: &str| vec![url.to_owned()];
    let path = "/etcdserverpb.Cluster/MemberAdd";
    let add = |what, url: &str| row(what, path, &MemberAddRequest { peer_ur_ls: urls(url), is_learner: false });
    let bad = "given member URLs are invalid";
    let gone = "member not found";
    let remove = row("remove: unknown", "/etcdserverpb.Cluster/MemberRemove", &MemberRemoveRequest { id: 404 });
    let update = MemberUpdateRequest { id: 404, peer_ur_ls: urls("http://127.0.0.1:1") };
    let update = row("update: unknown", "/etcdserverpb.Cluster/MemberUpdate", &update);
    let bad_update = MemberUpdateRequest { id: 404, peer_ur_ls: urls("?") };
    let bad_update = row("update: a bad URL", "/etcdserverpb.Cluster/MemberUpdate", &bad_update);
    let promote = row("promote: unknown", "/etcdserverpb.Cluster/MemberPromote", &MemberPromoteRequest { id: 404 });
    vec![
        add("no URL at all", "").refused(InvalidArgument, bad),
        add("no port", "http://127.0.0.1").refused(InvalidArgument, bad),
        add("another scheme", "ftp://127.0.0.1:1").refused(InvalidArgument, bad),
        remove.refused(NotFound, gone),
        update.refused(NotFound, gone),
        bad_update.refused(NotFound, gone),
        promote.refused(NotFound, gone),
        row("list", "/etcdserverpb.Cluster/MemberList", &MemberListRequest { linearizable: true }),
    ]
}

#[tokio::test]
async fn maintenance_and_cluster_calls_get_etcds_answers() {
    let mut rows = hash_rows();
    rows.extend(alarm_rows());
    rows.extend(maintenance_rows());
    rows.extend(cluster_rows());
    holds(rows).await;
}
