//! Locks: one holder at a time, in the order in which they came.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use registry_proto::v3lockpb::{LockRequest, UnlockRequest};
use registry_tests::{EmbeddedNode, refusal, within};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tonic::Code;

use crate::Queues;

const CONTENDERS: usize = 60;

#[tokio::test]
async fn of_many_contenders_one_holds_the_lock_at_a_time_and_each_gets_it() {
    let node = EmbeddedNode::start().await;
    let queues = Queues::connect(node.url()).await;
    let holders = Arc::new(AtomicUsize::new(0));
    let mut contenders = JoinSet::new();
    for _ in 0..CONTENDERS {
        let (queues, holders) = (queues.clone(), holders.clone());
        contenders.spawn(async move {
            // Each brings no lease and gets one of its own.
            let key = queues.lock("one", 0).await.unwrap();
            assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0, "two hold the lock");
            tokio::task::yield_now().await;
            holders.fetch_sub(1, Ordering::SeqCst);
            queues.unlock(key).await;
        });
    }
    within(contenders.join_all()).await;
    assert!(queues.line("one").await.is_empty());
    assert_eq!(queues.client.leases().await.len(), CONTENDERS);
}

#[tokio::test]
async fn the_lock_goes_round_in_the_order_of_asking() {
    let node = EmbeddedNode::start().await;
    let queues = Queues::connect(node.url()).await;
    for lease in 1..=6 {
        queues.client.grant(lease, 600).await.unwrap();
    }
    let mut held = queues.lock("fifo", 1).await.unwrap();
    let mut waiting = Vec::new();
    // Not in the order of the keys.
    for (at, lease) in [6, 2, 5, 3, 4].into_iter().enumerate() {
        waiting.push((lease, queues.waiting_for_lock("fifo", lease, at + 2).await));
    }
    for at in 0..waiting.len() {
        queues.unlock(held).await;
        let (lease, next) = &mut waiting[at];
        held = within(next).await.unwrap().unwrap();
        assert_eq!(held, format!("fifo/{lease:x}"));
        assert!(waiting[at + 1..].iter().all(|(_, later)| !later.is_finished()), "somebody did not wait");
    }
}

#[tokio::test]
async fn who_holds_a_lock_gets_it_again_and_names_do_not_mix() {
    let node = EmbeddedNode::start().await;
    let queues = Queues::connect(node.url()).await;
    queues.client.grant(0xab, 600).await.unwrap();
    queues.client.grant(2, 600).await.unwrap();
    let key = queues.lock("a", 0xab).await.unwrap();
    assert_eq!(key, "a/ab");
    assert_eq!(queues.lock("a", 0xab).await.unwrap(), key);
    assert_eq!(queues.lock("a2", 2).await.unwrap(), "a2/2");
    assert_eq!(queues.lock("", 2).await.unwrap(), "/2");
    let held = queues.line("a").await;
    assert_eq!((held.len(), held[0].lease, held[0].value.len()), (1, 0xab, 0));
}

#[tokio::test]
async fn a_holder_that_is_gone_loses_the_lock_with_its_lease() {
    let node = EmbeddedNode::start().await;
    let queues = Queues::connect(node.url()).await;
    queues.client.grant(1, 2).await.unwrap();
    queues.client.grant(2, 600).await.unwrap();
    let held_since = Instant::now();
    queues.lock("crash", 1).await.unwrap();
    let next = queues.waiting_for_lock("crash", 2, 2).await;
    assert_eq!(within(next).await.unwrap().unwrap(), "crash/2");
    assert!(held_since.elapsed().as_secs() < 12, "{:?}", held_since.elapsed());
    assert_eq!(queues.line("crash").await.len(), 1);
}

#[tokio::test]
async fn who_loses_the_lease_while_waiting_is_told_at_once() {
    let node = EmbeddedNode::start().await;
    let queues = Queues::connect(node.url()).await;
    for lease in 1..=3 {
        queues.client.grant(lease, 600).await.unwrap();
    }
    queues.lock("lost", 1).await.unwrap();
    let second = queues.waiting_for_lock("lost", 2, 2).await;
    let third = queues.waiting_for_lock("lost", 3, 3).await;
    queues.client.revoke(2).await.unwrap();
    let expired = (Code::Unknown, "mutex: session is expired".to_owned());
    assert_eq!(refusal(within(second).await.unwrap()), expired);
    // Who waited for that one waits for the one before.
    queues.unlock("lost/1".into()).await;
    assert_eq!(within(third).await.unwrap().unwrap(), "lost/3");
}

#[tokio::test]
async fn errors_have_etcds_texts_without_their_codes() {
    let node = EmbeddedNode::start().await;
    let queues = Queues::connect(node.url()).await;
    let says = |text: &str| (Code::Unknown, format!("etcdserver: {text}"));
    let unknown_lease = queues.lock.clone().lock(LockRequest { name: "a".into(), lease: 77 }).await;
    assert_eq!(refusal(unknown_lease), says("requested lease not found"));
    let no_key = queues.lock.clone().unlock(UnlockRequest::default()).await;
    assert_eq!(refusal(no_key), says("key is not provided"));
    // To unlock what nobody holds is no error.
    queues.unlock("a/77".into()).await;
}
