//! Lists: all pages at one revision, and what it means when that goes away or goes back.

use registry_client::Freshness;
use tonic::Status;

use crate::registry::{Script, ids, page, soon, until};

#[tokio::test(start_paused = true)]
async fn g11_every_page_is_read_at_the_first_ones_revision_and_the_watch_begins_behind_it() {
    let mut script = Script::start();
    let watch = script.registry.watch("pay").start().unwrap();
    let first = script.list().await;
    assert_eq!((first.request.revision, &first.request.key[..]), (0, &b"/services/pay/"[..]));
    assert!(first.request.limit > 0 && !first.request.serializable);
    first.say(page(1, 10, &["a", "b"], true));
    let second = script.list().await;
    assert_eq!((second.request.revision, &second.request.key[..]), (10, &b"/services/pay/b\0"[..]));
    second.say(page(1, 17, &["c"], false));
    soon("synced", watch.synced()).await.unwrap();
    assert_eq!((ids(&watch.snapshot()), watch.snapshot().revision()), (vec!["a", "b", "c"], 10));
    let create = script.stream().await.create().await;
    assert_eq!((create.start_revision, &create.key[..]), (11, &b"/services/pay/"[..]));
    assert_eq!(&create.range_end[..], b"/services/pay0");
    assert!(create.fragment && !create.progress_notify);
}

#[tokio::test(start_paused = true)]
async fn g11_a_list_whose_revision_is_compacted_or_of_another_cluster_midway_begins_anew() {
    let mut script = Script::start();
    let watch = script.registry.watch("pay").start().unwrap();
    script.list().await.say(page(1, 10, &["a"], true));
    let compacted = "etcdserver: mvcc: required revision has been compacted";
    script.list().await.say(Err(Status::out_of_range(compacted)));
    script.list().await.say(page(1, 20, &["b"], true));
    let of_another = script.list().await;
    assert_eq!(of_another.request.revision, 20);
    of_another.say(page(2, 20, &["x"], false));
    let anew = script.list().await;
    assert_eq!(anew.request.revision, 0);
    anew.say(page(2, 21, &["y"], false));
    soon("synced", watch.synced()).await.unwrap();
    assert_eq!((ids(&watch.snapshot()), watch.snapshot().revision()), (vec!["y"], 21));
    assert_eq!(watch.refused(), None, "it is the moment that was wrong, not the client");
}

#[tokio::test(start_paused = true)]
async fn g11_a_changed_cluster_id_is_a_told_reset_even_at_higher_revisions() {
    let (mut script, watch, stream, _) = Script::synced(&["a"]).await;
    stream.fail().await;
    let mut stream = script.stream().await;
    assert_eq!(stream.created(2, 50).await.start_revision, 11);
    assert_eq!(ids(&watch.snapshot()), ["a"], "only a list tells what the other cluster has");
    script.list().await.say(page(2, 50, &["b"], false));
    let reset = until(&watch, "the reset", |snapshot| snapshot.resets() == 1).await;
    assert_eq!((ids(&reset), reset.revision(), reset.freshness()), (vec!["b"], 50, Freshness::Synced));
}

#[tokio::test(start_paused = true)]
async fn g11_a_member_that_lags_is_no_reset_and_a_registry_restored_from_a_backup_is() {
    let (mut script, watch, stream, _) = Script::synced(&["a"]).await;
    stream.fail().await;
    let mut stream = script.stream().await;
    stream.created(1, 8).await;
    script.list().await.say(page(1, 12, &["a"], false));
    until(&watch, "ahead", |snapshot| snapshot.revision() == 12).await;
    assert_eq!(watch.snapshot().resets(), 0);
    assert_eq!(stream.created(1, 7).await.start_revision, 13);
    script.list().await.say(page(1, 7, &["a"], false));
    let back = until(&watch, "back", |snapshot| snapshot.revision() == 7).await;
    assert_eq!(back.resets(), 1, "a revision goes back with a reset only");
}
