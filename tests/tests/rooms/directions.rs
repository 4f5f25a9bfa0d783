//! Directions inside the server: right may use left.
//!
//! types, command → storage → mvcc, lease, auth, cluster, tls, traces → consensus, watch → apply → api, http → server.

use std::collections::{BTreeMap, BTreeSet};

use crate::sources::{below, root};

/// The steps. Rooms of one step do not use each other.
const STEPS: [&[&str]; 7] = [
    &["types", "command"],
    &["storage"],
    &["mvcc", "lease", "auth", "cluster", "tls", "traces"],
    &["consensus", "watch"],
    &["apply"],
    &["api", "http"],
    &["server"],
];

/// Uses inside a step or against the direction, each with its reason.
const EXCEPTIONS: [(&str, &str); 2] = [
    // Commands carry ids and revisions.
    ("command", "types"),
    // The HTTP paths tell the version that the gRPC API tells.
    ("http", "api"),
];

/// Of these a room may know only one module, as its exception is for that alone.
const ONLY: [(&str, &str, &str); 1] = [("http", "api", "version")];

fn step_of(room: &str) -> Option<usize> {
    STEPS.iter().position(|rooms| rooms.contains(&room))
}

/// What `code` uses of its own crate, as `room::module`.
fn uses(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        match rest.strip_prefix('{') {
            Some(group) => found.extend(parts(group)),
            None => found.extend([path(rest)]),
        }
    }
    found.retain(|path| path.starts_with(|first: char| first.is_ascii_lowercase()));
    found
}

/// The heads of the parts of a `use crate::{...}`, up to its closing brace.
fn parts(group: &str) -> Vec<String> {
    let mut depth = 0;
    let mut heads = vec![String::new()];
    for letter in group.chars() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => heads.push(String::new()),
            letter if depth == 0 && !letter.is_whitespace() => {
                heads.last_mut().expect("there is one").push(letter);
            }
            _ => {}
        }
    }
    heads.iter().map(|head| path(head)).collect()
}

/// The first two names of a path.
fn path(text: &str) -> String {
    let end = text.find(|letter: char| !(letter.is_alphanumeric() || "_:".contains(letter))).unwrap_or(text.len());
    text[..end].split("::").filter(|name| !name.is_empty()).take(2).collect::<Vec<_>>().join("::")
}

/// Every use of one room by another, with the file.
fn edges() -> Vec<(String, String, String)> {
    let mut edges = Vec::new();
    for source in below(&root().join("registry-server/src")) {
        let room = source.room();
        if step_of(&room).is_none() || source.is_test() {
            continue;
        }
        let others = uses(&source.code()).into_iter().filter(|used| used.split("::").next() != Some(room.as_str()));
        edges.extend(others.map(|used| (source.path.display().to_string(), room.clone(), used)));
    }
    edges
}

#[test]
fn every_room_of_the_server_has_its_step() {
    let rooms: BTreeSet<_> = below(&root().join("registry-server/src")).iter().map(|source| source.room()).collect();
    let unknown: Vec<_> = rooms.iter().filter(|room| step_of(room).is_none()).collect();
    assert_eq!(unknown, ["lib", "main"]);
}

#[test]
fn rooms_use_only_what_is_left_of_them() {
    let mut wrong = BTreeMap::new();
    let edges = edges();
    assert!(edges.len() > 20, "the uses were not found: {edges:?}");
    for (file, room, used) in edges {
        let other = used.split("::").next().unwrap_or_default();
        let is_left = step_of(other) < step_of(&room) && step_of(other).is_some();
        if !is_left && !EXCEPTIONS.contains(&(room.as_str(), other)) {
            wrong.insert(file, used);
        }
    }
    assert!(wrong.is_empty(), "against the direction: {wrong:#?}");
}

#[test]
fn what_may_be_used_by_exception_is_not_used_beyond_it() {
    for (file, room, used) in edges() {
        for (user, other, module) in ONLY {
            let is_beyond =
                room == user && used.starts_with(&format!("{other}::")) && used != format!("{other}::{module}");
            assert!(!is_beyond, "{file} uses {used}, and may use {other}::{module} only");
        }
    }
}

#[test]
fn only_the_api_and_the_peers_service_know_tonics_services() {
    for source in below(&root().join("registry-server/src")) {
        let path = source.path.to_str().expect("names are text");
        let may = ["api", "main", "server"].contains(&source.room().as_str())
            || ["consensus/peer_client.rs", "consensus/peer_service.rs"].contains(&path);
        if may || source.is_test() {
            continue;
        }
        let code = source.code();
        // Statuses and bodies are tonic's too, and http answers with them.
        for word in ["_server::", "_client::", "tonic::async_trait", "tonic::Request", "tonic::Streaming"] {
            assert!(!code.contains(word), "{path} names {word}");
        }
    }
}

#[test]
fn only_the_tls_room_knows_the_tls_library() {
    for source in below(&root().join("registry-server/src")) {
        let path = source.path.to_str().expect("names are text");
        if source.room() == "tls" || source.is_test() {
            continue;
        }
        for word in ["rustls::", "tokio_rustls", "webpki", "rcgen"] {
            assert!(!source.code().contains(word), "{path} names {word}");
        }
    }
}

#[test]
fn only_the_room_of_traces_knows_their_library() {
    for source in below(&root().join("registry-server/src")) {
        let path = source.path.to_str().expect("names are text");
        if source.room() != "traces" && !source.is_test() {
            assert!(!source.code().contains("opentelemetry"), "{path} names opentelemetry");
        }
    }
}

#[test]
fn in_the_server_room_only_what_opens_the_door_names_services() {
    let may =
        ["server/dispatch.rs", "server/others.rs", "server/start.rs", "server/connection.rs", "server/workers.rs"];
    for source in below(&root().join("registry-server/src")) {
        let path = source.path.to_str().expect("names are text");
        if source.room() == "server" && !may.contains(&path) && !source.is_test() {
            assert!(!source.code().contains("_server::"), "{path} names a service");
        }
    }
}

#[test]
fn uses_are_found_alone_and_in_groups() {
    let code =
        "use crate::types::{A, B};\nuse crate::{mvcc::Store, lease::{Keeper, x::Y}, Z};\nlet a = crate::apply::f();";
    let expected = ["apply::f", "lease", "mvcc::Store", "types"];
    assert_eq!(uses(code).iter().map(String::as_str).collect::<Vec<_>>(), expected);
}
