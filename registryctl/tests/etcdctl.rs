//! The program against a server in this process: what it prints, and how it fails. What etcdctl's users rely on is in
//! the conformance run; here is what must hold on any machine.

#![expect(clippy::unwrap_used, reason = "a test's fixture may panic")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use registry_server::server::{Config, Running, Server};
use tempfile::TempDir;

struct Ctl {
    node: Running,
    _dir: TempDir,
}

/// What a run printed, and how it ended.
#[derive(Debug)]
struct Ran {
    out: String,
    err: String,
    code: i32,
}

impl Ctl {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = Config {
            data_dir: dir.path().join("node"),
            listen_client_urls: vec!["http://127.0.0.1:0".parse().unwrap()],
            worker_threads: Some(1),
            ..Config::default()
        };
        Self { node: Server::start(config).await.unwrap(), _dir: dir }
    }

    /// Runs it with nothing on standard input.
    async fn run(&self, line: &[&str]) -> Ran {
        let url = self.node.client_url().to_owned();
        ran(&[&["--endpoints", &url], line].concat()).await
    }

    /// What it prints when it succeeds.
    async fn prints(&self, line: &[&str]) -> String {
        let ran = self.run(line).await;
        assert_eq!(ran.code, 0, "{line:?}: {ran:?}");
        ran.out
    }
}

async fn ran(line: &[&str]) -> Ran {
    ran_with(line, "").await
}

/// With this on standard input.
async fn ran_with(line: &[&str], input: &str) -> Ran {
    let mut child = spawned(line);
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let run = move || {
        // Who is through with its arguments may have ended.
        stdin.write_all(input.as_bytes()).ok();
        drop(stdin);
        child.wait_with_output().unwrap()
    };
    let Output { status, stdout, stderr } = tokio::task::spawn_blocking(run).await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { out: text(stdout), err: text(stderr), code: status.code().unwrap() }
}

fn spawned(line: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_registryctl"));
    command.args(line).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// A program that goes on, with its lines as they come; dropping it ends it.
struct Going {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Going {
    fn start(line: &[&str]) -> Self {
        let mut child = spawned(line);
        let out = BufReader::new(child.stdout.take().unwrap());
        let (told, lines) = mpsc::channel();
        std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| told.send(line)));
        Self { child, lines }
    }

    fn next(&self) -> String {
        tokio::task::block_in_place(|| self.lines.recv_timeout(Duration::from_secs(20))).unwrap()
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_is_read_from_standard_input() {
    let ctl = Ctl::start().await;
    let url = ctl.node.client_url().to_owned();
    let lines = "create(\"greeting\") = \"0\"\n\nput greeting \"hello you\"\nget greeting\n\ndel greeting\n\n";
    let first = ran_with(&["--endpoints", &url, "txn"], lines).await;
    assert_eq!(first.out, "SUCCESS\n\nOK\n\ngreeting\nhello you\n", "{first:?}");
    assert_eq!(ran_with(&["--endpoints", &url, "txn"], lines).await.out, "FAILURE\n\n1\n");
    let wrong = ran_with(&["--endpoints", &url, "txn"], "age(\"a\") = \"0\"\n").await;
    assert!(wrong.err.contains("unknown target age") && wrong.code == 128, "{wrong:?}");
    ctl.node.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_tells_history_and_what_comes_and_runs_a_program() {
    let ctl = Ctl::start().await;
    let url = ctl.node.client_url().to_owned();
    ctl.prints(&["put", "foo", "old"]).await;
    let watch = Going::start(&["--endpoints", &url, "watch", "--prefix", "fo", "--rev", "2", "--prev-kv"]);
    assert_eq!([watch.next(), watch.next(), watch.next()], ["PUT", "foo", "old"]);
    let show = "echo $ETCD_WATCH_EVENT_TYPE $ETCD_WATCH_KEY $ETCD_WATCH_REVISION";
    let runs = Going::start(&["--endpoints", &url, "watch", "foo", "--rev", "3", "--", "sh", "-c", show]);
    ctl.prints(&["del", "foo"]).await;
    let told: Vec<_> = (0..5).map(|_| watch.next()).collect();
    assert_eq!(told, ["DELETE", "foo", "old", "foo", ""]);
    let told: Vec<_> = (0..4).map(|_| runs.next()).collect();
    assert_eq!(told, ["DELETE", "foo", "", "\"DELETE\" \"foo\" 3"]);
    ctl.prints(&["compaction", "3"]).await;
    let refused = ctl.run(&["watch", "foo", "--rev", "1"]).await;
    assert!(refused.err.contains("required revision has been compacted") && refused.code == 1, "{refused:?}");
    ctl.node.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_goes_on_after_the_server_was_away() {
    let ctl = Ctl::start().await;
    let url = ctl.node.client_url().to_owned();
    let watch = Going::start(&["--endpoints", &url, "watch", "foo", "--rev", "2", "-w", "json"]);
    ctl.prints(&["put", "foo", "1"]).await;
    assert!(watch.next().contains("\"mod_revision\":2"));
    let Ctl { node, _dir: dir } = ctl;
    node.shutdown().await.unwrap();
    let config = Config {
        data_dir: dir.path().join("node"),
        listen_client_urls: vec![url.parse().unwrap()],
        worker_threads: Some(1),
        ..Config::default()
    };
    let node = Server::start(config).await.unwrap();
    assert_eq!(ran(&["--endpoints", &url, "put", "foo", "2"]).await.out, "OK\n");
    assert!(watch.next().contains("\"mod_revision\":3"), "once, and nothing twice");
    node.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_is_held_while_a_program_runs_and_its_exit_code_is_passed_on() {
    let ctl = Ctl::start().await;
    let ran = ctl.run(&["lock", "backup", "--", "sh", "-c", "echo held as $ETCD_LOCK_KEY; exit 3"]).await;
    assert!(ran.out.starts_with("held as backup/") && ran.code == 3, "{ran:?}");
    assert_eq!(ctl.prints(&["get", "--prefix", "backup"]).await, "");
    assert_eq!(ctl.prints(&["lease", "list"]).await, "found 0 leases\n");
    let missing = ctl.run(&["lock", "backup", "--", "no-such-program"]).await;
    assert!(missing.err.starts_with("Error: no-such-program: ") && missing.code == 1, "{missing:?}");
    assert_eq!(ctl.prints(&["lease", "list"]).await, "found 0 leases\n", "nor after a program that cannot be run");
    ctl.node.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leads_is_told_and_the_next_one_follows() {
    let ctl = Ctl::start().await;
    let url = ctl.node.client_url().to_owned();
    let first = Going::start(&["--endpoints", &url, "elect", "boss", "one"]);
    let key = first.next();
    assert!(key.starts_with("boss/") && first.next() == "one", "{key}");
    let listener = Going::start(&["--endpoints", &url, "elect", "-l", "boss"]);
    assert_eq!([listener.next(), listener.next()], [key, "one".to_owned()]);
    let second = Going::start(&["--endpoints", &url, "elect", "boss", "two"]);
    let pid = first.child.id().to_string();
    Command::new("kill").args(["-TERM", &pid]).status().unwrap();
    assert!(second.next().starts_with("boss/") && second.next() == "two");
    assert!(listener.next().starts_with("boss/") && listener.next() == "two");
    ctl.node.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn users_log_in_and_may_do_what_their_roles_permit() {
    let ctl = Ctl::start().await;
    let url = ctl.node.client_url().to_owned();
    assert_eq!(ctl.prints(&["user", "add", "root:secret"]).await, "User root created\n");
    let added = ran_with(&["--endpoints", &url, "user", "add", "alice", "--interactive=false"], "hers\n").await;
    assert_eq!(added.out, "User alice created\n", "{added:?}");
    for line in [
        &["role", "add", "root"][..],
        &["user", "grant-role", "root", "root"],
        &["role", "add", "readers"],
        &["role", "grant-permission", "readers", "read", "--prefix", "pub/"],
        &["user", "grant-role", "alice", "readers"],
        &["auth", "enable"],
    ] {
        ctl.prints(line).await;
    }
    let root = ["--user", "root:secret"];
    let told = ctl.prints(&[&root[..], &["role", "get", "readers"]].concat()).await;
    assert_eq!(told, "Role readers\nKV Read:\n\t[pub/, pub0) (prefix pub/)\nKV Write:\n");
    ctl.prints(&[&root[..], &["put", "pub/x", "1"]].concat()).await;
    assert_eq!(ctl.prints(&["--user", "alice", "--password", "hers", "get", "pub/x"]).await, "pub/x\n1\n");
    let denied = ctl.run(&["--user", "alice:hers", "put", "pub/x", "2"]).await;
    assert_eq!(denied.err, "Error: etcdserver: permission denied\n");
    let wrong = ctl.run(&["--user", "alice:his", "get", "pub/x"]).await;
    assert_eq!(wrong.err, "Error: etcdserver: authentication failed, invalid user ID or password\n");
    ctl.node.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_has_its_name_when_it_is_whole() {
    let ctl = Ctl::start().await;
    ctl.prints(&["put", "foo", "bar"]).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("backup.db");
    let path = file.to_str().unwrap();
    assert_eq!(ctl.prints(&["snapshot", "save", path]).await, format!("Snapshot saved at {path}\n"));
    let saved = std::fs::metadata(&file).unwrap();
    assert_eq!(saved.len() % 512, 32, "pages, and the digest");
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&saved.permissions()) & 0o777,
        0o600,
        "it holds everybody's keys"
    );
    assert_eq!(folder.path().read_dir().unwrap().count(), 1);
    let nowhere = ctl.run(&["snapshot", "save", "/no/such/folder/backup.db"]).await;
    assert!(nowhere.err.contains("/no/such/folder/backup.db") && nowhere.code == 1, "{nowhere:?}");
    let two = ctl.run(&["--endpoints", "a:1,b:2", "snapshot", "save", path]).await;
    assert!(two.err.contains("give --endpoints one address"), "{two:?}");
    ctl.node.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_has_what_was_there_and_what_comes() {
    let (ctl, other) = (Ctl::start().await, Ctl::start().await);
    let (url, there) = (ctl.node.client_url().to_owned(), other.node.client_url().to_owned());
    for (key, value) in [("src/a", "1"), ("src/b", "2"), ("elsewhere", "x")] {
        ctl.prints(&["put", key, value]).await;
    }
    let line = ["--endpoints", &url, "make-mirror", "--prefix", "src/", "--dest-prefix", "dst/", &there];
    let mirror = Going::start(&line);
    while other.prints(&["get", "dst/b"]).await.is_empty() {}
    ctl.prints(&["put", "src/c", "3"]).await;
    let told: u64 = mirror.next().parse().unwrap();
    assert_eq!(told, 3, "two that were there, and one that came");
    assert_eq!(other.prints(&["get", "--prefix", ""]).await, "dst/a\n1\ndst/b\n2\ndst/c\n3\n");
    let both = ran_with(&["--endpoints", &url, "txn"], "\ndel src/a\nput src/b 4\n\n\n").await;
    assert!(both.out.starts_with("SUCCESS"), "{both:?}");
    assert_eq!(mirror.next(), "5");
    assert_eq!(other.prints(&["get", "--prefix", ""]).await, "dst/b\n4\ndst/c\n3\n");
    let json = other.prints(&["get", "dst/b", "-w", "json"]).await;
    assert!(json.contains("\"revision\":4"), "a transaction is one there as well: {json}");
    ctl.node.shutdown().await.unwrap();
    other.node.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_on_or_waits_for_its_input_is_not_bounded_by_the_time_of_a_request() {
    let (ctl, other) = (Ctl::start().await, Ctl::start().await);
    let (url, there) = (ctl.node.client_url().to_owned(), other.node.client_url().to_owned());
    let begun = tokio::time::Instant::now();
    let short = ["--endpoints", &url, "--dial-timeout", "1s", "--command-timeout", "1s"];
    let watch = Going::start(&[&short[..], &["watch", "foo", "--rev", "1"]].concat());
    let mirror = Going::start(&[&short[..], &["make-mirror", &there]].concat());
    let lock = Going::start(&[&short[..], &["lock", "held"]].concat());
    assert!(lock.next().starts_with("held/"));
    let mut puts = spawned(&[&short[..], &["put", "slow"]].concat());
    // Longer than all of them would have.
    while begun.elapsed() < Duration::from_secs(3) {
        ctl.prints(&["put", "foo", "bar"]).await;
    }
    assert_eq!([watch.next(), watch.next(), watch.next()], ["PUT", "foo", "bar"]);
    ctl.prints(&["put", "last", "x"]).await;
    while other.prints(&["get", "last"]).await.is_empty() {}
    assert!(!ctl.prints(&["get", "--prefix", "held/"]).await.is_empty());
    puts.stdin.take().unwrap().write_all(b"value").unwrap();
    let ended = tokio::task::spawn_blocking(move || puts.wait_with_output().unwrap()).await.unwrap();
    assert_eq!(String::from_utf8(ended.stdout).unwrap(), "OK\n");
    drop((watch, mirror, lock));
    ctl.node.shutdown().await.unwrap();
    other.node.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_has_seen_enough_is_no_error() {
    let ctl = Ctl::start().await;
    let url = ctl.node.client_url().to_owned();
    ctl.prints(&["put", "foo", "bar"]).await;
    let mut child = spawned(&["--endpoints", &url, "watch", "foo", "--rev", "1"]);
    drop(child.stdout.take());
    let ended = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
    assert_eq!((ended.status.code(), String::from_utf8(ended.stderr).unwrap().as_str()), (Some(141), ""));
    ctl.node.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_put_read_and_deleted_as_with_etcdctl() {
    let ctl = Ctl::start().await;
    for (key, value) in [("foo", "bar"), ("foo1", "bar1"), ("foo2", "bar2")] {
        assert_eq!(ctl.prints(&["put", key, value]).await, "OK\n");
    }
    assert_eq!(ctl.prints(&["put", "foo", "new", "--prev-kv"]).await, "OK\nfoo\nbar\n");
    assert_eq!(ctl.prints(&["get", "foo", "foo2"]).await, "foo\nnew\nfoo1\nbar1\n");
    assert_eq!(ctl.prints(&["get", "--prefix", "foo", "--rev=4", "--limit", "1"]).await, "foo\nbar\n");
    assert_eq!(ctl.prints(&["get", "--prefix", "", "--keys-only", "--order=DESCEND"]).await, "foo2\n\nfoo1\n\nfoo\n\n");
    assert_eq!(ctl.prints(&["get", "--from-key", "foo1", "--print-value-only"]).await, "bar1\nbar2\n");
    assert_eq!(ctl.prints(&["get", "foo1", "--hex"]).await, "\\x66\\x6f\\x6f\\x31\n\\x62\\x61\\x72\\x31\n");
    assert_eq!(ctl.prints(&["get", "--prefix", "foo", "--count-only"]).await, "3\n");
    let fields = ctl.prints(&["get", "foo", "-w", "fields"]).await;
    assert!(fields.ends_with("\"Key\" : \"foo\"\n\"CreateRevision\" : 2\n\"ModRevision\" : 5\n\"Version\" : 2\n\"Value\" : \"new\"\n\"Lease\" : 0\n\"More\" : false\n\"Count\" : 1\n"), "{fields}");
    let json = ctl.prints(&["get", "foo", "-w", "json"]).await;
    assert!(json.ends_with(",\"kvs\":[{\"key\":\"Zm9v\",\"create_revision\":2,\"mod_revision\":5,\"version\":2,\"value\":\"bmV3\"}],\"count\":1}\n"), "{json}");
    assert_eq!(ctl.prints(&["del", "--prefix", "foo", "--prev-kv"]).await, "3\nfoo\nnew\nfoo1\nbar1\nfoo2\nbar2\n");
    assert_eq!(ctl.prints(&["compaction", "5"]).await, "compacted revision 5\n");
    assert_eq!(
        ctl.run(&["get", "foo", "--rev=2"]).await.err,
        "Error: etcdserver: mvcc: required revision has been compacted\n"
    );
    ctl.node.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_is_granted_kept_told_and_revoked() {
    let ctl = Ctl::start().await;
    let granted = ctl.prints(&["lease", "grant", "60"]).await;
    let id = granted.split_whitespace().nth(1).unwrap();
    assert_eq!(granted, format!("lease {id} granted with TTL(60s)\n"));
    ctl.prints(&["put", "--lease", id, "held", "x"]).await;
    assert_eq!(
        ctl.prints(&["lease", "keep-alive", "--once", id]).await,
        format!("lease {id} keepalived with TTL(60)\n")
    );
    let left = ctl.prints(&["lease", "timetolive", "--keys", id]).await;
    assert!(left.ends_with("s), attached keys([held])\n"), "{left}");
    assert_eq!(ctl.prints(&["lease", "list"]).await, format!("found 1 leases\n{id}\n"));
    assert_eq!(ctl.prints(&["lease", "revoke", id]).await, format!("lease {id} revoked\n"));
    assert_eq!(ctl.prints(&["get", "held"]).await, "");
    assert_eq!(ctl.prints(&["lease", "timetolive", id]).await, format!("lease {id} already expired\n"));
    let refused = ctl.run(&["lease", "revoke", id]).await;
    assert_eq!(refused.err, "Error: failed to revoke lease (etcdserver: requested lease not found)\n");
    assert_eq!(
        ctl.run(&["lease", "keep-alive", "--once", id]).await.err,
        "Error: etcdserver: requested lease not found\n"
    );
    ctl.node.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_and_members_are_told() {
    let ctl = Ctl::start().await;
    let url = ctl.node.client_url().to_owned();
    let health = ctl.prints(&["endpoint", "health"]).await;
    assert!(health.starts_with(&format!("{url} is healthy: successfully committed proposal: took = ")), "{health}");
    let status = ctl.prints(&["endpoint", "status", "-w", "json"]).await;
    assert!(
        status.starts_with(&format!("[{{\"Endpoint\":\"{url}\",\"Status\":{{\"header\":{{\"cluster_id\":")),
        "{status}"
    );
    let members = ctl.prints(&["member", "list", "-w", "table"]).await;
    assert!(members.contains("| started | default |"), "{members}");
    assert_eq!(ctl.prints(&["alarm", "list"]).await, "");
    ctl.node.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_down_is_named_and_the_next_one_used() {
    let ctl = Ctl::start().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let dead = taken.local_addr().unwrap().to_string();
    drop(taken);
    let both = format!("{dead},{}", ctl.node.client_url());
    assert_eq!(ran(&["--endpoints", &both, "put", "a", "b"]).await.out, "OK\n");
    let Ran { out, err, code } = ran(&["--endpoints", &dead, "get", "a"]).await;
    assert!(out.is_empty() && err.starts_with(&format!("Error: no endpoint can be reached: {dead}: ")), "{err}");
    assert_eq!(code, 2);
    let health = ran(&["--endpoints", &both, "endpoint", "health"]).await;
    assert!(health.out.starts_with(&format!("{dead} is unhealthy: ")) && health.code == 1, "{health:?}");
    assert_eq!(health.err, "Error: unhealthy cluster\n");
    ctl.node.shutdown().await.unwrap();
}

#[tokio::test]
async fn arguments_that_do_not_go_together_are_refused_with_what_to_change() {
    let refused = ran(&["get", "--prefix", "a", "b"]).await;
    assert_eq!(refused.err, "Error: --prefix and --from-key say where the range ends: leave RANGE_END away\n");
    assert_eq!(refused.code, 128);
    let refused = ran(&["--user", "root", "get", "a"]).await;
    assert_eq!(refused.err, "Error: --user root needs a password: give --password, or --user root:PASSWORD\n");
    assert!(ran(&["lease", "revoke", "xyz"]).await.err.contains("hexadecimal"));
}
