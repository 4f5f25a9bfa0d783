//! Commands that go on: watches that are entered, and mirrors whose source goes away.

use registry_server::server::{Config, Server};

use crate::ctl::{Ctl, Going, command};

#[tokio::test(flavor = "multi_thread")]
async fn several_watches_are_entered_and_asked_how_far_they_are() {
    let ctl = Ctl::start().await;
    let url = ctl.url();
    let mut watch = Going::start(command(&["--endpoints", &url, "watch", "-i"]));
    watch.enter("watch foo --rev 1");
    ctl.prints(&["put", "foo", "1"]).await;
    assert_eq!([watch.next(), watch.next(), watch.next()], ["PUT", "foo", "1"]);
    watch.enter("watch --prefix=true zoo --rev 1");
    ctl.prints(&["put", "zoo/1", "2"]).await;
    assert_eq!([watch.next(), watch.next(), watch.next()], ["PUT", "zoo/1", "2"]);
    watch.enter("progress");
    assert_eq!([watch.next(), watch.next()], ["progress notify: 3", "progress notify: 3"], "one of each watch");
    watch.enter("what foo");
    assert!(watch.next_told().starts_with("Invalid command what foo ("));
    ctl.node.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_may_say_what_to_watch() {
    let ctl = Ctl::start().await;
    let url = ctl.url();
    let mut line = command(&["--endpoints", &url, "watch", "--rev", "1"]);
    line.env("ETCDCTL_WATCH_KEY", "a").env("ETCDCTL_WATCH_RANGE_END", "c");
    let watch = Going::start(line);
    for key in ["0", "b", "c"] {
        ctl.prints(&["put", key, "x"]).await;
    }
    ctl.prints(&["put", "a", "y"]).await;
    assert_eq!([watch.next(), watch.next(), watch.next()], ["PUT", "b", "x"]);
    assert_eq!([watch.next(), watch.next(), watch.next()], ["PUT", "a", "y"]);
    ctl.node.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_goes_on_when_its_source_was_away() {
    let other = Ctl::start().await;
    let dir = tempfile::tempdir().unwrap();
    let config = |url: &str| Config {
        data_dir: dir.path().join("node"),
        listen_client_urls: vec![url.parse().unwrap()],
        worker_threads: Some(1),
        ..Config::default()
    };
    let source = Server::start(config("http://127.0.0.1:0")).await.unwrap();
    let (url, there) = (source.client_url().to_owned(), other.url());
    let put = async |key: &str| crate::ctl::ran(&["--endpoints", &url, "put", key, "x"]).await.code;
    assert_eq!(put("before").await, 0);
    let mirror = Going::start(command(&["--endpoints", &url, "make-mirror", &there]));
    while other.prints(&["get", "before"]).await.is_empty() {}
    assert_eq!(put("first").await, 0);
    assert_eq!(mirror.next(), "2");
    source.shutdown().await.unwrap();
    // Twice, and the second time nobody could be reached.
    let told = [mirror.next_told(), mirror.next_told()];
    assert!(told.iter().all(|line| line.starts_with("the source is lost (")), "{told:?}");
    assert!(told[1].contains("nothing listens there") && told[1].ends_with("in 1s"), "{told:?}");
    let source = Server::start(config(&url)).await.unwrap();
    assert_eq!(put("after").await, 0);
    while other.prints(&["get", "after"]).await.is_empty() {}
    source.shutdown().await.unwrap();
    other.node.shutdown().await.unwrap();
}
