//! What must not be found on a disk, in the log, or by guessing.

use std::path::Path;
use std::time::Duration;

use registry_proto::etcdserverpb::AuthUserChangePasswordRequest;
use registry_tests::{Node, eventually};
use tokio::task::JoinSet;

use crate::door::Door;
use crate::{CHEAP, NODE, set_up};

/// All bytes of all files below a directory.
fn bytes_below(dir: &Path) -> Vec<u8> {
    let entries =
        std::fs::read_dir(dir).expect("the directory is there").map(|entry| entry.expect("it is listed").path());
    let read = |path: std::path::PathBuf| {
        if path.is_dir() { bytes_below(&path) } else { std::fs::read(path).unwrap_or_default() }
    };
    entries.flat_map(read).collect()
}

fn is_in(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// CVE-2021-28235, GHSA-528j, etcd issue 20941.
#[tokio::test]
async fn neither_passwords_nor_tokens_are_written_anywhere() {
    let node = Node::start(NODE, &[CHEAP, "--log-level=debug", "--snapshot-log-bytes=20000"]).await;
    let door = Door::open(node.url()).await;
    set_up(&door).await;
    let root = door.by(&door.log_in("root", "root").await.unwrap());
    root.add_user("first-user", "first-password").await;
    let (name, password) = ("first-user".to_owned(), "second-password".to_owned());
    let change = AuthUserChangePasswordRequest { name, password, ..Default::default() };
    root.auth().user_change_password(root.request(change)).await.unwrap();
    let token = door.log_in("first-user", "second-password").await.unwrap();
    drop(door.log_in("first-user", "wrong-password").await.unwrap_err());
    let (secret, _) = token.split_once('.').expect("a token has two parts");
    for number in 0..20 {
        root.put_value(&format!("k{number}"), &"v".repeat(4_000)).await.unwrap();
    }
    let has_snapshot = || node.data_dir().join("member/snap").read_dir().unwrap().count() > 0;
    eventually(Duration::from_secs(20), "a snapshot is there", async || has_snapshot()).await;
    let disk = bytes_below(node.data_dir());
    assert!(is_in(&disk, "first-user"), "the users are on the disk");
    let log = node.log().join("\n");
    for hidden in ["first-password", "second-password", "wrong-password", secret] {
        assert!(!is_in(&disk, hidden), "{hidden} is on the disk");
        assert!(!log.contains(hidden), "{hidden} is in the log");
    }
}

#[tokio::test]
async fn a_flood_of_logins_is_refused_and_leaves_the_rest_alone() {
    let node = Node::start(NODE, &["--bcrypt-cost=8"]).await;
    let door = Door::open(node.url()).await;
    let tokens = set_up(&door).await;
    let mut flood = JoinSet::new();
    for _ in 0..300 {
        let door = door.clone();
        flood.spawn(async move { door.log_in("reader", "guess").await.unwrap_err().message().to_owned() });
    }
    let writer = door.by(&tokens[2]);
    for _ in 0..20 {
        writer.put_value("w/1", "v").await.expect("it is served as before");
    }
    let answers = flood.join_all().await;
    let refused = answers.iter().filter(|text| *text == "etcdserver: too many requests").count();
    assert!(refused > 0 && refused < 300, "{refused} of 300 were refused at once");
    door.log_in("reader", "reader").await.expect("then there is room again");
}
