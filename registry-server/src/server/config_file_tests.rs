//! Files that etcd's users have.

use super::super::flags::{FlagsError, Parsed, parse};
use super::*;
use crate::server::{LogLevel, LogOutput};
use crate::tls::TlsVersion;

/// The keys and values of the sample that comes with etcd 3.7, except that it compacts.
const SAMPLE: &str = "\
name: 'default'
data-dir:
wal-dir:
snapshot-count: 10000
heartbeat-interval: 100
election-timeout: 1000
quota-backend-bytes: 0
listen-peer-urls: http://localhost:2380
listen-client-urls: http://localhost:2379
max-wals: 5
cors:
initial-advertise-peer-urls: http://localhost:2380
advertise-client-urls: http://localhost:2379
discovery:
discovery-fallback: 'proxy'
discovery-proxy:
discovery-srv:
initial-cluster:
initial-cluster-token: 'etcd-cluster'
initial-cluster-state: 'new'
strict-reconfig-check: false
enable-pprof: true
client-transport-security:
  cert-file:
  key-file:
  client-cert-auth: false
  trusted-ca-file:
  auto-tls: false
peer-transport-security:
  cert-file:
  key-file:
  client-cert-auth: false
  trusted-ca-file:
  auto-tls: false
  allowed-cn:
  allowed-hostname:
self-signed-cert-validity: 1
log-level: debug
logger: zap
log-outputs: [stderr]
force-new-cluster: false
auto-compaction-mode: periodic
auto-compaction-retention: \"1\"
cipher-suites: [
  TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
  TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384
]
tls-min-version: 'TLS1.2'
tls-max-version: 'TLS1.3'
";

#[expect(clippy::disallowed_methods, reason = "the file of a test")]
fn put(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

fn parse_file(text: &str) -> Result<Parsed, FlagsError> {
    let file = put(text);
    parse(["--config-file".to_owned(), file.path().display().to_string()], [])
}

fn refusal(text: &str) -> String {
    let line = parse_file(text).unwrap_err().to_string();
    assert!(!line.contains('\n'), "{line}");
    line
}

#[test]
fn etcds_sample_is_accepted() {
    let Parsed { config, warnings } = parse_file(SAMPLE).unwrap();
    assert_eq!((config.name.as_str(), config.log_level), ("default", LogLevel::Debug));
    assert_eq!(config.log_outputs, [LogOutput::Stderr]);
    assert_eq!(config.data_dir, Path::new("default.etcd"));
    let algorithms = &config.client_tls.algorithms;
    assert_eq!((algorithms.cipher_suites.len(), algorithms.max_version), (2, Some(TlsVersion::Tls13)));
    for flag in ["discovery-fallback", "strict-reconfig-check", "enable-pprof", "snapshot-count", "max-wals"] {
        assert!(warnings.iter().any(|line| line.contains(flag)), "{flag} is not told in {warnings:?}");
    }
}

#[test]
fn sections_are_flags_and_durations_are_nanoseconds() {
    let config = parse_file(
        "client-transport-security: {cert-file: /c, key-file: /k, trusted-ca-file: /ca, allowed-cn: [a, b]}\n\
         peer-transport-security:\n  cert-file: /pc\n  key-file: /pk\n  client-cert-auth: true\n  \
         skip-client-san-verification: yes\n  allowed-hostname: [h]\n\
         listen-client-urls: https://127.0.0.1:1,unix:///run/a\nlisten-peer-urls: https://127.0.0.1:2\n\
         grpc-keepalive-interval: 5000000000\nwarning-apply-duration: 20ms\nmax-connections: 7\n",
    );
    let config = config.unwrap().config;
    let (clients, peers) = (&config.client_tls, &config.peer_tls);
    assert_eq!(
        (clients.cert_file.as_deref(), clients.allowed_cns.as_slice()),
        (Some(Path::new("/c")), &["a".into(), "b".into()][..])
    );
    assert_eq!(
        (peers.key_file.as_deref(), peers.allowed_hostnames.as_slice()),
        (Some(Path::new("/pk")), &["h".into()][..])
    );
    assert!(peers.client_cert_auth && peers.skip_client_san_verification && !clients.client_cert_auth);
    assert_eq!(config.grpc_keepalive_interval.as_secs(), 5);
    assert_eq!(config.warning_apply_duration.as_millis(), 20);
    assert_eq!((config.listen_client_urls.len(), config.max_connections), (2, 7));
}

#[test]
fn beside_a_file_nothing_else_counts_and_that_is_told() {
    let file = put("name: file\n");
    let path = file.path().display().to_string();
    let environment = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let words = ["--name=line".to_owned(), format!("--config-file={path}"), "--max-txn-ops=7".to_owned()];
    let Parsed { config, warnings } = parse(words, [environment("ETCD_NAME", "env")]).unwrap();
    assert_eq!((config.name.as_str(), config.max_txn_ops), ("file", 128));
    assert!(warnings.iter().any(|line| line.contains(&path) && line.contains("ignored")), "{warnings:?}");
    let Parsed { config, .. } =
        parse([], [environment("ETCD_CONFIG_FILE", &path), environment("ETCD_NAME", "env")]).unwrap();
    assert_eq!(config.name, "file");
    let alone = parse([format!("--config-file={path}")], []).unwrap();
    assert_eq!(alone.warnings, Vec::<String>::new());
    let empty = parse(["--config-file=".to_owned(), "--name=line".to_owned()], []).unwrap();
    assert_eq!(empty.config.name, "line", "an empty value is none");
}

#[test]
fn what_is_wrong_is_told_with_file_line_and_mend() {
    for (text, words) in [
        ("nmae: a\n", "line 1: \"nmae\" is no setting; see --help"),
        ("name: a\ncert-file: /c\n", "line 2: \"cert-file\" is no setting; it belongs into client-transport-security"),
        (
            "peer-transport-security:\n  cert: /c\n",
            "line 2: \"peer-transport-security.cert\" is no setting of that section",
        ),
        ("nowhere:\n  a: 1\n", "\"nowhere.a\" is no setting of that section"),
        ("listen-client-urls: [http://a:1]\n", "\"listen-client-urls\" takes one value"),
        ("heartbeat-interval: fast\n", "invalid value 'fast' for '--heartbeat-interval"),
        ("heartbeat-interval: 500\n", "--election-timeout"),
        ("config-file: other.yml\n", "\"config-file\" is no setting"),
        ("name: a\nname: b\n", "given a second time"),
        ("discovery-config:\n  token: t\n", "--discovery-token is not supported"),
    ] {
        let line = refusal(text);
        assert!(line.contains(words), "{text:?}: {line}");
        assert!(line.contains("/"), "the file is named: {line}");
    }
    let missing = parse(["--config-file=/nowhere/a.yml".to_owned()], []).unwrap_err().to_string();
    assert!(missing.contains("cannot read /nowhere/a.yml"), "{missing}");
    let large = refusal(&"#".repeat(2 << 20));
    assert!(large.contains("no file of settings"), "{large}");
}

#[test]
fn every_key_for_durations_is_a_flag() {
    let command = crate::server::flags::command();
    for key in DURATIONS {
        let is_own = command.get_arguments().any(|argument| argument.get_long() == Some(key));
        assert!(is_own || crate::server::foreign_flags::find(key).is_some(), "{key}");
    }
}
