//! What is wrong with the flags and files is told in one line that names them, and the mend.

use registry_tests::Node;
use tempfile::TempDir;

use crate::NODE;
use crate::kit::{authority, flags};

#[tokio::test]
async fn what_is_wrong_is_told_in_one_line_at_the_start() {
    let dir = TempDir::new().expect("directories can be made");
    let own = authority(&dir);
    let https = "--listen-client-urls=https://127.0.0.1:0";
    for (more, words) in [
        (&["--key-file="][..], "--cert-file is given without --key-file: give both or neither"),
        (&["--cert-file=", "--key-file="], "TLS needs a certificate; give --cert-file and --key-file, or --auto-tls"),
        (&["--key-file=DIR/client.key"], "client.key does not belong to the certificate in"),
        (&["--trusted-ca-file=DIR/server.key"], "server.key holds no certificate"),
        (&["--trusted-ca-file=DIR/nothing.pem"], "cannot read"),
        (&["--client-crl-file=DIR/ca.crl"], "--client-crl-file is about certificates that are presented"),
        (&["--trusted-ca-file=DIR/ca.pem", "--client-crl-file=DIR/ca.pem"], "ca.pem holds no revocation list"),
        (
            &["--trusted-ca-file=DIR/ca.pem", "--client-cert-allowed-cn=a", "--client-cert-allowed-hostname=b"],
            "both given",
        ),
        (&["--cert-file=", "--key-file=", "--auto-tls", "--client-cert-auth"], "does not go with --auto-tls"),
        (&["--cipher-suites=TLS_ROT13"], "unexpected TLS cipher suite \"TLS_ROT13\""),
        (&["--tls-min-version=TLS1.1"], "must be one of: TLS1.2, TLS1.3"),
        (&["--tls-min-version=TLS1.3", "--tls-max-version=TLS1.2"], "is greater than max version"),
        (
            &[
                "--cert-file=",
                "--key-file=",
                https.replace("client", "metrics").as_str(),
                "--listen-client-urls=http://127.0.0.1:0",
            ],
            "--listen-metrics-urls https://127.0.0.1:0",
        ),
    ] {
        let flags = flags(&own, more);
        let flags: Vec<_> = flags.iter().map(String::as_str).collect();
        let refused = Node::try_start(NODE, &dir.path().join("data"), &flags).await.expect_err(words);
        assert_eq!(refused.said.len(), 1, "{refused}");
        assert!(refused.said[0].contains(words), "{refused} does not say: {words}");
    }
}

#[tokio::test]
async fn what_has_no_effect_is_told_in_the_log() {
    let dir = TempDir::new().expect("directories can be made");
    let own = authority(&dir);
    let more =
        ["--listen-client-urls=http://127.0.0.1:0", "--cipher-suites=TLS_RSA_WITH_AES_128_CBC_SHA", "--auto-tls"];
    let flags = flags(&own, &more);
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    let node = Node::try_start(NODE, &dir.path().join("data"), &flags).await.expect("it starts");
    for words in [
        "so clients come in there without TLS",
        "TLS_RSA_WITH_AES_128_CBC_SHA are too weak",
        "--auto-tls has no effect",
    ] {
        assert!(node.log_contains(words), "{words}");
    }
}
