//! Members that talk over TLS: they work as they do without, and nobody else gets in.

use std::net::SocketAddr;
use std::time::Duration;

use registry_tests::budget::SOON;
use registry_tests::tls::{Authority, knock, knock_plainly};
use registry_tests::{Cluster, Node, Plan, eventually};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::pulse::Pulse;
use crate::{Alone, NODE, start_as};

/// Who says nothing: more than a member lets wait at once.
const SILENT: usize = 300;
/// Less than a member waits for somebody who says nothing.
const AT_ONCE: Duration = Duration::from_secs(6);

/// Flags of a member that asks others for certificates of this CA.
fn flags(authority: &Authority) -> Vec<String> {
    let path = |name, kind| authority.path(name, kind).display().to_string();
    vec![
        format!("--peer-cert-file={}", path("{name}", "pem")),
        format!("--peer-key-file={}", path("{name}", "key")),
        format!("--peer-trusted-ca-file={}", path("ca", "pem")),
        "--peer-client-cert-auth".to_owned(),
    ]
}

/// A CA that has issued a certificate for each of three members, and for a stranger.
fn authority(dir: &TempDir) -> Authority {
    let authority = Authority::new(dir.path());
    ["m0", "m1", "m2", "stranger"].into_iter().for_each(|name| authority.issue(name));
    authority
}

/// Three members that verify each other; none if their program is not installed.
async fn start(authority: &Authority) -> Option<Alone> {
    let flags = flags(authority);
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    start_as(|program| Plan::new(program, 3).with_tls().with_flags(&flags)).await
}

/// The same of the registry's members only: etcd's do not speak HTTP/2 to each other, with which a test knocks.
async fn start_registry(authority: &Authority) -> Option<Alone> {
    start(authority).await.filter(|cluster| cluster.is_registry())
}

/// Where a member listens for peers.
fn door(cluster: &Cluster, member: usize) -> SocketAddr {
    cluster.peer_url(member).trim_start_matches("https://").parse().expect("it is an address")
}

/// What is put on one is read at the others, with and without each leader in turn.
async fn assert_it_works(cluster: &mut Cluster) {
    for round in 0..2 {
        let leader = cluster.wait_for_leader().await;
        let [one, other] = cluster.others(leader)[..] else { panic!("there are three members") };
        cluster.client(one).put("key", &format!("{round}")).await;
        assert_eq!(cluster.client(other).value("key").await.expect("it was put"), round.to_string());
        cluster.kill(leader);
        cluster.wait_for_leader_of(&[one, other]).await;
        cluster.client(other).put("key", "after the leader").await;
        assert_eq!(cluster.client(one).value("key").await.expect("it was put"), "after the leader");
        cluster.restart(leader).await;
        cluster.wait_for_leader().await;
        let revision = cluster.client(leader).put("key", "all").await;
        cluster.assert_equal_hashes(revision).await;
    }
}

/// Waits until a log tells of a handshake that failed, with the address and these words.
async fn wait_for_refusal(cluster: &Cluster, member: usize, words: &str) {
    if !cluster.is_registry() {
        return;
    }
    eventually(SOON, words, async || {
        let log = cluster.log(member);
        log.iter()
            .any(|line| line.contains("a TLS handshake failed") && line.contains("127.0.0.1:") && line.contains(words))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_that_verify_each_other_survive_the_loss_of_a_leader() {
    let dir = TempDir::new().expect("directories can be made");
    let Some(mut cluster) = start(&authority(&dir)).await else { return };
    assert_it_works(&mut cluster).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_that_make_their_own_certificates_work_and_let_anybody_in() {
    let plan = |program| Plan::new(program, 3).with_tls().with_flags(&["--peer-auto-tls"]);
    let Some(mut cluster) = start_as(plan).await else { return };
    assert_it_works(&mut cluster).await;
    if !cluster.is_registry() {
        return;
    }
    let presented = knock(door(&cluster, 0), None).await;
    presented.expect("nobody is verified");
    knock_plainly(door(&cluster, 0)).await.expect_err("but all is encrypted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_no_certificate_of_the_members_ca_is_refused_while_they_go_on() {
    let [dir, elsewhere] = [(); 2].map(|()| TempDir::new().expect("directories can be made"));
    let (own, other) = (authority(&dir), authority(&elsewhere));
    let Some(cluster) = start_registry(&own).await else { return };
    let pulse = Pulse::start(cluster.client(0));
    for member in cluster.members() {
        let door = door(&cluster, member);
        knock(door, Some((&own, "stranger"))).await.expect("a certificate of the CA is let in");
        knock(door, None).await.expect_err("none is refused");
        wait_for_refusal(&cluster, member, "presents no certificate").await;
        knock(door, Some((&other, "stranger"))).await.expect_err("another CA's is refused");
        wait_for_refusal(&cluster, member, "not of a CA that is trusted").await;
        knock_plainly(door).await.expect_err("plain HTTP/2 is refused");
        wait_for_refusal(&cluster, member, "does not speak TLS").await;
    }
    pulse.goes_on().await;
    pulse.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_whose_certificate_is_of_another_ca_is_told_so_and_joins_when_it_has_a_good_one() {
    let [dir, elsewhere] = [(); 2].map(|()| TempDir::new().expect("directories can be made"));
    let (own, other) = (authority(&dir), authority(&elsewhere));
    let Some(mut cluster) = start(&own).await else { return };
    let leader = cluster.wait_for_leader().await;
    let member = cluster.others(leader)[0];
    let name = format!("m{member}");
    cluster.kill(member);
    let path = |kind| other.path(&name, kind).display().to_string();
    let bad = [format!("--peer-cert-file={}", path("pem")), format!("--peer-key-file={}", path("key"))];
    let pulse = Pulse::start(cluster.client(leader));
    cluster.spawn_with(member, &bad);
    wait_for_refusal(&cluster, leader, "not of a CA that is trusted").await;
    if cluster.is_registry() {
        eventually(SOON, "it knows why", async || {
            let log = cluster.log(member);
            log.iter().any(|line| line.contains("the peer cannot be reached") && line.contains("UnknownCA"))
        })
        .await;
    }
    pulse.goes_on().await;
    pulse.end().await;
    cluster.kill(member);
    cluster.restart(member).await;
    let revision = cluster.client(member).put("a", "1").await;
    cluster.assert_equal_hashes(revision).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_was_replaced_is_used_by_the_next_connection() {
    let dir = TempDir::new().expect("directories can be made");
    let own = authority(&dir);
    let Some(mut cluster) = start_registry(&own).await else { return };
    let pulse = Pulse::start(cluster.client(0));
    for member in cluster.members() {
        let name = format!("m{member}");
        let old = own.certificate(&name);
        let knocking = async || knock(door(&cluster, member), Some((&own, "stranger"))).await;
        assert_eq!(knocking().await.as_ref(), Ok(&old));
        own.issue(&name);
        assert_ne!(own.certificate(&name), old);
        assert_eq!(knocking().await, Ok(own.certificate(&name)));
    }
    // Connections from before live on, and those that are lost are made with the new ones.
    pulse.goes_on().await;
    pulse.end().await;
    assert_it_works(&mut cluster).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_say_nothing_keep_no_member_out() {
    let dir = TempDir::new().expect("directories can be made");
    let own = authority(&dir);
    let Some(mut cluster) = start(&own).await else { return };
    let mut silent = Vec::new();
    for member in cluster.members() {
        for _ in 0..SILENT {
            silent.push(TcpStream::connect(door(&cluster, member)).await.expect("the port is open"));
        }
    }
    if cluster.is_registry() {
        for member in cluster.members() {
            let knocking = timeout(AT_ONCE, knock(door(&cluster, member), Some((&own, "stranger"))));
            knocking.await.expect("nobody waits for those that are silent").expect("the certificate is good");
        }
    }
    let leader = cluster.wait_for_leader().await;
    cluster.kill(leader);
    cluster.restart(leader).await;
    cluster.wait_for_leader().await;
    let revision = cluster.client(leader).put("a", "1").await;
    cluster.assert_equal_hashes(revision).await;
    drop(silent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_joins_over_tls() {
    let dir = TempDir::new().expect("directories can be made");
    let own = authority(&dir);
    own.issue("m3");
    let Some(mut cluster) = start(&own).await else { return };
    let leader = cluster.wait_for_leader().await;
    let new = cluster.enroll();
    cluster.add_and_start(leader, new).await;
    let revision = cluster.client(new).put("a", "1").await;
    cluster.assert_equal_hashes(revision).await;
}

#[tokio::test]
async fn what_is_wrong_is_told_in_one_line_at_the_start() {
    let dir = TempDir::new().expect("directories can be made");
    let own = authority(&dir);
    let file = |name, kind| own.path(name, kind).display().to_string();
    let (cert, key) =
        (format!("--peer-cert-file={}", file("m0", "pem")), format!("--peer-key-file={}", file("m0", "key")));
    let https = "--listen-peer-urls=https://127.0.0.1:0";
    let other_key = format!("--peer-key-file={}", file("m1", "key"));
    let no_ca = format!("--peer-trusted-ca-file={}", file("m0", "key"));
    let no_file = format!("--peer-trusted-ca-file={}", file("nobody", "pem"));
    for (flags, words) in [
        (&[https][..], "--peer-cert-file and --peer-key-file, or --peer-auto-tls"),
        (&[https, &cert], "--peer-cert-file is given without --peer-key-file"),
        (&[https, &cert, &other_key], "does not belong to the certificate in"),
        (&[https, &cert, &key, &no_ca], "holds no certificate"),
        (&[https, &cert, &key, &no_file], "cannot read"),
        (&[https, "--peer-auto-tls", &no_ca], "--peer-trusted-ca-file does not go with --peer-auto-tls"),
        (&[https, "--peer-auto-tls", "--self-signed-cert-validity=0"], "--self-signed-cert-validity 0"),
        (&["--listen-client-urls=https://127.0.0.1:0"], "give --cert-file and --key-file, or --auto-tls"),
    ] {
        let refused = Node::try_start(NODE, &dir.path().join("data"), flags).await.expect_err(words);
        assert_eq!(refused.said.len(), 1, "{refused}");
        assert!(refused.said[0].contains(words), "{refused} does not say: {words}");
    }
    let plain = Node::try_start(NODE, &dir.path().join("data"), &[&cert, &key]).await.expect("it starts, and warns");
    assert!(plain.log_contains("the scheme is http, so peers come in there without TLS"));
}
