//! Who is let in, and to whom one connects.

use std::net::{IpAddr, Ipv4Addr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::tls::{Acceptor, Connector, HandshakeError};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Both ends of a connection.
async fn connection() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (client, listener.accept().await.unwrap().0)
}

/// What both sides make of a handshake: the accepting one first.
async fn shake(
    acceptor: &Arc<Credentials>,
    connector: &Arc<Credentials>,
    host: &str,
) -> (Result<(), String>, Result<(), String>) {
    let (client, server) = connection().await;
    let accepting = async {
        let mut stream =
            Acceptor::new(acceptor.clone()).accept(server, Some(LOOPBACK)).await.map_err(|e| e.to_string())?;
        stream.write_all(b"!").await.map_err(|e| e.to_string())
    };
    let connecting = async {
        let mut stream = Connector::new(connector.clone()).connect(host, client).await.map_err(|e| e.to_string())?;
        stream.read_u8().await.map(drop).map_err(|e| HandshakeError::from_io(e).to_string())
    };
    tokio::join!(accepting, connecting)
}

struct Pair {
    vfs: MemVfs,
    authority: Authority,
    server: Settings,
    client: Settings,
}

impl Pair {
    /// Two members of one CA.
    fn new() -> Self {
        Self::of(&params(&["127.0.0.1"], "client"))
    }

    fn of(client: &CertificateParams) -> Self {
        let (vfs, authority) = (MemVfs::new(), Authority::new("ca"));
        let server =
            member(&vfs, "server", &authority, &authority.sign(&params(&["127.0.0.1", "a.example"], "server")));
        let client = member(&vfs, "client", &authority, &authority.sign(client));
        Self { vfs, authority, server, client }
    }

    async fn shake(self) -> (Result<(), String>, Result<(), String>) {
        let (server, client) = (load(&self.vfs, self.server).unwrap(), load(&self.vfs, self.client).unwrap());
        shake(&server, &client, "127.0.0.1").await
    }
}

fn assert_refused(outcome: Result<(), String>, words: &str) {
    let why = outcome.expect_err(words);
    assert!(why.contains(words), "{why} does not say: {words}");
}

#[tokio::test]
async fn members_of_one_ca_let_each_other_in() {
    assert_eq!(Pair::new().shake().await, (Ok(()), Ok(())));
}

#[tokio::test]
async fn whoever_is_of_another_ca_is_refused_by_either_side() {
    let mut pair = Pair::new();
    let other = Authority::new("other");
    pair.client = member(&pair.vfs, "client", &pair.authority, &other.sign(&params(&["127.0.0.1"], "client")));
    let (accepted, connected) = pair.shake().await;
    assert_refused(accepted, "not of a CA that is trusted");
    assert_refused(connected, "does not trust the CA");
    let mut pair = Pair::new();
    let namesake = Authority::new("ca").sign(&params(&["127.0.0.1"], "client"));
    pair.client = member(&pair.vfs, "client", &pair.authority, &namesake);
    assert_refused(pair.shake().await.0, "another one with the same name");
    let pair = Pair::new();
    put(&pair.vfs, "client.ca", &other.pem);
    let (accepted, connected) = pair.shake().await;
    assert_refused(connected, "not of a CA that is trusted");
    assert_refused(accepted, "does not trust the CA");
}

#[tokio::test]
async fn whoever_presents_nothing_and_whoever_speaks_plainly_is_refused() {
    let pair = Pair::new();
    let acceptor = Acceptor::new(load(&pair.vfs, pair.server).unwrap());
    let (mut client, server) = connection().await;
    client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    let plain = acceptor.accept(server, Some(LOOPBACK)).await.map(drop).map_err(|error| error.to_string());
    assert_refused(plain, "does not speak TLS");
    let roots = rustls::RootCertStore::empty();
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
    let mut config = config.with_no_client_auth();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    config.dangerous().set_certificate_verifier(Arc::new(crate::tls::trust::Anybody(provider)));
    let (client, server) = connection().await;
    let connecting =
        tokio_rustls::TlsConnector::from(Arc::new(config)).connect("a.example".try_into().unwrap(), client);
    let (accepted, _) = tokio::join!(acceptor.accept(server, Some(LOOPBACK)), connecting);
    assert_refused(accepted.map(drop).map_err(|error| error.to_string()), "presents no certificate");
}

#[tokio::test]
async fn a_certificate_must_be_for_the_host_that_is_connected_to() {
    let pair = Pair::new();
    let (server, client) = (load(&pair.vfs, pair.server).unwrap(), load(&pair.vfs, pair.client).unwrap());
    assert_eq!(shake(&server, &client, "a.example").await.1, Ok(()));
    assert_refused(shake(&server, &client, "b.example").await.1, "not valid for name");
}

#[tokio::test]
async fn a_certificate_must_be_for_the_address_that_it_comes_from() {
    let outcome = |hosts: &'static [&'static str]| Pair::of(&params(hosts, "client")).shake();
    for hosts in [&[][..], &["127.0.0.1"], &["10.0.0.1", "127.0.0.1"], &["10.0.0.1", "localhost"]] {
        assert_eq!(outcome(hosts).await.0, Ok(()), "{hosts:?}");
    }
    for hosts in [&["10.0.0.1"][..], &["*.example"]] {
        assert_refused(outcome(hosts).await.0, "and comes from 127.0.0.1");
    }
    let mut pair = Pair::of(&params(&["10.0.0.1"], "client"));
    pair.server.skip_client_san_verification = true;
    assert_eq!(pair.shake().await.0, Ok(()));
}

#[tokio::test]
async fn of_a_ca_only_those_are_let_in_that_have_an_allowed_name() {
    for (cns, hostnames, is_let_in) in [
        (&["server", "client"][..], &[][..], true),
        (&["somebody"], &[], false),
        (&[], &["b.example", "127.0.0.1"], true),
        (&[], &["b.example"], false),
    ] {
        let mut pair = Pair::new();
        let texts = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        (pair.server.allowed_cns, pair.server.allowed_hostnames) = (texts(cns), texts(hostnames));
        let accepted = pair.shake().await.0;
        match is_let_in {
            true => assert_eq!(accepted, Ok(())),
            false => assert_refused(accepted, "none of the names that are let in here (its common name is \"client\")"),
        }
    }
    let mut pair = Pair::new();
    pair.client.allowed_cns = vec!["client".to_owned()];
    assert_refused(pair.shake().await.1, "its common name is \"server\"");
}

#[tokio::test]
async fn where_one_connects_another_certificate_may_be_presented() {
    let mut pair = Pair::new();
    let other = member(&pair.vfs, "other", &pair.authority, &pair.authority.sign(&params(&["127.0.0.1"], "other")));
    (pair.client.client_cert_file, pair.client.client_key_file) = (other.cert_file, other.key_file);
    pair.server.allowed_cns = vec!["other".to_owned()];
    assert_eq!(pair.shake().await, (Ok(()), Ok(())));
}

#[tokio::test]
async fn a_certificate_that_was_revoked_is_refused_from_the_next_connection_on() {
    let mut with_serial = params(&["127.0.0.1"], "client");
    with_serial.serial_number = Some(SerialNumber::from(77_u64));
    let mut pair = Pair::of(&with_serial);
    put(&pair.vfs, "crl", &pair.authority.revoke(78));
    pair.server.crl_file = file("crl");
    let (server, client) = (load(&pair.vfs, pair.server).unwrap(), load(&pair.vfs, pair.client).unwrap());
    assert_eq!(shake(&server, &client, "127.0.0.1").await.0, Ok(()));
    put(&pair.vfs, "crl", &pair.authority.revoke(77));
    assert_refused(shake(&server, &client, "127.0.0.1").await.0, "was revoked");
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_goes_silent_ends_in_time() {
    let pair = Pair::new();
    let acceptor = Acceptor::new(load(&pair.vfs, pair.server).unwrap());
    let (_client, server) = connection().await;
    let outcome = acceptor.accept(server, Some(LOOPBACK)).await;
    assert!(matches!(outcome, Err(HandshakeError::Timeout(_))), "{:?}", outcome.err());
}
