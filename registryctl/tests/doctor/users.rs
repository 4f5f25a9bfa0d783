//! Clusters with users.

use crate::kit::{Node, doctor, say};

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_look_is_told_so_and_the_rest_is_looked_at() {
    let node = Node::start_with(|config| config.auth.bcrypt_cost = 4).await;
    let url = node.url().to_owned();
    for line in ["user add root:secret", "user grant-role root root", "user add anna:pw", "auth enable"] {
        say(&url, &line.split(' ').collect::<Vec<_>>()).await;
    }
    let root = doctor(&url, &["--user", "root:secret"]).await;
    assert_eq!(root.code, 0, "{root:?}");
    root.expect("alarm", "ok cluster", &["none is raised"]);
    let anna = doctor(&url, &["--user", "anna:pw", "--hash"]).await;
    anna.expect("hash", "note", &["permission denied"]);
    anna.expect("endpoint", &format!("ok {url}"), &["answers as member"]);
    assert_eq!(anna.code, 0, "{anna:?}");
    let nobody = doctor(&url, &["--user", "anna:wrong"]).await;
    nobody.expect("login", &format!("error {url}"), &["could not log in", "authentication failed", "--password"]);
    assert_eq!(nobody.code, 1);
    node.stop().await;
}
