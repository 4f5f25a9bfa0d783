//! What a store holds, as its clients see it: keys with their revisions, history, leases, users.

use serde_json::Value;

use crate::{ctl, says};

/// The newest revision of what [`write`] writes.
pub(crate) const NEWEST: i64 = 12;
/// Up to here it is compacted.
const COMPACTED: &str = "4";
/// One whose history is still there.
const OLDER: &str = "6";

/// Keys with history, a deletion, a compaction, a lease with a key, a user with a role.
pub(crate) fn write(url: &str) {
    let run = |line: &[&str]| says(ctl(), &[&["--endpoints", url], line].concat());
    for (key, value) in [("a", "1"), ("a", "2"), ("b", "1"), ("a", "3"), ("c", "1"), ("gone", "1")] {
        run(&["put", key, value]);
    }
    run(&["del", "gone"]);
    run(&["put", "large", &"x".repeat(10_000)]);
    let granted = run(&["lease", "grant", "6000"]);
    let lease = granted.split(' ').nth(1).unwrap();
    run(&["put", "held", "1", "--lease", lease]);
    run(&["put", "b", "2", "--lease", lease]);
    run(&["put", "gone", "2"]);
    run(&["compaction", COMPACTED, "--physical"]);
    run(&["role", "add", "app"]);
    run(&["role", "grant-permission", "app", "--prefix", "readwrite", "/app/"]);
    run(&["user", "add", "anna:pw"]);
    run(&["user", "grant-role", "anna", "app"]);
}

/// All of it, for comparison.
pub(crate) fn see(url: &str) -> Vec<(String, Value)> {
    let answer = |line: &[&str]| -> Value {
        let text = says(ctl(), &[&["--endpoints", url, "-w", "json"], line].concat());
        let mut answer: Value = serde_json::from_str(&text).unwrap();
        // Who answers, and in which term.
        answer.as_object_mut().unwrap().remove("header");
        answer
    };
    let leases = says(ctl(), &["--endpoints", url, "lease", "list"]);
    let mut lease = answer(&["lease", "timetolive", "--keys", leases.lines().nth(1).unwrap()]);
    // Time passes, and who answers is another.
    lease.as_object_mut().unwrap().retain(|name, _| ["id", "granted-ttl", "keys"].contains(&name.as_str()));
    // etcd tells them in any order.
    lease["keys"].as_array_mut().unwrap().sort_by_key(Value::to_string);
    let mut seen = vec![("leases".to_owned(), leases.into()), ("lease".to_owned(), lease)];
    let lines = [
        &["get", "", "--prefix"][..],
        &["get", "", "--prefix", "--rev", OLDER],
        &["user", "get", "anna"],
        &["role", "get", "app"],
    ];
    seen.extend(lines.map(|line| (line.join(" "), answer(line))));
    seen
}
