//! What only a cluster refuses, in etcd's codes and words: no majority, no leader, no vote, a target that stands still.

use registry_proto::etcdserverpb::watch_request::RequestUnion;
use registry_proto::etcdserverpb::{
    MemberUpdateRequest, MoveLeaderRequest, RangeRequest, WatchCreateRequest, WatchRequest,
};
use registry_tests::budget::SOON;
use registry_tests::requests::{delete, key, put};
use registry_tests::{Plan, eventually, refusal};
use tokio_stream::{self as stream, StreamExt};
use tonic::{Code, Request};

use crate::{start, start_as};

/// The time that a request may take is 5 s and two election timeouts.
const QUICK: &[&str] = &["--heartbeat-interval=50", "--election-timeout=500"];

/// A request of a client that wants a member which has a leader.
fn wants_a_leader<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("hasleader", "true".parse().expect("it is metadata"));
    request
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_majority_requests_time_out_and_who_wants_a_leader_is_told_there_is_none() {
    let Some(mut cluster) = start_as(|program| Plan::new(program, 2).with_flags(QUICK)).await else { return };
    let leader = cluster.wait_for_leader().await;
    let client = cluster.client(leader);
    client.put("a", "1").await;
    let create = WatchCreateRequest { key: "a".into(), ..WatchCreateRequest::default() };
    let create = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
    let requests = wants_a_leader(stream::iter([create]).chain(stream::pending()));
    let mut watch = client.watch.clone().watch(requests).await.expect("the stream opens").into_inner();
    assert!(watch.message().await.expect("it is created").expect("it goes on").created);

    let other = cluster.others(leader)[0];
    cluster.kill(other);
    let no_leader = (Code::Unavailable, "etcdserver: no leader".to_owned());
    assert_eq!(refusal(watch.message().await), no_leader);
    eventually(SOON, "who wants a leader is refused", async || {
        let serializable = RangeRequest { serializable: true, ..key("a") };
        match client.kv.clone().range(wants_a_leader(serializable)).await {
            Ok(_) => false,
            Err(status) => {
                assert_eq!((status.code(), status.message().to_owned()), no_leader);
                true
            }
        }
    })
    .await;
    // Who does not, waits for one.
    let (write, read) = tokio::join!(client.try_put(put("a", "2")), client.try_range(key("a")));
    for (code, text) in [refusal(write), refusal(read)] {
        assert_eq!(code, Code::Unavailable);
        // etcd has more than one text for this.
        assert!(text == "etcdserver: request timed out" || !cluster.is_registry(), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handover_to_a_member_that_stands_still_times_out() {
    let Some(mut cluster) = start(3).await else { return };
    let leader = cluster.wait_for_leader().await;
    let target = cluster.others(leader)[0];
    let target_id = cluster.id(target);
    let mut maintenance = cluster.client(leader).maintenance;
    cluster.pause(target);
    let refused = refusal(maintenance.move_leader(MoveLeaderRequest { target_id }).await);
    let text = "etcdserver: request timed out, leader transfer took too long";
    assert_eq!(refused, (Code::Unknown, text.to_owned()));
    cluster.resume(target);
    let leader = cluster.wait_for_leader().await;
    cluster.client(leader).put("a", "1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_learner_takes_what_needs_no_vote_and_refuses_the_rest() {
    let Some(mut cluster) = start(1).await else { return };
    cluster.client(0).put("a", "1").await;
    let learner = cluster.enroll();
    cluster.add(0, learner, true).await.expect("the learner is added");
    cluster.restart(learner).await;
    let client = cluster.client(learner);
    eventually(SOON, "the learner has the key", async || {
        let answer = client.try_range(RangeRequest { serializable: true, ..key("a") }).await;
        answer.expect("a learner serves what it has").count == 1
    })
    .await;
    let unsupported = (Code::FailedPrecondition, "etcdserver: rpc not supported for learner".to_owned());
    assert_eq!(refusal(client.try_put(put("a", "2")).await), unsupported);
    assert_eq!(refusal(client.delete(delete("a")).await), unsupported);
    assert_eq!(refusal(client.try_range(key("a")).await), unsupported);
    assert_eq!(refusal(client.compact(1).await), unsupported);
    assert_eq!(refusal(client.grant(7, 60).await), unsupported);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_url_that_another_member_has_is_refused() {
    let Some(mut cluster) = start(2).await else { return };
    let leader = cluster.wait_for_leader().await;
    let other = cluster.others(leader)[0];
    let taken = (Code::FailedPrecondition, "etcdserver: Peer URLs already exists".to_owned());
    assert_eq!(refusal(cluster.add(leader, other, false).await), taken);
    let update = MemberUpdateRequest { id: cluster.id(leader), peer_ur_ls: vec![cluster.peer_url(other)] };
    let mut of_leader = cluster.client(leader).cluster;
    assert_eq!(refusal(of_leader.member_update(update).await), taken);
    assert_eq!(cluster.listed_by(leader).await.len(), 2);
}
