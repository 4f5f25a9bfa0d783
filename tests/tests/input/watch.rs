//! Requests of a watch stream that make no sense. The stream outlives every one of them.

use registry_proto::etcdserverpb::watch_request::RequestUnion;
use registry_proto::etcdserverpb::{WatchCancelRequest, WatchCreateRequest, WatchRequest, WatchResponse};
use registry_tests::requests::{put, watch};
use registry_tests::{Client, Watching};

use crate::healthy::Servers;

const COMPACTED: &str = "etcdserver: mvcc: required revision has been compacted";

const TWICE: &str = "mvcc: duplicate watch ID provided on the WatchStream";

/// An answer in short: id, created, cancelled, where history begins, and why.
type Short = (i64, bool, bool, i64, String);

fn short(answer: WatchResponse) -> Short {
    (answer.watch_id, answer.created, answer.canceled, answer.compact_revision, answer.cancel_reason)
}

fn created(id: i64) -> Short {
    (id, true, false, 0, String::new())
}

fn refused(reason: &str) -> Short {
    (-1, true, true, 0, reason.to_owned())
}

/// What both servers do; each stream is a new one on a store at revision 6 whose history begins at 4.
async fn on_both(check: impl AsyncFn(&Client, bool)) {
    let servers = Servers::start().await;
    for (url, is_etcd) in servers.urls() {
        let client = Client::connect(url).await;
        for n in 0..5 {
            client.try_put(put("a", n.to_string())).await.expect("a put of the preparation");
        }
        client.compact(4).await.expect("the compaction of the preparation");
        check(&client, is_etcd).await;
    }
    servers.are_healthy().await;
}

/// The stream still takes a watcher, which sees what happens.
async fn goes_on(mut watching: Watching, client: &Client) {
    let answer = watching.create(WatchCreateRequest { watch_id: 77, ..watch("go/on") }).await;
    assert_eq!(short(answer), created(77));
    client.put("go/on", "yes").await;
    assert_eq!(watching.answer().await.watch_id, 77);
}

#[tokio::test]
async fn starts_that_cannot_be_are_refused_in_etcds_words() {
    on_both(async |client, is_etcd| {
        let mut watching = Watching::open(client).await;
        for start_revision in [-1, i64::MIN] {
            let answer = watching.create(WatchCreateRequest { start_revision, ..watch("a") }).await;
            // 3.4 takes a negative start for the newest revision; since 3.5.8 it is refused.
            if is_etcd {
                assert!(answer.created && !answer.canceled, "{answer:?}");
            } else {
                assert_eq!(short(answer), refused(COMPACTED));
            }
        }
        let mut watching = Watching::open(client).await;
        let answer = watching.create(WatchCreateRequest { start_revision: i64::MAX, ..watch("a") }).await;
        assert_eq!(short(answer), created(0), "a start that is far off waits");
        for start_revision in [1, 3] {
            let request = WatchCreateRequest { start_revision, watch_id: start_revision, ..watch("a") };
            assert_eq!(short(watching.create(request).await), created(start_revision));
            let compacted = (start_revision, false, true, 4, String::new());
            assert_eq!(short(watching.answer().await), compacted);
        }
        let again = watching.create(WatchCreateRequest { watch_id: 3, ..watch("a") }).await;
        // etcd keeps the id of a watcher that a compaction ended until the client cancels that, too.
        assert_eq!(short(again), if is_etcd { refused(TWICE) } else { created(3) });
        goes_on(watching, client).await;
    })
    .await;
}

#[tokio::test]
async fn ranges_that_hold_nothing_are_refused_and_no_key_is_the_first_one() {
    on_both(async |client, _| {
        let mut watching = Watching::open(client).await;
        for (key, end) in [("b", "a"), ("b", "b"), ("", "\0\0")] {
            let answer = watching.create(WatchCreateRequest { range_end: end.into(), ..watch(key) }).await;
            match key {
                "" => assert_eq!(short(answer), created(0), "no key is the key of one zero byte"),
                _ => assert_eq!(short(answer), refused("mvcc: watcher range is empty")),
            }
        }
        goes_on(watching, client).await;
    })
    .await;
}

#[tokio::test]
async fn ids_that_are_taken_or_unknown_end_nothing() {
    on_both(async |client, _| {
        let mut watching = Watching::open(client).await;
        let ask = |watch_id| WatchCreateRequest { watch_id, ..watch("a") };
        assert_eq!(short(watching.create(ask(5)).await), created(5));
        assert_eq!(short(watching.create(ask(5)).await), refused(TWICE));
        assert_eq!(short(watching.create(ask(-5)).await), created(-5), "a negative id is one");

        // Unknown ids are not answered, so what comes next is the answer to the cancel after them.
        for unknown in [404, -1, i64::MIN, i64::MAX] {
            watching.cancel(unknown).await;
        }
        watching.cancel(5).await;
        assert_eq!(short(watching.answer().await), (5, false, true, 0, String::new()));
        watching.cancel(5).await;
        assert_eq!(short(watching.create(ask(5)).await), created(5), "a cancelled id is free again");
        goes_on(watching, client).await;
    })
    .await;
}

#[tokio::test]
async fn requests_without_content_and_filters_that_do_not_exist_are_passed_over() {
    on_both(async |client, is_etcd| {
        let mut watching = Watching::open(client).await;
        watching.send_raw(WatchRequest { request_union: None }).await;
        watching.send(RequestUnion::CancelRequest(WatchCancelRequest::default())).await;
        if !is_etcd {
            // 3.4 answers at once, whether or not anybody watches.
            watching.ask_progress().await;
        }
        let filters = vec![9, -1, i32::MAX];
        let answer = watching.create(WatchCreateRequest { filters, watch_id: 3, ..watch("a") }).await;
        assert_eq!(short(answer), created(3));
        client.put("a", "seen").await;
        assert_eq!(watching.answer().await.watch_id, 3, "no such filter leaves anything out");
        goes_on(watching, client).await;
    })
    .await;
}
