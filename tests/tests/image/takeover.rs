//! What real etcd has made, with the server started on it: a restored snapshot, and the directory of an etcd that was
//! stopped. And back: etcd started on what the server says of it.

use std::path::{Path, PathBuf};

use registry_proto::etcdserverpb::HashKvRequest;
use registry_tests::{Client, ETCD, Etcd, Node, etcdctl, within};
use tempfile::TempDir;

use crate::NODE;
use crate::history::{COMPACTED_THERE, see_from, write_compacted};
use crate::tools::{TEXT, etcdutl, go_on, say};

/// etcd, and the tool of its version that restores.
struct Peer {
    etcd: PathBuf,
    restore: PathBuf,
}

/// Debian's 3.4, and a newer one if the environment says where it is.
fn peers() -> Vec<Peer> {
    let debian =
        (etcdctl::is_there() && Etcd::is_there()).then(|| Peer { etcd: ETCD.into(), restore: etcdctl::PATH.into() });
    let newer = etcdutl().filter(|_| etcdctl::is_there()).map(|(restore, etcd)| Peer { etcd, restore });
    debian.into_iter().chain(newer).collect()
}

fn text(path: &Path) -> &str {
    path.to_str().expect(TEXT)
}

fn address(url: &str) -> &str {
    url.trim_start_matches("http://")
}

/// etcd's hash of all keys and their history up to a revision.
async fn hash(client: &Client, revision: i64) -> (u32, i64) {
    let request = HashKvRequest { revision };
    let hash = within(client.maintenance.clone().hash_kv(request)).await.expect("it is hashed").into_inner();
    (hash.hash, hash.compact_revision)
}

async fn start(data_dir: &Path) -> Node {
    Node::try_start(NODE, data_dir, &[]).await.unwrap_or_else(|refused| panic!("{refused}"))
}

#[tokio::test]
async fn a_snapshot_of_etcd_comes_here_and_goes_back_and_is_what_it_was() {
    for Peer { etcd, restore } in peers() {
        let dir = TempDir::new().unwrap();
        let [first, ours, second, back] = ["first.db", "ours", "second.db", "back"].map(|name| dir.path().join(name));
        let peer = Etcd::start_on(&etcd, &dir.path().join("etcd")).await;
        let client = Client::connect(peer.url()).await;
        let newest = write_compacted(&client, COMPACTED_THERE).await;
        let (seen, hashed) = (see_from(&client, COMPACTED_THERE).await, hash(&client, newest).await);
        etcdctl::say(address(peer.url()), &["snapshot", "save", text(&first)]);
        drop(peer);

        say(&restore, &["snapshot", "restore", text(&first), "--data-dir", text(&ours)]);
        let mut node = start(&ours).await;
        let client = node.client().await;
        assert!(see_from(&client, COMPACTED_THERE).await == seen, "the server has something else than {etcd:?}");
        let (kept, members) = (ours.join("etcd-member"), etcdctl::say(node.address(), &["member", "list"]));
        assert!(kept.join("snap/db").exists() && node.log_contains("etcd's data was taken over"));
        assert!(members.contains("started, default, http://localhost:2380"), "{members}");
        etcdctl::say(node.address(), &["snapshot", "save", text(&second)]);
        go_on(&client, newest).await;
        std::fs::remove_dir_all(&kept).unwrap();
        node.restart().await;
        assert_eq!(node.client().await.revision().await, newest + 2, "what was kept is not needed");

        say(&restore, &["snapshot", "restore", text(&second), "--data-dir", text(&back)]);
        let restored = Etcd::start_on(&etcd, &back).await;
        let client = Client::connect(restored.url()).await;
        assert!(see_from(&client, COMPACTED_THERE).await == seen, "{etcd:?} has something else than it had");
        assert_eq!(hash(&client, newest).await, hashed, "{etcd:?}");
    }
}

#[tokio::test]
async fn the_directory_of_an_etcd_that_was_stopped_is_taken_over_and_one_of_a_running_etcd_is_not() {
    for Peer { etcd, .. } in peers() {
        let dir = TempDir::new().unwrap();
        let data_dir = dir.path().join("data");
        let peer = Etcd::start_on(&etcd, &data_dir).await;
        let client = Client::connect(peer.url()).await;
        let newest = write_compacted(&client, COMPACTED_THERE).await;
        let (seen, header) = (see_from(&client, COMPACTED_THERE).await, client.header().await);
        let refused = Node::try_start(NODE, &data_dir, &[]).await.unwrap_err();
        assert!(refused.said.iter().any(|line| line.contains("is in use: stop that etcd first")), "{refused}");
        peer.terminate().await;

        let mut node = start(&data_dir).await;
        let client = node.client().await;
        let same = client.header().await;
        assert_eq!((same.cluster_id, same.member_id), (header.cluster_id, header.member_id), "{etcd:?}");
        assert_eq!(same.revision, newest);
        assert!(see_from(&client, COMPACTED_THERE).await == seen, "the server has something else than {etcd:?}");
        assert_eq!(client.put("first", "here").await, newest + 1);
        node.restart().await;
        assert_eq!(node.client().await.value("first").await.unwrap(), "here");
    }
}

#[tokio::test]
async fn users_roles_and_their_passwords_come_here_and_go_back() {
    for Peer { etcd, restore } in peers() {
        let dir = TempDir::new().unwrap();
        let [first, ours, second, back] = ["first.db", "ours", "second.db", "back"].map(|name| dir.path().join(name));
        let peer = Etcd::start_on(&etcd, &dir.path().join("etcd")).await;
        let run = |url: &str, words: &str| etcdctl::say(address(url), &words.split(' ').collect::<Vec<_>>());
        // The put comes first: etcd 3.4 does not say how far its database is in what follows it.
        for words in [
            "put /app/a 1",
            "user add root:secret",
            "user grant-role root root",
            "role add app",
            "role grant-permission app --prefix readwrite /app/",
            "role grant-permission app read /one",
            "user add anna:pw",
            "user grant-role anna app",
            "user add --no-password cert",
            "auth enable",
        ] {
            run(peer.url(), words);
        }
        let asked = |url: &str| {
            let words = ["user list", "user get anna", "user get cert", "role list", "role get app", "get /app/a"];
            let said = words.map(|words| run(url, &format!("--user=root:secret {words}")));
            let own = run(url, "--user=anna:pw get /app/a --print-value-only");
            for refused in [
                ["--user=anna:pw", "get", "other", "--keys-only"],
                ["--user=anna:wrong", "get", "/app/a", "--keys-only"],
            ] {
                assert!(!etcdctl::run(address(url), &refused).status.success(), "{refused:?}");
            }
            (said, own)
        };
        let expected = asked(peer.url());
        run(peer.url(), &format!("--user=root:secret snapshot save {}", first.display()));
        peer.terminate().await;
        let node = start(&dir.path().join("etcd")).await;
        assert_eq!(asked(node.url()), expected, "where {etcd:?} was stopped");
        drop(node);
        say(&restore, &["snapshot", "restore", text(&first), "--data-dir", text(&ours)]);
        let node = start(&ours).await;
        assert_eq!(asked(node.url()), expected, "{etcd:?}");
        run(node.url(), &format!("--user=root:secret snapshot save {}", second.display()));
        drop(node);
        say(&restore, &["snapshot", "restore", text(&second), "--data-dir", text(&back)]);
        let restored = Etcd::start_on(&etcd, &back).await;
        assert_eq!(asked(restored.url()), expected, "{etcd:?}");
    }
}
