//! Every RPC, asked by root, a reader, a writer, a user without roles, nobody, and with a token that has ended.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use registry_proto::etcdserverpb::alarm_request::AlarmAction;
use registry_proto::etcdserverpb::request_op::Request as Operation;
use registry_proto::etcdserverpb::watch_request::RequestUnion;
use registry_proto::etcdserverpb::*;
use registry_proto::v3electionpb::{CampaignRequest, LeaderKey, LeaderRequest, ProclaimRequest, ResignRequest};
use registry_proto::v3lockpb::{LockRequest, UnlockRequest};
use registry_tests::{Cluster, Node, Plan, Program, requests};
use tokio_stream::{self as stream, StreamExt};
use tonic::{Response, Status, Streaming};

use crate::door::Door;
use crate::{CHEAP, NODE, set_up};

/// For each of root, reader, writer, nobody, no token, ended token: passed (whatever comes then), denied, empty user,
/// invalid token; `-` is not asked.
const TABLE: &[(&str, &str)] = &[
    ("KV.Range r", "ppddet"),
    ("KV.Range w", "pdpdet"),
    ("KV.Range all", "pdddet"),
    ("KV.Range serializable", "ppddet"),
    ("KV.RangeStream", "ppddet"),
    ("KV.Put w", "pdpdet"),
    ("KV.Put r", "pdddet"),
    ("KV.DeleteRange", "pdpdet"),
    ("KV.Txn that reads", "ppddet"),
    ("KV.Txn that puts", "pdpdet"),
    ("KV.Txn nested in the branch that is not taken", "pdpdet"),
    ("KV.Compact", "pdddet"),
    ("Watch.Watch", "ppddet"),
    ("Lease.LeaseGrant", "ppppet"),
    ("Lease.LeaseRevoke", "pdpdet"),
    ("Lease.LeaseKeepAlive", "pdpdet"),
    ("Lease.LeaseTimeToLive", "ppppet"),
    ("Lease.LeaseTimeToLive with keys", "pdpdet"),
    ("Lease.LeaseLeases", "pdpdet"),
    ("Cluster.MemberAdd", "pdddet"),
    ("Cluster.MemberRemove", "pdddet"),
    ("Cluster.MemberUpdate", "pdddet"),
    ("Cluster.MemberList", "ppppet"),
    ("Cluster.MemberPromote", "pdddet"),
    ("Maintenance.Alarm get", "ppppet"),
    ("Maintenance.Alarm deactivate", "pdddet"),
    ("Maintenance.Status", "ppppet"),
    ("Maintenance.Defragment", "pdddet"),
    ("Maintenance.Hash", "pdddet"),
    ("Maintenance.HashKV", "pdddet"),
    ("Maintenance.Snapshot", "pdddet"),
    ("Maintenance.MoveLeader", "pdddet"),
    ("Maintenance.Downgrade", "pdddet"),
    ("Auth.AuthEnable", "pdddet"),
    ("Auth.AuthDisable", "-dddet"),
    ("Auth.AuthStatus", "pppppp"),
    ("Auth.Authenticate", "pppppp"),
    ("Auth.UserAdd", "pdddet"),
    ("Auth.UserGet reader", "ppddet"),
    ("Auth.UserList", "pdddet"),
    ("Auth.UserDelete", "pdddet"),
    ("Auth.UserChangePassword", "pdddet"),
    ("Auth.UserGrantRole", "pdddet"),
    ("Auth.UserRevokeRole", "pdddet"),
    ("Auth.RoleAdd", "pdddet"),
    ("Auth.RoleGet reader", "ppddet"),
    ("Auth.RoleList", "pdddet"),
    ("Auth.RoleDelete", "pdddet"),
    ("Auth.RoleGrantPermission", "pdddet"),
    ("Auth.RoleRevokePermission", "pdddet"),
    ("Lock.Lock", "pdpdet"),
    ("Lock.Unlock", "pdpdet"),
    ("Election.Campaign", "pdpdet"),
    ("Election.Proclaim", "pdpdet"),
    ("Election.Leader", "pdpdet"),
    ("Election.Observe", "pdpdet"),
    ("Election.Resign", "pdpdet"),
];

fn letter(answer: &Result<(), String>) -> char {
    match answer.as_ref().map_err(String::as_str) {
        Err("etcdserver: permission denied") => 'd',
        Err("etcdserver: user name is empty") => 'e',
        Err("etcdserver: invalid auth token") => 't',
        _ => 'p',
    }
}

async fn first<T>(answer: Result<Response<Streaming<T>>, Status>) -> Result<(), Status> {
    answer?.into_inner().next().await.transpose().map(drop)
}

fn txn(operation: Operation) -> TxnRequest {
    TxnRequest { success: vec![RequestOp { request: Some(operation) }], ..TxnRequest::default() }
}

fn range(key: &str) -> RangeRequest {
    requests::key(key)
}

/// Calls keys, watches and leases; `held` is a lease with a key below `w/`.
async fn call_data(door: &Door, rpc: &str, held: i64) -> Option<Result<(), Status>> {
    let put = |key: &str| requests::put(key, "v");
    let mut kv = door.kv();
    Some(match rpc {
        "KV.Range r" => kv.range(door.request(range("r/1"))).await.map(drop),
        "KV.Range w" => kv.range(door.request(range("w/1"))).await.map(drop),
        "KV.Range all" => kv.range(door.request(requests::everything())).await.map(drop),
        "KV.Range serializable" => {
            kv.range(door.request(RangeRequest { serializable: true, ..range("r/1") })).await.map(drop)
        }
        "KV.RangeStream" => first(kv.range_stream(door.request(range("r/1"))).await).await,
        "KV.Put w" => kv.put(door.request(put("w/1"))).await.map(drop),
        "KV.Put r" => kv.put(door.request(put("r/1"))).await.map(drop),
        "KV.DeleteRange" => kv.delete_range(door.request(requests::delete_prefix("w/gone"))).await.map(drop),
        "KV.Txn that reads" => kv.txn(door.request(txn(Operation::RequestRange(range("r/1"))))).await.map(drop),
        "KV.Txn that puts" => kv.txn(door.request(txn(Operation::RequestPut(put("w/1"))))).await.map(drop),
        "KV.Txn nested in the branch that is not taken" => {
            let nested =
                TxnRequest { failure: txn(Operation::RequestPut(put("w/1"))).success, ..TxnRequest::default() };
            kv.txn(door.request(txn(Operation::RequestTxn(nested)))).await.map(drop)
        }
        "KV.Compact" => kv.compact(door.request(CompactionRequest { revision: 1, physical: false })).await.map(drop),
        "Watch.Watch" => return Some(watch(door).await),
        "Lease.LeaseGrant" => {
            door.lease().lease_grant(door.request(LeaseGrantRequest { id: 0, ttl: 600 })).await.map(drop)
        }
        "Lease.LeaseRevoke" => door.lease().lease_revoke(door.request(LeaseRevokeRequest { id: held })).await.map(drop),
        "Lease.LeaseKeepAlive" => {
            let requests = stream::iter([LeaseKeepAliveRequest { id: held }]);
            first(door.lease().lease_keep_alive(door.request(requests)).await).await
        }
        "Lease.LeaseTimeToLive" | "Lease.LeaseTimeToLive with keys" => {
            let request = LeaseTimeToLiveRequest { id: held, keys: rpc.ends_with("keys") };
            door.lease().lease_time_to_live(door.request(request)).await.map(drop)
        }
        "Lease.LeaseLeases" => door.lease().lease_leases(door.request(LeaseLeasesRequest {})).await.map(drop),
        _ => return None,
    })
}

/// A watcher that is refused is told so in its answer, not by the stream's status.
async fn watch(door: &Door) -> Result<(), Status> {
    let create = WatchCreateRequest { key: "r/1".into(), ..WatchCreateRequest::default() };
    let request = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
    // Its end would end the stream.
    let requests = stream::iter([request]).chain(stream::pending());
    let mut answers = door.watch().watch(door.request(requests)).await?.into_inner();
    let answer = answers.next().await.expect("a create request is answered")?;
    if answer.canceled { Err(Status::unknown(answer.cancel_reason)) } else { Ok(()) }
}

/// Calls what concerns the members. What root asks for makes no sense, so that nothing happens.
async fn call_members(door: &Door, rpc: &str) -> Option<Result<(), Status>> {
    let (mut cluster, mut maintenance) = (door.cluster(), door.maintenance());
    let alarm = |action: AlarmAction| AlarmRequest { action: action.into(), ..AlarmRequest::default() };
    Some(match rpc {
        "Cluster.MemberAdd" => cluster.member_add(door.request(MemberAddRequest::default())).await.map(drop),
        "Cluster.MemberRemove" => cluster.member_remove(door.request(MemberRemoveRequest { id: 1 })).await.map(drop),
        "Cluster.MemberUpdate" => cluster.member_update(door.request(MemberUpdateRequest::default())).await.map(drop),
        "Cluster.MemberList" => {
            cluster.member_list(door.request(MemberListRequest { linearizable: true })).await.map(drop)
        }
        "Cluster.MemberPromote" => cluster.member_promote(door.request(MemberPromoteRequest { id: 1 })).await.map(drop),
        "Maintenance.Alarm get" => maintenance.alarm(door.request(alarm(AlarmAction::Get))).await.map(drop),
        "Maintenance.Alarm deactivate" => {
            maintenance.alarm(door.request(alarm(AlarmAction::Deactivate))).await.map(drop)
        }
        "Maintenance.Status" => maintenance.status(door.request(StatusRequest {})).await.map(drop),
        "Maintenance.Defragment" => maintenance.defragment(door.request(DefragmentRequest {})).await.map(drop),
        "Maintenance.Hash" => maintenance.hash(door.request(HashRequest {})).await.map(drop),
        "Maintenance.HashKV" => maintenance.hash_kv(door.request(HashKvRequest { revision: 0 })).await.map(drop),
        "Maintenance.Snapshot" => first(maintenance.snapshot(door.request(SnapshotRequest {})).await).await,
        "Maintenance.MoveLeader" => {
            maintenance.move_leader(door.request(MoveLeaderRequest { target_id: 1 })).await.map(drop)
        }
        "Maintenance.Downgrade" => maintenance.downgrade(door.request(DowngradeRequest::default())).await.map(drop),
        _ => return None,
    })
}

/// Calls what concerns users and roles; likewise.
async fn call_auth(door: &Door, rpc: &str) -> Option<Result<(), Status>> {
    let mut auth = door.auth();
    let (none, reader) = (|| "none".to_owned(), || "reader".to_owned());
    Some(match rpc {
        "Auth.AuthEnable" => auth.auth_enable(door.request(AuthEnableRequest {})).await.map(drop),
        "Auth.AuthDisable" => auth.auth_disable(door.request(AuthDisableRequest {})).await.map(drop),
        "Auth.AuthStatus" => auth.auth_status(door.request(AuthStatusRequest {})).await.map(drop),
        "Auth.Authenticate" => {
            let request = AuthenticateRequest { name: reader(), password: reader() };
            auth.authenticate(door.request(request)).await.map(drop)
        }
        "Auth.UserAdd" => door.try_add_user("reader", "p").await,
        "Auth.UserGet reader" => auth.user_get(door.request(AuthUserGetRequest { name: reader() })).await.map(drop),
        "Auth.UserList" => auth.user_list(door.request(AuthUserListRequest {})).await.map(drop),
        "Auth.UserDelete" => auth.user_delete(door.request(AuthUserDeleteRequest { name: none() })).await.map(drop),
        "Auth.UserChangePassword" => {
            let request = AuthUserChangePasswordRequest { name: none(), password: none(), ..Default::default() };
            auth.user_change_password(door.request(request)).await.map(drop)
        }
        "Auth.UserGrantRole" => {
            let request = AuthUserGrantRoleRequest { user: none(), role: none() };
            auth.user_grant_role(door.request(request)).await.map(drop)
        }
        "Auth.UserRevokeRole" => {
            let request = AuthUserRevokeRoleRequest { name: none(), role: none() };
            auth.user_revoke_role(door.request(request)).await.map(drop)
        }
        "Auth.RoleAdd" => auth.role_add(door.request(AuthRoleAddRequest { name: reader() })).await.map(drop),
        "Auth.RoleGet reader" => auth.role_get(door.request(AuthRoleGetRequest { role: reader() })).await.map(drop),
        "Auth.RoleList" => auth.role_list(door.request(AuthRoleListRequest {})).await.map(drop),
        "Auth.RoleDelete" => auth.role_delete(door.request(AuthRoleDeleteRequest { role: none() })).await.map(drop),
        "Auth.RoleGrantPermission" => {
            door.permit("none", registry_proto::authpb::permission::Type::Read, "k", "").await
        }
        "Auth.RoleRevokePermission" => {
            let request = AuthRoleRevokePermissionRequest { role: none(), ..Default::default() };
            auth.role_revoke_permission(door.request(request)).await.map(drop)
        }
        _ => return None,
    })
}

/// Calls locks and elections; each who asks has a line of its own.
async fn call_queues(door: &Door, rpc: &str, column: usize) -> Option<Result<(), Status>> {
    let (mut lock, mut election) = (door.lock(), door.election());
    let line = |kind: &str| Bytes::from(format!("w/{kind}-{column}"));
    let leader = || Some(LeaderKey { name: line("e"), key: Bytes::from_static(b"w/e/1"), rev: 1, lease: 1 });
    Some(match rpc {
        "Lock.Lock" => lock.lock(door.request(LockRequest { name: line("l"), lease: 0 })).await.map(drop),
        "Lock.Unlock" => lock.unlock(door.request(UnlockRequest { key: line("l") })).await.map(drop),
        "Election.Campaign" => {
            let request = CampaignRequest { name: line("e"), lease: 0, value: Bytes::new() };
            election.campaign(door.request(request)).await.map(drop)
        }
        "Election.Proclaim" => {
            let request = ProclaimRequest { leader: leader(), value: Bytes::new() };
            election.proclaim(door.request(request)).await.map(drop)
        }
        "Election.Leader" => election.leader(door.request(LeaderRequest { name: line("e") })).await.map(drop),
        "Election.Observe" => {
            // root has campaigned there.
            let name = Bytes::from_static(b"w/e-0");
            first(election.observe(door.request(LeaderRequest { name })).await).await
        }
        "Election.Resign" => election.resign(door.request(ResignRequest { leader: leader() })).await.map(drop),
        _ => return None,
    })
}

async fn call(door: &Door, root: &Door, rpc: &str, column: usize) -> Result<(), Status> {
    if rpc.starts_with("Lease.") || rpc.starts_with("KV.") || rpc.starts_with("Watch.") {
        let granted = root.lease().lease_grant(root.request(LeaseGrantRequest { id: 0, ttl: 600 })).await;
        let granted = granted.expect("root may do everything");
        let held = granted.into_inner().id;
        root.put(PutRequest { lease: held, ..requests::put("w/held", "v") }).await.expect("root may do everything");
        return call_data(door, rpc, held).await.unwrap_or_else(|| panic!("{rpc} is not called"));
    }
    let answer = match call_members(door, rpc).await {
        Some(answer) => Some(answer),
        None => match call_auth(door, rpc).await {
            Some(answer) => Some(answer),
            None => call_queues(door, rpc, column).await,
        },
    };
    answer.unwrap_or_else(|| panic!("{rpc} is not called"))
}

/// Asks for each cell of the table and compares.
async fn check(door: &Door) {
    let tokens = set_up(door).await;
    let doors: Vec<_> = tokens.iter().map(|token| door.by(token)).chain([door.clone(), door.by("ended.1")]).collect();
    let mut wrong = String::new();
    for (rpc, expected) in TABLE {
        for (column, (door, expected)) in doors.iter().zip(expected.chars()).enumerate().filter(|(_, it)| it.1 != '-') {
            let answer = tokio::time::timeout(Duration::from_secs(20), call(door, &doors[0], rpc, column)).await;
            let answer = answer.unwrap_or_else(|_| panic!("{rpc}, column {column}: no answer"));
            let text = answer.map_err(|status| status.message().to_owned());
            let found = letter(&text);
            if found != expected {
                writeln!(wrong, "{rpc}, column {column}: {found} instead of {expected}: {text:?}")
                    .expect("a text takes all");
            }
        }
    }
    assert_eq!(wrong, "");
}

#[tokio::test]
async fn every_rpc_is_answered_to_whom_it_is_permitted_on_a_member_alone() {
    let node = Node::start(NODE, &[CHEAP]).await;
    check(&Door::open(node.url()).await).await;
}

#[tokio::test]
async fn every_rpc_is_answered_to_whom_it_is_permitted_on_a_follower() {
    let plan = Plan::new(Program::Registry(NODE.into()), 3).with_flags(&[CHEAP]);
    let cluster = Cluster::start(plan).await;
    let follower = cluster.others(cluster.wait_for_leader().await)[0];
    check(&Door::open(&cluster.url(follower)).await).await;
}

#[test]
fn every_rpc_is_in_the_table() {
    let served = [
        ("KV", include_str!("../../../registry-proto/proto/kv.proto")),
        ("Watch", include_str!("../../../registry-proto/proto/watch.proto")),
        ("Lease", include_str!("../../../registry-proto/proto/lease.proto")),
        ("Cluster", include_str!("../../../registry-proto/proto/cluster.proto")),
        ("Maintenance", include_str!("../../../registry-proto/proto/maintenance.proto")),
        ("Auth", include_str!("../../../registry-proto/proto/auth.proto")),
        ("Lock", include_str!("../../../registry-proto/proto/lock.proto")),
        ("Election", include_str!("../../../registry-proto/proto/election.proto")),
    ];
    for (service, proto) in served {
        for rpc in proto.lines().filter_map(|line| line.trim().strip_prefix("rpc ")?.split('(').next()) {
            let path = format!("{service}.{rpc}");
            assert!(TABLE.iter().any(|(row, _)| row.split(' ').next() == Some(&path)), "{path} is not in the table");
        }
    }
}
