//! Clocks that differ.

use std::time::{Duration, SystemTime};

use crate::front::{Front, Says, version};
use crate::kit::{Node, doctor};

fn says(behind: Duration) -> Says {
    let date = Box::new(move || SystemTime::now() - behind);
    Says { pages: [version("3.7.1", "3.7.0")].into(), date: Some(date) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_clock_is_wrong_is_named() {
    let node = Node::start().await;
    let (right, wrong) = (
        Front::before(node.url(), says(Duration::ZERO)).await,
        Front::before(node.url(), says(Duration::from_secs(7))).await,
    );
    let endpoints = format!("{},{}", right.url, wrong.url);
    let found = doctor(&endpoints, &[]).await;
    found.expect("clock", &format!("warning {}", wrong.url), &["7 s behind", "chronyc"]);
    assert_eq!((found.of("clock").len(), found.code), (1, 0), "{found:?}");
    let far = Front::before(node.url(), says(Duration::from_secs(3_600))).await;
    let found = doctor(&format!("{},{}", right.url, far.url), &[]).await;
    found.expect("clock", &format!("error {}", far.url), &["behind"]);
    assert_eq!(found.code, 1);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_of_this_machine_have_its_clock() {
    let node = Node::start().await;
    doctor(node.url(), &[]).await.expect("clock", "ok cluster", &["all servers and this machine agree"]);
    node.stop().await;
}
