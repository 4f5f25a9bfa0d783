//! Members of different versions.

use crate::front::{Front, Says, version};
use crate::kit::{Node, doctor};

#[tokio::test(flavor = "multi_thread")]
async fn members_of_different_versions_are_told_apart() {
    let node = Node::start().await;
    let front = async |server, cluster| {
        Front::before(node.url(), Says { pages: [version(server, cluster)].into(), date: None }).await
    };
    let (newer, older) = (front("3.7.1", "3.6.0").await, front("3.6.4", "3.6.0").await);
    let found = doctor(&format!("{},{}", newer.url, older.url), &[]).await;
    let words = [format!("3.6.4 at {}", older.url), format!("3.7.1 at {}", newer.url), "end the upgrade".to_owned()];
    found.expect("version", "warning cluster", &words.each_ref().map(String::as_str));
    assert_eq!(found.code, 0, "{found:?}");
    let oldest = front("3.4.23", "3.4.0").await;
    let found = doctor(&format!("{},{}", newer.url, oldest.url), &[]).await;
    found.expect("version", "error cluster", &["not supported"]);
    found.expect("version", "warning cluster", &["different cluster versions"]);
    assert_eq!(found.code, 1);
    doctor(node.url(), &[]).await.expect("version", "ok cluster", &["all members run 3."]);
    node.stop().await;
}
