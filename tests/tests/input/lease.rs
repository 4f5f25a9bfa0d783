//! Leases that are not there, not to be had, or not to be had twice.

use registry_proto::etcdserverpb::{
    LeaseGrantRequest, LeaseKeepAliveRequest, LeaseLeasesRequest, LeaseRevokeRequest, LeaseTimeToLiveRequest,
};
use tonic::Code::{FailedPrecondition, NotFound, OutOfRange};

use crate::table::{LEASE, Row, holds, row};

const LONGEST: i64 = 9_000_000_000;
const NOT_FOUND: &str = "requested lease not found";
const TOO_LARGE: &str = "too large lease TTL";

fn grant_rows() -> Vec<Row> {
    let ask = |what, id, ttl| row(what, "/etcdserverpb.Lease/LeaseGrant", &LeaseGrantRequest { id, ttl });
    vec![
        ask("an id that is taken", LEASE, 60).refused(FailedPrecondition, "lease already exists"),
        ask("one above the longest", 0, LONGEST + 1).refused(OutOfRange, TOO_LARGE),
        ask("as long as can be", 0, i64::MAX).refused(OutOfRange, TOO_LARGE),
        ask("an id that is taken, for too long", LEASE, LONGEST + 1).refused(OutOfRange, TOO_LARGE),
        ask("the longest", 1001, LONGEST).taken("TTL 9000000000"),
        ask("no time", 1002, 0).taken("TTL 2"),
        ask("negative time", 1003, -1).taken("TTL 2"),
        ask("the least time", 1004, i64::MIN).taken("TTL 2"),
        ask("a negative id", -5, 60).taken("TTL 60"),
        ask("a negative id that is taken", -5, 60).refused(FailedPrecondition, "lease already exists"),
        ask("the least id", i64::MIN, 60).taken("TTL 60"),
    ]
}

fn other_rows() -> Vec<Row> {
    let revoke = |what, id| row(what, "/etcdserverpb.Lease/LeaseRevoke", &LeaseRevokeRequest { id });
    let ask = |what, id| row(what, "/etcdserverpb.Lease/LeaseTimeToLive", &LeaseTimeToLiveRequest { id, keys: true });
    let keep = |what, id| row(what, "/etcdserverpb.Lease/LeaseKeepAlive", &LeaseKeepAliveRequest { id });
    vec![
        revoke("revoke: unknown", 404).refused(NotFound, NOT_FOUND),
        revoke("revoke: none", 0).refused(NotFound, NOT_FOUND),
        revoke("revoke: negative", -404).refused(NotFound, NOT_FOUND),
        revoke("revoke: the least", i64::MIN + 1).refused(NotFound, NOT_FOUND),
        ask("time to live: unknown", 404).taken("TTL -1"),
        ask("time to live: none", 0).taken("TTL -1"),
        ask("time to live: negative", -404).taken("TTL -1"),
        keep("keep-alive: the one there is", LEASE).taken("TTL 600 of 7"),
        keep("keep-alive: unknown", 404).taken("TTL 0 of 404"),
        keep("keep-alive: none", 0).taken("TTL 0 of 0"),
        keep("keep-alive: negative", -404).taken("TTL 0 of -404"),
        row("leases: nothing can be wrong with it", "/etcdserverpb.Lease/LeaseLeases", &LeaseLeasesRequest {}),
    ]
}

#[tokio::test]
async fn leases_get_etcds_answers() {
    let mut rows = grant_rows();
    rows.extend(other_rows());
    holds(rows).await;
}
