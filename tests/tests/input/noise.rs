//! Well-formed messages of every method, bent at random: flipped bits, cut ends, lengths and numbers blown up.
//!
//! Every answer must be a gRPC status, whatever it says. A failure names its seed; the same seed bends alike.

use std::sync::Arc;

use bytes::Bytes;
use fastrand::Rng;
use prost::Message;
use registry_proto::etcdserverpb::alarm_request::AlarmAction;
use registry_proto::etcdserverpb::compare::{CompareResult, TargetUnion};
use registry_proto::etcdserverpb::watch_request::RequestUnion;
use registry_proto::etcdserverpb::{
    AlarmRequest, CompactionRequest, DowngradeRequest, HashKvRequest, LeaseGrantRequest, LeaseKeepAliveRequest,
    LeaseRevokeRequest, LeaseTimeToLiveRequest, MemberAddRequest, MemberListRequest, MemberListResponse,
    MemberRemoveRequest, MemberUpdateRequest, MoveLeaderRequest, PutRequest, RangeRequest, TxnRequest,
    WatchCancelRequest, WatchCreateRequest, WatchProgressRequest, WatchRequest, WatchResponse,
};
use registry_server::command::{Authored, Command};
use registry_tests::requests::{Operation, compare, delete_prefix, leased, prefix, put, txn, watch_prefix};
use registry_tests::{Client, Wire};
use tokio::task::JoinSet;
use tonic::Code;

use crate::healthy::Subject;

const SEED: u64 = 20_260_824;
const UNARY: usize = 8_000;
const STREAMS: usize = 480;
/// Messages of one stream; the first that cannot be read ends it.
const MESSAGES: usize = 2;
/// Callers, each with a connection of its own.
const CALLERS: u64 = 16;
/// The watcher that ends a watch stream of this test.
const LAST_ID: i64 = 424_242;
const ROOM_KIB: usize = 32 * 1024;

/// A message of each method and kind; bending starts from these.
fn unary() -> Vec<(&'static str, Vec<u8>)> {
    let range = RangeRequest { limit: 7, sort_order: 2, sort_target: 3, ..prefix("k") };
    let keep = PutRequest { ignore_lease: true, prev_kv: true, ..put("k/1", "value") };
    let holds = compare("k/1", CompareResult::Greater, TargetUnion::Version(3));
    let inner = TxnRequest { compare: vec![holds], failure: vec![range.clone().op()], ..txn(vec![keep.clone().op()]) };
    let ops = vec![inner.op(), leased("k/2", "v", 7).op(), delete_prefix("k/3").op()];
    let add = MemberAddRequest { peer_ur_ls: vec!["http://127.0.0.1:1".to_owned()], is_learner: true };
    let update = MemberUpdateRequest { id: 1, peer_ur_ls: vec!["http://127.0.0.1:1".to_owned()] };
    // One that raises an alarm would have nearly all writes refused for lack of space, bent or not.
    let disarm = AlarmRequest { action: AlarmAction::Deactivate.into(), member_id: 1, alarm: 1 };
    let downgrade = DowngradeRequest { action: 1, version: "3.6.0".to_owned() };
    vec![
        ("KV/Range", range.encode_to_vec()),
        ("KV/RangeStream", prefix("k").encode_to_vec()),
        ("KV/Put", keep.encode_to_vec()),
        ("KV/Put", leased("k/4", "v", 7).encode_to_vec()),
        ("KV/DeleteRange", delete_prefix("k").encode_to_vec()),
        ("KV/Txn", txn(ops).encode_to_vec()),
        ("KV/Compact", CompactionRequest { revision: 3, physical: true }.encode_to_vec()),
        ("Lease/LeaseGrant", LeaseGrantRequest { id: 9, ttl: 600 }.encode_to_vec()),
        ("Lease/LeaseRevoke", LeaseRevokeRequest { id: 9 }.encode_to_vec()),
        ("Lease/LeaseTimeToLive", LeaseTimeToLiveRequest { id: 7, keys: true }.encode_to_vec()),
        ("Lease/LeaseLeases", Vec::new()),
        ("Cluster/MemberAdd", add.encode_to_vec()),
        ("Cluster/MemberRemove", MemberRemoveRequest { id: 1 }.encode_to_vec()),
        ("Cluster/MemberUpdate", update.encode_to_vec()),
        ("Cluster/MemberList", MemberListRequest { linearizable: true }.encode_to_vec()),
        ("Cluster/MemberPromote", MemberRemoveRequest { id: 1 }.encode_to_vec()),
        ("Maintenance/Alarm", disarm.encode_to_vec()),
        ("Maintenance/Status", Vec::new()),
        ("Maintenance/Defragment", Vec::new()),
        ("Maintenance/Hash", Vec::new()),
        ("Maintenance/HashKV", HashKvRequest { revision: 3 }.encode_to_vec()),
        ("Maintenance/Snapshot", Vec::new()),
        ("Maintenance/MoveLeader", MoveLeaderRequest { target_id: 1 }.encode_to_vec()),
        ("Maintenance/Downgrade", downgrade.encode_to_vec()),
    ]
}

fn of_watch(request: RequestUnion) -> Vec<u8> {
    WatchRequest { request_union: Some(request) }.encode_to_vec()
}

fn watches() -> Vec<Vec<u8>> {
    let create = WatchCreateRequest {
        start_revision: 2,
        filters: vec![0, 1],
        watch_id: 5,
        prev_kv: true,
        fragment: true,
        progress_notify: true,
        ..watch_prefix("k")
    };
    vec![
        of_watch(RequestUnion::CreateRequest(create)),
        of_watch(RequestUnion::CancelRequest(WatchCancelRequest { watch_id: 5 })),
        of_watch(RequestUnion::ProgressRequest(WatchProgressRequest {})),
    ]
}

/// Bends a message once, or now and then twice.
fn bend(rng: &mut Rng, message: &[u8]) -> Vec<u8> {
    let mut bent = message.to_vec();
    for _ in 0..=rng.usize(0..5) / 4 {
        if bent.is_empty() {
            bent.push(rng.u8(..));
        }
        let at = rng.usize(..bent.len());
        match rng.u8(0..10) {
            // Mostly what can still be read, as that goes deepest.
            0..4 => bent[at] ^= 1 << rng.u8(0..8),
            4 => bent.truncate(at),
            5 => drop(bent.splice(at..at, noise(rng))),
            // A length, as like as not, that is longer than all there is.
            6 => drop(bent.splice(at..=at, [0xff, 0xff, 0xff, 0xff, 0x07])),
            // Any number, negative ones among them, or one longer than numbers may be.
            7 | 8 => drop(bent.splice(at..=at, number(rng))),
            _ => bent.extend_from_within(at..),
        }
    }
    bent
}

fn number(rng: &mut Rng) -> Vec<u8> {
    if rng.u8(0..8) == 0 {
        return vec![0xff; rng.usize(10..12)];
    }
    let positive = rng.u64(..) >> rng.u8(0..64);
    let mut encoded = Vec::new();
    prost::encoding::encode_varint(if rng.bool() { positive } else { !positive }, &mut encoded);
    encoded
}

fn noise(rng: &mut Rng) -> Vec<u8> {
    let len = rng.usize(1..20);
    std::iter::repeat_with(|| rng.u8(..)).take(len).collect()
}

/// One caller's share, one call after the other; says how many messages could be read.
async fn call(url: Arc<str>, seed: u64) -> usize {
    let (wire, mut rng, seeds) = (Wire::connect(&url).await, Rng::with_seed(seed), unary());
    let mut read = 0;
    for _ in 0..UNARY / CALLERS as usize {
        let (method, message) = &seeds[rng.usize(..seeds.len())];
        let bent = bend(&mut rng, message);
        let answer = wire.call(&format!("/etcdserverpb.{method}"), &[&bent]).await;
        let answer = answer.unwrap_or_else(|error| panic!("seed {seed}: {method} of {bent:x?}: {error:?}"));
        let is_told = answer.http == 200 && answer.status.is_some() && answer.is_whole;
        assert!(is_told, "seed {seed}: {method} of {bent:x?}: {answer:?}");
        read += usize::from(answer.refusal().is_none_or(|(code, _)| code != Code::Internal));
    }
    read
}

/// Streams end with a status, or still answer the well-formed request at their end; says how many did.
async fn stream(url: Arc<str>, seed: u64) -> usize {
    let (wire, mut rng, seeds) = (Wire::connect(&url).await, Rng::with_seed(seed), watches());
    let keep = LeaseKeepAliveRequest { id: 7 }.encode_to_vec();
    let last = WatchCreateRequest { watch_id: LAST_ID, ..watch_prefix("other") };
    let mut went_on = 0;
    let is_last = |message: &Bytes| WatchResponse::decode(message.clone()).is_ok_and(|one| one.watch_id == LAST_ID);
    for _ in 0..STREAMS / CALLERS as usize {
        let kept: Vec<_> = (0..MESSAGES).map(|_| bend(&mut rng, &keep)).collect();
        let answer = wire.call("/etcdserverpb.Lease/LeaseKeepAlive", &kept).await.expect("a keep-alive is answered");
        assert!(answer.status.is_some() && answer.is_whole, "seed {seed}: {kept:x?}: {answer:?}");

        let mut watched: Vec<_> = (0..MESSAGES)
            .map(|_| {
                let one = rng.usize(..seeds.len());
                if rng.bool() { seeds[one].clone() } else { bend(&mut rng, &seeds[one]) }
            })
            .collect();
        watched.push(of_watch(RequestUnion::CreateRequest(last.clone())));
        let enough = |messages: &[Bytes]| messages.iter().any(is_last);
        let answer = wire.call_until("/etcdserverpb.Watch/Watch", &watched, enough).await.expect("a watch is answered");
        let goes_on = enough(&answer.messages);
        assert!(goes_on || answer.is_whole && answer.refusal().is_some(), "seed {seed}: {watched:x?}: {answer:?}");
        went_on += usize::from(goes_on);
    }
    went_on
}

/// Alarms that bent requests have raised would stop the writes that tell whether the server is well.
async fn disarm(client: &Client) {
    let mut maintenance = client.maintenance.clone();
    let raised = maintenance.alarm(AlarmRequest::default()).await.expect("alarms can be listed").into_inner();
    for alarm in raised.alarms {
        let action = AlarmAction::Deactivate.into();
        let request = AlarmRequest { action, member_id: alarm.member_id, alarm: alarm.alarm };
        maintenance.alarm(request).await.expect("alarms can be disarmed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bent_messages_of_every_method_are_answered_with_a_status() {
    let subject = Subject::start(&["--unsafe-no-fsync"]).await;
    subject.node.client().await.grant(7, 600).await.expect("the lease of the seeds");
    let url: Arc<str> = subject.node.url().into();
    let (mut callers, mut streamers) = (JoinSet::new(), JoinSet::new());
    for caller in 0..CALLERS {
        callers.spawn(call(url.clone(), SEED + caller));
        streamers.spawn(stream(url.clone(), SEED + CALLERS + caller));
    }
    let read: usize = callers.join_all().await.into_iter().sum();
    let went_on: usize = streamers.join_all().await.into_iter().sum();
    // Bent too much, nothing would come through the decoder; bent too little, it would be no test of it.
    assert!((UNARY / 5..UNARY * 9 / 10).contains(&read), "{read} of {UNARY} could be read");
    assert!((STREAMS / 20..STREAMS * 19 / 20).contains(&went_on), "{went_on} of {STREAMS} streams went on");
    disarm(&subject.node.client().await).await;
    remove_who_never_started(subject.node.url()).await;
    subject.is_healthy().await;
    subject.holds_no_more(ROOM_KIB).await;
}

/// Bent messages have added members, whom the server tries to reach as long as they are there.
async fn remove_who_never_started(url: &str) {
    let wire = Wire::connect(url).await;
    let call = async |method: &str, message: Vec<u8>| {
        let answer = wire.call(&format!("/etcdserverpb.Cluster/{method}"), &[message]).await;
        answer.expect("the server answers").messages.first().cloned().unwrap_or_default()
    };
    let members = call("MemberList", MemberListRequest { linearizable: true }.encode_to_vec()).await;
    let members = MemberListResponse::decode(members).expect("a list of members").members;
    for member in members.iter().filter(|member| member.name.is_empty()) {
        call("MemberRemove", MemberRemoveRequest { id: member.id }.encode_to_vec()).await;
    }
}

/// What the log hands to the state machine is bytes again: they are a command or an error.
#[test]
fn bent_commands_are_commands_or_errors() {
    let mut rng = Rng::with_seed(SEED);
    let (mut read, mut refused) = (0, 0);
    let commands: Vec<_> = unary()
        .iter()
        .filter_map(|(_, message)| Some(Command::Txn(TxnRequest::decode(&message[..]).ok()?).encode()))
        .chain([
            Command::Put(put("k", "v")).encode(),
            Command::LeaseGrant(LeaseGrantRequest { id: 7, ttl: 600 }).encode(),
            Command::DeleteRange(delete_prefix("k")).encode(),
        ])
        .collect();
    for _ in 0..50_000 {
        let chosen = rng.usize(..commands.len());
        let bent = bend(&mut rng, &commands[chosen]);
        match Authored::decode(bent.into()) {
            Ok(command) => {
                read += 1;
                assert_eq!(Authored::decode(command.encode()).expect("what was read can be written"), command);
            }
            Err(error) => {
                refused += 1;
                assert!(!error.to_string().is_empty());
            }
        }
    }
    assert!(read > 2_000 && refused > 2_000, "{read} were commands, {refused} were not");
}
