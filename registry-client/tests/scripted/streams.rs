//! Watch streams: what counts, what does not, and when one is given up.

use std::sync::Arc;

use registry_client::{Error, Freshness};
use registry_proto::etcdserverpb::WatchResponse;

use crate::registry::{Script, answer, delete, ids, page, put, soon, until};

#[tokio::test(start_paused = true)]
async fn g11_an_answer_in_pieces_counts_when_it_is_whole() {
    let (mut script, watch, mut stream, id) = Script::synced(&["a", "b"]).await;
    stream.events(id, vec![put("c", 11), delete("a", 12)], true).await;
    stream.fail().await;
    let stale = until(&watch, "stale", |snapshot| snapshot.freshness() != Freshness::Synced).await;
    assert_eq!((ids(&stale), stale.revision()), (vec!["a", "b"], 10), "half of an answer is none");
    let mut stream = script.stream().await;
    let create = stream.created(1, 13).await;
    assert_eq!(create.start_revision, 11, "and comes again");
    stream.events(create.watch_id, vec![put("c", 11), delete("a", 12)], true).await;
    stream.events(create.watch_id, vec![delete("b", 13)], false).await;
    let whole = until(&watch, "whole", |snapshot| snapshot.revision() == 13).await;
    assert_eq!(ids(&whole), ["c"]);
}

#[tokio::test(start_paused = true)]
async fn g11_a_requested_progress_notification_is_a_sign_of_life_and_no_bookmark() {
    let (mut script, watch, mut stream, id) = Script::synced(&["a"]).await;
    for _ in 0..5 {
        stream.progress().await;
        // What an etcd below 3.4.25 says while the events up to that revision are still to come.
        stream.say(WatchResponse { watch_id: -1, ..answer(1, 99) }).await;
    }
    let snapshot = watch.snapshot();
    assert_eq!((snapshot.revision(), snapshot.freshness()), (10, Freshness::Synced));
    stream.say(WatchResponse { watch_id: id, ..answer(1, 99) }).await;
    stream.fail().await;
    let create = script.stream().await.create().await;
    assert_eq!(create.start_revision, 11, "the watch goes on behind the last event");
}

#[tokio::test(start_paused = true)]
async fn g11_a_stream_that_answers_nothing_is_left_for_another() {
    let (mut script, watch, mut silent, _) = Script::synced(&["a"]).await;
    silent.progress().await;
    let mut stream = script.stream().await;
    let lost = watch.snapshot();
    assert!(matches!(lost.freshness(), Freshness::Stale { .. }), "{lost:?}");
    assert_eq!((ids(&lost), lost.revision()), (vec!["a"], 10));
    assert_eq!(stream.created(1, 10).await.start_revision, 11);
    until(&watch, "fresh", |snapshot| snapshot.freshness() == Freshness::Synced).await;
}

#[tokio::test(start_paused = true)]
async fn g11_a_watch_that_is_refused_without_its_name_is_told_so() {
    let mut script = Script::start();
    let first = script.registry.watch("pay").start().unwrap();
    script.list().await.say(page(1, 10, &["a"], false));
    let mut stream = script.stream().await;
    let create = stream.create().await;
    // Asked for before the first is answered: creates are answered in their order.
    let second = script.registry.watch("ledger").start().unwrap();
    script.list().await.say(page(1, 10, &[], false));
    let other = stream.create().await;
    let refusal = "etcdserver: permission denied".to_owned();
    let refused =
        WatchResponse { watch_id: -1, created: true, canceled: true, cancel_reason: refusal, ..answer(1, 10) };
    stream.say(refused).await;
    stream.say(WatchResponse { watch_id: other.watch_id, created: true, ..answer(1, 10) }).await;
    let told = until(&first, "told", |snapshot| snapshot.freshness() != Freshness::Synced).await;
    assert_eq!(ids(&told), ["a"]);
    let error = first.refused().unwrap();
    assert!(matches!(&error, Error::Refused { message, .. } if message.contains("permission denied")), "{error}");
    assert_eq!(second.refused(), None);
    // It is tried again, beginning with a list.
    script.list().await.say(page(1, 12, &["a", "b"], false));
    let again = stream.created(1, 12).await;
    assert!(again.start_revision == 13 && again.watch_id != create.watch_id);
    stream.events(again.watch_id, vec![delete("a", 13)], false).await;
    let snapshot = until(&first, "it watches", |snapshot| snapshot.revision() == 13).await;
    assert_eq!((ids(&snapshot), first.refused()), (vec!["b"], None));
}

#[tokio::test(start_paused = true)]
async fn g11_history_that_is_gone_costs_one_list_and_tells_the_difference() {
    let (mut script, watch, mut stream, id) = Script::synced(&["a", "b"]).await;
    let before = watch.snapshot();
    stream.say(WatchResponse { watch_id: id, canceled: true, compact_revision: 30, ..answer(1, 40) }).await;
    script.list().await.say(page(1, 40, &["b", "c"], false));
    assert_eq!(stream.created(1, 40).await.start_revision, 41);
    let after = until(&watch, "the difference", |snapshot| snapshot.revision() == 40).await;
    assert_eq!(ids(&after), ["b", "c"]);
    assert!(Arc::ptr_eq(&before.instances()[1], &after.instances()[0]), "what did not change keeps its identity");
    assert_eq!(after.resets(), 0);
    tokio::spawn(async move {
        loop {
            stream.progress().await;
            stream.say(WatchResponse { watch_id: -1, ..answer(1, 40) }).await;
        }
    });
    assert!(soon("nothing more", script.no_list()).await);
}
