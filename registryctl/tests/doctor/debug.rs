//! What is on disk, as a server has written it.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::kit::{Node, Ran, eventually, run, say};

fn objects(ran: &Ran) -> Vec<Value> {
    ran.out.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

async fn debug(what: &str, path: &Path, flags: &[&str]) -> Ran {
    run(&[&["debug", what, path.to_str().unwrap()], flags].concat()).await
}

/// The commands of a log, in their order.
fn commands(objects: &[Value]) -> Vec<&Value> {
    objects.iter().filter_map(|object| object["commands"].as_array()).flatten().collect()
}

fn flip(file: &Path, at: u64) {
    let mut bytes = std::fs::read(file).unwrap();
    bytes[usize::try_from(at).unwrap()] ^= 1;
    std::fs::write(file, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_names_the_puts_while_the_server_runs_and_shows_values_on_request_only() {
    let node = Node::start_with(|config| config.auth.bcrypt_cost = 4).await;
    for (key, value) in [("first", "hidden-1"), ("second", "hidden-2")] {
        say(node.url(), &["put", key, value]).await;
    }
    say(node.url(), &["del", "first"]).await;
    say(node.url(), &["user", "add", "anna:hidden-password"]).await;
    let ran = debug("wal", &node.data_dir(), &[]).await;
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
    let told = objects(&ran);
    assert_eq!(told[0]["record"], "segment");
    assert!(told.iter().any(|object| object["record"] == "vote" && object["term"].as_u64() > Some(0)), "{ran:?}");
    assert!(told.iter().any(|object| object["members"]["voters"][0][0].is_string()), "{ran:?}");
    let commands = commands(&told);
    let of = |kind: &'static str| commands.iter().filter(move |command| command["command"] == kind);
    let puts: Vec<_> = of("put").map(|put| (put["key"].as_str().unwrap(), put["value_bytes"].as_u64())).collect();
    assert_eq!(puts, [("first", Some(8)), ("second", Some(8))]);
    assert_eq!(of("delete_range").next().unwrap()["key"], "first");
    assert_eq!(of("auth").next().unwrap()["user"], "anna");
    let with_values = debug("wal", &node.data_dir().join("member/wal"), &["--values"]).await;
    assert!(with_values.out.contains("\"value\":\"hidden-1\""), "{with_values:?}");
    assert!(!ran.out.contains("hidden") && !with_values.out.contains("hidden-password"));
    assert!(!with_values.out.contains("$2"), "a hash of bcrypt is shown: {with_values:?}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_in_the_log_is_told_with_its_place_and_the_rest_is_read() {
    let node = Node::start().await;
    for key in ["first", "second", "third"] {
        say(node.url(), &["put", key, "value"]).await;
    }
    let data_dir = node.data_dir();
    let _kept = node.stop_and_keep().await;
    let told = objects(&debug("wal", &data_dir, &[]).await);
    let is_second = |object: &&Value| object["commands"][0]["key"] == "second";
    let place = told.iter().find(is_second).unwrap()["offset"].as_u64().unwrap();
    let file = PathBuf::from(told[0]["file"].as_str().unwrap());
    flip(&file, place + 30);
    let ran = debug("wal", &data_dir, &[]).await;
    let damaged: Vec<_> = objects(&ran).into_iter().filter(|object| object["record"] == "damage").collect();
    assert_eq!(damaged.len(), 1, "{ran:?}");
    assert_eq!((damaged[0]["offset"].as_u64(), damaged[0]["file"].as_str()), (Some(place), file.to_str()));
    assert!(!ran.out.contains("\"second\"") && ran.out.contains("\"third\""), "{ran:?}");
    assert!(ran.code == 1 && ran.err.contains("is damaged"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_tells_head_leases_and_keys_and_where_it_is_damaged() {
    let node = Node::start_with(|config| {
        config.auth.bcrypt_cost = 4;
        config.snapshot_log_bytes = 1;
    })
    .await;
    let granted = say(node.url(), &["lease", "grant", "600"]).await;
    let lease = granted.split(' ').nth(1).unwrap().to_owned();
    say(node.url(), &["put", "--lease", &lease, "leased", "hidden-1"]).await;
    say(node.url(), &["user", "add", "anna:hidden-password"]).await;
    let data_dir = node.data_dir();
    // Each entry makes a snapshot due, unless one is being written.
    eventually("a snapshot has it", async || {
        say(node.url(), &["put", "plain", "hidden-2"]).await;
        debug("snapshot", &data_dir, &[]).await.out.contains("\"plain\"")
    })
    .await;
    let _kept = node.stop_and_keep().await;
    let ran = debug("snapshot", &data_dir, &[]).await;
    let told = objects(&ran);
    let kinds: Vec<_> = told.iter().map(|object| object["record"].as_str().unwrap()).collect();
    assert_eq!(kinds[..6], ["snapshot", "meta", "head", "lease", "key", "key"], "{ran:?}");
    assert!(told[1]["last"]["index"].as_u64() > Some(0) && told[2]["revision"].as_i64() >= Some(3), "{ran:?}");
    assert_eq!(
        (told[2]["auth"]["users"][0]["name"].as_str(), told[3]["lease"].as_str()),
        (Some("anna"), Some(&*lease))
    );
    assert_eq!((told[4]["key"].as_str(), told[4]["lease"].as_str()), (Some("leased"), Some(&*lease)));
    assert!(!ran.out.contains("hidden") && !ran.out.contains("$2"), "{ran:?}");
    let file = PathBuf::from(told[0]["file"].as_str().unwrap());
    let with_values = debug("snapshot", &file, &["--values"]).await;
    assert!(with_values.out.contains("\"value\":\"hidden-2\""), "{with_values:?}");

    let last = std::fs::metadata(&file).unwrap().len() - 1;
    flip(&file, last);
    let ran = debug("snapshot", &data_dir, &[]).await;
    let damage = objects(&ran).pop().unwrap();
    assert_eq!((damage["record"].as_str(), damage["offset"].as_u64()), (Some("damage"), Some(last - 19)), "{ran:?}");
    assert_eq!(ran.code, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_data_directory_is_told_with_the_mend() {
    let dir = tempfile::tempdir().unwrap();
    let empty = debug("wal", dir.path(), &[]).await;
    assert!(empty.code == 128 && empty.err.contains("name a data directory"), "{empty:?}");
    let none = debug("snapshot", dir.path(), &[]).await;
    assert!(none.code == 128 && none.err.contains("there is no snapshot"), "{none:?}");
    let absent = debug("wal", &dir.path().join("absent"), &[]).await;
    assert!(absent.code == 1 && absent.err.contains("absent"), "{absent:?}");
    let file = dir.path().join("other.snap");
    std::fs::write(&file, "something else").unwrap();
    let other = debug("snapshot", &file, &[]).await;
    assert!(other.code == 1 && other.out.contains("\"damage\""), "{other:?}");
}
