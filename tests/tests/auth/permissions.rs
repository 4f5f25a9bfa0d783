//! What permissions keep apart: etcd's published vulnerabilities, and changes that count at once.

use std::time::Duration;

use registry_proto::authpb::permission::Type;
use registry_proto::etcdserverpb::request_op::Request as Operation;
use registry_proto::etcdserverpb::*;
use registry_tests::{Node, eventually, refusal, requests};
use tonic::Code;

use crate::door::Door;
use crate::{CHEAP, NODE, set_up};

fn denied() -> (Code, String) {
    (Code::PermissionDenied, "etcdserver: permission denied".to_owned())
}

fn txn(success: Vec<Operation>) -> TxnRequest {
    let success = success.into_iter().map(|operation| RequestOp { request: Some(operation) }).collect();
    TxnRequest { success, ..TxnRequest::default() }
}

async fn opened() -> (Node, Door, [Door; 4]) {
    let node = Node::start(NODE, &[CHEAP]).await;
    let door = Door::open(node.url()).await;
    let doors = set_up(&door).await.map(|token| door.by(&token));
    (node, door, doors)
}

/// CVE-2026-33343 and CVE-2026-44283.
#[tokio::test]
async fn no_operation_of_a_transaction_goes_around_its_permission() {
    let (_node, _, [root, reader, writer, _]) = opened().await;
    root.put_value("secret", "s").await.unwrap();
    let granted = root.lease().lease_grant(root.request(LeaseGrantRequest { id: 7, ttl: 600 })).await;
    granted.unwrap();
    root.put(PutRequest { lease: 7, ..requests::put("secret", "s") }).await.unwrap();
    let put = || requests::put("w/1", "v");
    let get = Operation::RequestRange(requests::key("secret"));
    let deep = (0..5).fold(get.clone(), |inner, _| Operation::RequestTxn(txn(vec![inner])));
    let other_branch = TxnRequest { failure: txn(vec![get.clone()]).success, ..txn(vec![]) };
    let compare = requests::compare("secret", compare::CompareResult::Equal, compare::TargetUnion::Version(1));
    for (name, request) in [
        ("a range", txn(vec![get.clone()])),
        ("a nested range", txn(vec![Operation::RequestPut(put()), deep])),
        ("the branch that is not taken", TxnRequest { success: other_branch.failure, ..txn(vec![]) }),
        ("a comparison", TxnRequest { compare: vec![compare], ..txn(vec![Operation::RequestPut(put())]) }),
        ("a lease with others' keys", txn(vec![Operation::RequestPut(PutRequest { lease: 7, ..put() })])),
        ("a delete that tells what it deletes", txn(vec![Operation::RequestDeleteRange(requests::delete("secret"))])),
    ] {
        let answer = writer.kv().txn(writer.request(request)).await;
        assert_eq!(refusal(answer), denied(), "{name}");
    }
    let lease = writer.put(PutRequest { lease: 7, ..put() }).await;
    assert_eq!(refusal(lease), denied());
    // Who may only write learns nothing of what was there.
    root.permit("reader", Type::Write, "only-written", "").await.unwrap();
    root.put_value("only-written", "s").await.unwrap();
    reader.put_value("only-written", "v").await.unwrap();
    let prev = reader.put(PutRequest { prev_kv: true, ..requests::put("only-written", "v") }).await;
    assert_eq!(refusal(prev), denied());
    let prev = DeleteRangeRequest { prev_kv: true, ..requests::delete("only-written") };
    assert_eq!(refusal(reader.kv().delete_range(reader.request(prev)).await), denied());
    assert_eq!(refusal(reader.range(requests::key("only-written")).await), denied());
}

/// CVE-2023-32082.
#[tokio::test]
async fn a_lease_tells_no_names_of_keys_that_may_not_be_read() {
    let (_node, _, [root, _, writer, _]) = opened().await;
    root.lease().lease_grant(root.request(LeaseGrantRequest { id: 7, ttl: 600 })).await.unwrap();
    root.put(PutRequest { lease: 7, ..requests::put("w/known", "s") }).await.unwrap();
    let ask = |keys| writer.request(LeaseTimeToLiveRequest { id: 7, keys });
    let told = writer.lease().lease_time_to_live(ask(true)).await.unwrap().into_inner();
    assert_eq!(told.keys, ["w/known"]);
    root.put(PutRequest { lease: 7, ..requests::put("secret", "s") }).await.unwrap();
    assert_eq!(refusal(writer.lease().lease_time_to_live(ask(true)).await), denied());
    assert!(writer.lease().lease_time_to_live(ask(false)).await.unwrap().into_inner().keys.is_empty());
    assert_eq!(refusal(writer.lease().lease_leases(writer.request(LeaseLeasesRequest {})).await), denied());
    assert_eq!(refusal(writer.lease().lease_revoke(writer.request(LeaseRevokeRequest { id: 7 })).await), denied());
}

#[tokio::test]
async fn permissions_of_several_roles_add_up_and_go_at_once() {
    let (_node, _, [root, reader, _, _]) = opened().await;
    let all = || requests::prefix("r/");
    root.put_value("r/1", "v").await.unwrap();
    assert_eq!(reader.range(all()).await.unwrap().count, 1);
    // Up to `r/5` by one role and from there on by another.
    root.auth().role_add(root.request(AuthRoleAddRequest { name: "half".into() })).await.unwrap();
    root.permit("half", Type::Read, "r0", "s").await.unwrap();
    root.grant_role("reader", "half").await;
    let wide = RangeRequest { range_end: "s".into(), ..all() };
    assert_eq!(reader.range(wide.clone()).await.unwrap().count, 1);
    let revoke = AuthUserRevokeRoleRequest { name: "reader".into(), role: "half".into() };
    root.auth().user_revoke_role(root.request(revoke)).await.unwrap();
    assert_eq!(refusal(reader.range(wide).await), denied());
    assert_eq!(reader.range(all()).await.unwrap().count, 1);
}

#[tokio::test]
async fn disabling_opens_the_door_and_ends_all_tokens() {
    let (_node, door, [root, reader, ..]) = opened().await;
    assert_eq!(
        refusal(door.put_value("k", "v").await),
        (Code::InvalidArgument, "etcdserver: user name is empty".into())
    );
    root.auth().auth_disable(root.request(AuthDisableRequest {})).await.unwrap();
    door.put_value("k", "v").await.unwrap();
    reader.put_value("k", "v").await.unwrap();
    door.enable().await;
    let ended = (Code::Unauthenticated, "etcdserver: invalid auth token".to_owned());
    assert_eq!(refusal(root.put_value("k", "v").await), ended);
}

/// What members do on their own needs nobody's permission.
#[tokio::test]
async fn leases_expire_and_history_is_compacted_while_authentication_is_enabled() {
    let node = Node::start(NODE, &[CHEAP, "--auto-compaction-retention=1s"]).await;
    let door = Door::open(node.url()).await;
    let writer = door.by(&set_up(&door).await[2]);
    writer.lease().lease_grant(writer.request(LeaseGrantRequest { id: 7, ttl: 2 })).await.unwrap();
    writer.put(PutRequest { lease: 7, ..requests::put("w/leased", "v") }).await.unwrap();
    let first = writer.put_value("w/1", "v").await.unwrap().header.unwrap().revision;
    eventually(Duration::from_secs(20), "the lease has expired", async || {
        writer.range(requests::key("w/leased")).await.unwrap().count == 0
    })
    .await;
    let old = RangeRequest { revision: first, ..requests::key("w/1") };
    eventually(Duration::from_secs(20), "old revisions are gone", async || {
        writer.put_value("w/1", "v").await.unwrap();
        writer.range(old.clone()).await.is_err()
    })
    .await;
}
