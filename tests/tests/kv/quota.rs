//! The quota's whole story: writes until it is exceeded, what goes on then, and the way back.

use std::time::Duration;

use registry_proto::etcdserverpb::alarm_request::AlarmAction;
use registry_proto::etcdserverpb::request_op::Request as Op;
use registry_proto::etcdserverpb::{
    AlarmMember, AlarmRequest, AlarmType, PutRequest, RequestOp, StatusRequest, StatusResponse,
};
use registry_server::server::Config;
use registry_tests::budget::SOON;
use registry_tests::requests::{delete, leased, put, txn};
use registry_tests::{Client, EmbeddedNode, eventually, refusal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Code;

use crate::etcd_says;

/// Several chunks of the store: the one that is being filled keeps its garbage.
const QUOTA_BYTES: u64 = 1024 * 1024;
const VALUE_BYTES: usize = 16 * 1024;
/// What Status says of an empty store.
const EMPTY_BYTES: i64 = 4096;

async fn with_quota() -> EmbeddedNode {
    with_quota_of(QUOTA_BYTES).await
}

async fn with_quota_of(bytes: u64) -> EmbeddedNode {
    EmbeddedNode::start_with(|config: &mut Config| config.quota_bytes = Some(bytes)).await
}

fn large_put(key: &str) -> PutRequest {
    put(key, vec![b'v'; VALUE_BYTES])
}

fn op(request: Op) -> RequestOp {
    RequestOp { request: Some(request) }
}

fn no_space() -> (Code, String) {
    etcd_says(Code::ResourceExhausted, "mvcc: database space exceeded")
}

/// Overwrites one key until that is refused.
async fn fill(client: &Client) {
    for _ in 0..2 * QUOTA_BYTES as usize / VALUE_BYTES {
        let answer = client.try_put(large_put("filling")).await;
        if answer.is_err() {
            return assert_eq!(refusal(answer), no_space());
        }
    }
    panic!("twice the quota was written");
}

async fn alarm(client: &Client, action: AlarmAction, member_id: u64, alarm: AlarmType) -> Vec<AlarmMember> {
    let request = AlarmRequest { action: action.into(), member_id, alarm: alarm.into() };
    client.maintenance.clone().alarm(request).await.expect("alarms are answered").into_inner().alarms
}

/// Waits until the alarm has gone by itself.
async fn no_alarm(client: &Client) {
    let none = async || alarm(client, AlarmAction::Get, 0, AlarmType::None).await.is_empty();
    eventually(SOON, "the alarm is cleared", none).await;
}

async fn status(client: &Client) -> StatusResponse {
    client.maintenance.clone().status(StatusRequest {}).await.expect("status is answered").into_inner()
}

/// The whole answer of a plain HTTP path.
async fn http(node: &EmbeddedNode, path: &str) -> String {
    let address = node.url().strip_prefix("http://").expect("it is plain HTTP");
    let mut stream = TcpStream::connect(address).await.expect("the node serves");
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("the node reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("the node answers");
    answer
}

/// Everything that takes room is refused; everything else works.
async fn assert_capped(client: &Client) {
    assert_eq!(refusal(client.try_put(large_put("a")).await), no_space());
    assert_eq!(refusal(client.txn(txn(vec![op(Op::RequestPut(put("a", "")))])).await), no_space());
    assert_eq!(refusal(client.grant(8, 60).await), no_space());
    assert!(client.get("filling").await.is_some());
    client.delete(delete("small")).await.expect("deleting goes on");
    client.txn(txn(vec![op(Op::RequestDeleteRange(delete("small")))])).await.expect("deleting goes on");
    assert_eq!(client.keep_alive().await.renew(7).await, 60);
}

#[tokio::test]
async fn a_full_store_refuses_what_adds_to_it_until_it_was_compacted() {
    let node = with_quota().await;
    let client = node.client().await;
    client.grant(7, 60).await.unwrap();
    client.put("small", "1").await;
    assert!(http(&node, "/health").await.starts_with("HTTP/1.1 200 OK"));

    fill(&client).await;
    let member = client.header().await.member_id;
    let raised = vec![AlarmMember { member_id: member, alarm: AlarmType::Nospace.into() }];
    assert_eq!(alarm(&client, AlarmAction::Get, 0, AlarmType::None).await, raised);
    assert_eq!(status(&client).await.errors, [format!("memberID:{member} alarm:NOSPACE")]);
    let health = http(&node, "/health").await;
    assert!(health.starts_with("HTTP/1.1 503 "), "{health}");
    assert!(health.ends_with("{\"health\":\"false\",\"reason\":\"ALARM NOSPACE\"}\n"), "{health}");
    assert!(http(&node, "/health?exclude=NOSPACE").await.starts_with("HTTP/1.1 200 OK"));
    assert_capped(&client).await;

    // Disarmed without room, the next put raises it again.
    assert_eq!(alarm(&client, AlarmAction::Deactivate, member, AlarmType::Nospace).await, raised);
    assert_eq!(refusal(client.try_put(large_put("filling")).await), no_space());
    assert_eq!(alarm(&client, AlarmAction::Get, 0, AlarmType::Nospace).await, raised);

    client.compact(client.revision().await).await.unwrap();
    assert!(status(&client).await.db_size < QUOTA_BYTES as i64 / 2);
    // There is room again, and nobody has to disarm.
    no_alarm(&client).await;
    client.try_put(large_put("a")).await.unwrap();
    assert!(status(&client).await.errors.is_empty());
    assert!(http(&node, "/health").await.starts_with("HTTP/1.1 200 OK"));
}

#[tokio::test]
async fn refused_writes_make_one_entry_and_no_more() {
    let node = with_quota().await;
    let client = node.client().await;
    fill(&client).await;
    let before = status(&client).await.raft_index;
    for _ in 0..50 {
        assert_eq!(refusal(client.try_put(large_put("filling")).await), no_space());
    }
    assert_eq!(status(&client).await.raft_index, before);
}

#[tokio::test]
async fn an_alarm_outlives_the_node() {
    let mut node = with_quota().await;
    fill(&node.client().await).await;
    node.restart().await;
    let client = node.client().await;
    // There is room for this one, and the alarm still says no: it is state, not a guess at the size.
    assert_eq!(refusal(client.try_put(put("a", "")).await), no_space());
    assert_eq!(alarm(&client, AlarmAction::Get, 0, AlarmType::Nospace).await.len(), 1);
}

/// Grants leases with a key each until that is refused, and returns how many there are.
async fn fill_with_leases(client: &Client, keys: bool) -> i64 {
    for id in 1..=10_000 {
        let granted = client.grant(id, 600).await;
        let put = match &granted {
            Ok(_) if keys => client.try_put(leased(&format!("key/{id}"), "", id)).await.map(drop),
            _ => granted.map(drop),
        };
        if put.is_err() {
            assert_eq!(refusal(put), no_space());
            return client.leases().await.into_iter().max().unwrap_or(0);
        }
    }
    panic!("ten thousand leases were granted");
}

#[tokio::test]
async fn leases_count_in_the_quota_and_revoking_them_frees_it() {
    const LEASES_QUOTA_BYTES: u64 = 128 * 1024;
    let node = with_quota_of(LEASES_QUOTA_BYTES).await;
    let client = node.client().await;
    let without_keys = fill_with_leases(&client, false).await;
    let full = status(&client).await;
    assert!(full.db_size > LEASES_QUOTA_BYTES as i64 * 9 / 10, "{full:?}");
    assert_eq!(full.db_size_in_use, full.db_size);
    let size = format!("\netcd_mvcc_db_total_size_in_bytes {}\n", full.db_size - EMPTY_BYTES);
    assert!(http(&node, "/metrics").await.contains(&size), "{size}");
    assert_eq!(refusal(client.grant(1_000_000, 60).await), no_space());

    for id in 1..=without_keys {
        client.revoke(id).await.expect("leases can be revoked without space");
    }
    assert_eq!(status(&client).await.db_size, EMPTY_BYTES);
    no_alarm(&client).await;
    // An attached key takes room of its own.
    let with_keys = fill_with_leases(&client, true).await;
    assert!(with_keys * 2 < without_keys, "{with_keys} leases with keys, {without_keys} without");
}

/// Keys of which every third is written again: a third of each chunk becomes garbage.
async fn fragment(client: &Client) -> i64 {
    let small = |key: usize| put(&format!("key/{key:05}"), vec![b'v'; 1_000]);
    let mut last = 0;
    for key in 0.. {
        let answer = client.try_put(small(key)).await;
        if answer.is_err() {
            assert_eq!(refusal(answer), no_space());
            return last;
        }
        last = answer.unwrap_or_default().header.unwrap_or_default().revision;
    }
    last
}

#[tokio::test]
async fn the_alarm_goes_when_keys_were_deleted_everywhere_and_compacted() {
    let node = with_quota().await;
    let client = node.client().await;
    fragment(&client).await;
    // Too little for the alarm to go, and too much for the chunks to be rewritten by themselves.
    for key in (0..900).step_by(3) {
        client.delete(delete(&format!("key/{key:05}"))).await.unwrap();
    }
    client.compact(client.revision().await).await.unwrap();
    no_alarm(&client).await;
    let after = status(&client).await;
    assert!(after.db_size < QUOTA_BYTES as i64 * 9 / 10, "{after:?}");
    client.try_put(large_put("a")).await.unwrap();
}

#[tokio::test]
async fn the_alarm_does_not_come_and_go_while_the_store_stays_nearly_full() {
    let node = with_quota().await;
    let client = node.client().await;
    fragment(&client).await;
    let before = status(&client).await.raft_index;
    // There is room for some, but less than a tenth of the quota.
    for key in 0..20 {
        client.delete(delete(&format!("key/{key:05}"))).await.unwrap();
    }
    client.compact(client.revision().await).await.unwrap();
    let deleted = status(&client).await.raft_index;
    assert_eq!(deleted, before + 21);
    let began = tokio::time::Instant::now();
    let mut puts = 0;
    while began.elapsed() < Duration::from_secs(4) {
        assert_eq!(refusal(client.try_put(put("a", "")).await), no_space());
        puts += 1;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(status(&client).await.raft_index, deleted + puts, "nobody proposed anything else");
}

#[tokio::test]
async fn without_a_quota_an_old_alarm_goes() {
    let node = EmbeddedNode::start_with(|config: &mut Config| config.quota_bytes = None).await;
    let client = node.client().await;
    let member = client.header().await.member_id;
    alarm(&client, AlarmAction::Activate, member, AlarmType::Nospace).await;
    no_alarm(&client).await;
    assert_eq!(status(&client).await.db_size_quota, -1);
}
