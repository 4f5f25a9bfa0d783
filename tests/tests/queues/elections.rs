//! Elections: one leader at a time, its proclamations, and those who follow them.

use registry_proto::v3electionpb::{
    LeaderKey, LeaderRequest, LeaderResponse, ProclaimRequest, ProclaimResponse, ResignRequest,
};
use registry_tests::requests::Operation;
use registry_tests::requests::{delete, leased, txn};
use registry_tests::{EmbeddedNode, refusal, within};
use tonic::{Code, Response, Status, Streaming};

use crate::Queues;

impl Queues {
    async fn leader(&self, name: &str) -> Result<LeaderResponse, Status> {
        let request = LeaderRequest { name: name.to_owned().into() };
        self.election.clone().leader(request).await.map(Response::into_inner)
    }

    async fn proclaim(&self, leader: Option<LeaderKey>, value: &str) -> Result<ProclaimResponse, Status> {
        let request = ProclaimRequest { leader, value: value.to_owned().into() };
        self.election.clone().proclaim(request).await.map(Response::into_inner)
    }

    async fn resign(&self, leader: LeaderKey) {
        self.election.clone().resign(ResignRequest { leader: Some(leader) }).await.expect("the server takes it");
    }

    async fn observe(&self, name: &str) -> Streaming<LeaderResponse> {
        let request = LeaderRequest { name: name.to_owned().into() };
        self.election.clone().observe(request).await.expect("the server takes it").into_inner()
    }
}

async fn three_leases() -> (EmbeddedNode, Queues) {
    let node = EmbeddedNode::start().await;
    let queues = Queues::connect(node.url()).await;
    for lease in 1..=3 {
        queues.client.grant(lease, 600).await.expect("the server takes it");
    }
    (node, queues)
}

/// The next value that is told.
async fn told(observed: &mut Streaming<LeaderResponse>) -> String {
    let answer = within(observed.message()).await.expect("the stream goes on").expect("the stream goes on");
    String::from_utf8(answer.kv.expect("a leader has a key").value.to_vec()).expect("values of tests are text")
}

fn says(text: &str) -> (Code, String) {
    (Code::Unknown, text.to_owned())
}

#[tokio::test]
async fn a_leader_wins_proclaims_and_resigns_and_the_next_one_follows() {
    let (_node, queues) = three_leases().await;
    assert_eq!(refusal(queues.leader("e").await), says("election: no leader"));
    let first = queues.campaign("e", 1, "one").await.unwrap();
    assert_eq!((&first.name[..], &first.key[..], first.lease), (&b"e"[..], &b"e/1"[..], 1));
    let second = tokio::spawn({
        let queues = queues.clone();
        async move { queues.campaign("e", 2, "two").await }
    });
    queues.wait_for_line("e", 2).await;
    queues.proclaim(Some(first.clone()), "one again").await.unwrap();
    let leader = queues.leader("e").await.unwrap().kv.unwrap();
    assert_eq!((leader.value, leader.create_revision), ("one again".into(), first.rev));
    queues.resign(first.clone()).await;
    let second = within(second).await.unwrap().unwrap();
    assert_eq!(queues.leader("e").await.unwrap().kv.unwrap().value, "two");
    assert_eq!(refusal(queues.proclaim(Some(first.clone()), "late").await), says("election: not leader"));
    // To give up twice changes nothing.
    queues.resign(first).await;
    assert_eq!(queues.leader("e").await.unwrap().kv.unwrap().create_revision, second.rev);
}

#[tokio::test]
async fn a_campaign_that_is_repeated_proclaims_its_new_value() {
    let (_node, queues) = three_leases().await;
    let first = queues.campaign("e", 1, "one").await.unwrap();
    let again = queues.campaign("e", 1, "other").await.unwrap();
    assert_eq!(again, first);
    assert_eq!(queues.leader("e").await.unwrap().kv.unwrap().value, "other");
    assert_eq!(queues.line("e").await.len(), 1);
}

#[tokio::test]
async fn what_names_no_leader_or_no_lease_is_refused_as_by_etcd() {
    let (_node, queues) = three_leases().await;
    let missing = says("\"leader\" field must be provided");
    assert_eq!(refusal(queues.proclaim(None, "x").await), missing);
    assert_eq!(refusal(queues.election.clone().resign(ResignRequest { leader: None }).await), missing);
    let no_key = LeaderKey { name: "e".into(), key: "".into(), rev: 5, lease: 1 };
    let empty = says("etcdserver: key is not provided");
    assert_eq!(refusal(queues.proclaim(Some(no_key.clone()), "x").await), empty);
    assert_eq!(refusal(queues.election.clone().resign(ResignRequest { leader: Some(no_key) }).await), empty);
    let no_lease = queues.campaign("e", 77, "x").await;
    assert_eq!(refusal(no_lease), says("etcdserver: requested lease not found"));
}

#[tokio::test]
async fn a_candidate_that_loses_its_lease_does_not_win() {
    let (_node, queues) = three_leases().await;
    let first = queues.campaign("e", 1, "one").await.unwrap();
    let second = tokio::spawn({
        let queues = queues.clone();
        async move { queues.campaign("e", 2, "two").await }
    });
    queues.wait_for_line("e", 2).await;
    queues.client.revoke(2).await.unwrap();
    assert_eq!(refusal(within(second).await.unwrap()), says("election: session is expired"));
    queues.resign(first).await;
    assert_eq!(refusal(queues.leader("e").await), says("election: no leader"));
}

#[tokio::test]
async fn observers_see_each_leader_and_each_proclamation_in_order() {
    let (_node, queues) = three_leases().await;
    let mut early = queues.observe("e").await;
    let first = queues.campaign("e", 1, "one").await.unwrap();
    assert_eq!(told(&mut early).await, "one");
    let mut late = queues.observe("e").await;
    assert_eq!(told(&mut late).await, "one");
    for (lease, value) in [(2, "two"), (3, "three")] {
        let queues_of = queues.clone();
        drop(tokio::spawn(async move { queues_of.campaign("e", lease, value).await }));
        queues.wait_for_line("e", lease as usize).await;
    }
    for value in ["one b", "one c"] {
        queues.proclaim(Some(first.clone()), value).await.unwrap();
    }
    queues.resign(first).await;
    // The second leads for as long as it takes to say so.
    queues.client.delete(delete("e/2")).await.unwrap();
    for observed in [&mut early, &mut late] {
        for value in ["one b", "one c", "two", "three"] {
            assert_eq!(told(observed).await, value);
        }
    }
    queues.client.delete(delete("e/3")).await.unwrap();
    queues.campaign("e", 1, "last").await.unwrap();
    assert_eq!(told(&mut early).await, "last");
}

#[tokio::test]
async fn a_change_of_leaders_in_one_revision_is_told_once() {
    let (_node, queues) = three_leases().await;
    queues.campaign("e", 1, "one").await.unwrap();
    let mut observed = queues.observe("e").await;
    assert_eq!(told(&mut observed).await, "one");
    let change = txn(vec![delete("e/1").op(), leased("e/2", "two", 2).op()]);
    queues.client.txn(change).await.unwrap();
    assert_eq!(told(&mut observed).await, "two");
    queues.client.try_put(leased("e/2", "two b", 2)).await.unwrap();
    assert_eq!(told(&mut observed).await, "two b");
}
