//! Command lines that etcd's users have.

use clap::error::ErrorKind;

use super::super::config::LogOutput;
use super::*;
use crate::tls::TlsVersion;
use crate::traces::TraceSettings;

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

fn read(line: &str) -> Result<Parsed, FlagsError> {
    parse(words(line), [])
}

fn usage(line: &str) -> clap::Error {
    match read(line) {
        Err(FlagsError::Usage(error)) => error,
        other => panic!("{line}: {other:?}"),
    }
}

fn variable(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

#[test]
fn no_flag_at_all_gives_etcds_defaults() {
    let Parsed { config, warnings } = read("").unwrap();
    assert_eq!(format!("{config:?}"), format!("{:?}", Config::default()));
    assert!(warnings.is_empty());
}

#[test]
fn a_flag_is_written_with_a_space_or_an_equals_sign() {
    for line in ["--name a --max-txn-ops=7", "--name=a --max-txn-ops 7", "-name a -max-txn-ops=7 -snapshot-count 5"] {
        let config = read(line).unwrap().config;
        assert_eq!((config.name.as_str(), config.max_txn_ops), ("a", 7));
        assert_eq!(config.data_dir, PathBuf::from("a.etcd"));
    }
}

#[test]
fn a_boolean_is_written_bare_or_with_a_value() {
    let fsync_is_off = |line| read(line).unwrap().config.unsafe_no_fsync;
    assert!(fsync_is_off("--unsafe-no-fsync"));
    assert!(fsync_is_off("--unsafe-no-fsync=true --name a"));
    assert!(fsync_is_off("--unsafe-no-fsync --name a"));
    assert!(!fsync_is_off("--unsafe-no-fsync=false"));
}

#[test]
fn a_new_cluster_is_forced_by_flag_or_by_environment() {
    let is_forced = |line, environment: &[(&str, &str)]| {
        let environment = environment.iter().map(|(name, value)| variable(name, value));
        parse(words(line), environment).unwrap().config.force_new_cluster
    };
    assert!(!is_forced("", &[]));
    assert!(is_forced("--force-new-cluster", &[]));
    assert!(is_forced("", &[("ETCD_FORCE_NEW_CLUSTER", "true")]));
    assert!(!is_forced("--force-new-cluster=false", &[("ETCD_FORCE_NEW_CLUSTER", "true")]));
}

#[test]
fn the_last_of_a_repeated_flag_counts() {
    assert_eq!(read("--name a --name b").unwrap().config.name, "b");
}

#[test]
fn the_command_line_wins_over_the_environment() {
    let environment = [variable("ETCD_NAME", "env"), variable("ETCD_MAX_TXN_OPS", "7"), variable("PATH", "/bin")];
    let Parsed { config, warnings } = parse(words("--name line"), environment).unwrap();
    assert_eq!((config.name.as_str(), config.max_txn_ops), ("line", 7));
    assert!(warnings.is_empty(), "{warnings:?}");
}

#[test]
fn the_environment_is_judged_like_the_command_line() {
    let warned = parse([], [variable("ETCD_BACKEND_BATCH_LIMIT", "9"), variable("ETCD_NOTHING", "9")]).unwrap();
    assert_eq!(warned.warnings.len(), 2);
    let refused = parse([], [variable("ETCD_DISCOVERY_CERT", "/server.crt")]).unwrap_err().to_string();
    assert!(refused.contains("ETCD_DISCOVERY_CERT"), "{refused}");
}

#[test]
fn an_empty_variable_counts_as_unset() {
    assert_eq!(parse([], [variable("ETCD_NAME", "")]).unwrap().config.name, "default");
}

#[test]
fn a_zero_quota_is_the_default_and_a_negative_one_is_off() {
    let quota = |line| read(line).unwrap().config.quota_bytes;
    assert_eq!(quota("--quota-backend-bytes=0"), Some(2 << 30));
    assert_eq!(quota("--quota-backend-bytes=-1"), None);
    assert_eq!(quota("--quota-backend-bytes -1"), None);
    assert_eq!(quota("--quota-backend-bytes 8589934592"), Some(8 << 30));
}

#[test]
fn flags_that_tune_etcd_are_warned_about_and_take_their_values_along() {
    let line = "--feature-gates A=true --snapshot-count 5 --pre-vote --initial-election-tick-advance=false \
                --experimental-foo --experimental-bar baz --name a --metrics basic";
    let Parsed { config, warnings } = read(line).unwrap();
    assert_eq!(config.name, "a");
    assert_eq!(warnings.len(), 7, "{warnings:?}");
}

#[test]
fn a_flag_that_was_experimental_in_etcd_3_5_sets_what_it_is_called_now() {
    let interval = |parsed: Parsed| (parsed.config.watch_progress_notify_interval, parsed.warnings.len());
    for line in [
        "--watch-progress-notify-interval=5s",
        "--experimental-watch-progress-notify-interval=5s",
        "--experimental-watch-progress-notify-interval 5s",
    ] {
        assert_eq!(interval(read(line).unwrap()), (Duration::from_secs(5), 0), "{line}");
    }
    let environment = || [variable("ETCD_EXPERIMENTAL_WATCH_PROGRESS_NOTIFY_INTERVAL", "5s")];
    assert_eq!(interval(parse(words(""), environment()).unwrap()), (Duration::from_secs(5), 0));
    let line = words("--watch-progress-notify-interval=7s");
    assert_eq!(interval(parse(line, environment()).unwrap()), (Duration::from_secs(7), 0));
}

#[test]
fn what_this_version_does_not_do_is_refused_by_name() {
    for flag in ["discovery-srv=a", "enable-v2", "listen-client-http-urls=http://a:1"] {
        let error = read(&format!("--{flag}")).unwrap_err();
        let name = flag.split('=').next().unwrap();
        assert!(matches!(&error, FlagsError::Refused(line) if line.contains(name)), "{flag}: {error:?}");
    }
    assert!(read("--discovery-srv= --enable-v2=false").is_ok());
}

#[test]
fn tls_for_clients_is_set_as_in_etcd() {
    let line = "--cert-file=/c --key-file /k --trusted-ca-file=/ca --client-cert-auth --client-crl-file=/r \
                --client-cert-allowed-hostname=a,b --tls-min-version=TLS1.2 --tls-max-version=TLS1.3 \
                --cipher-suites=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 --listen-client-urls https://localhost:2379";
    let Parsed { config, warnings } = read(line).unwrap();
    let tls = &config.client_tls;
    assert_eq!(
        [&tls.cert_file, &tls.key_file, &tls.trusted_ca_file, &tls.crl_file],
        ["/c", "/k", "/ca", "/r"].map(|file| Some(file.into())).each_ref()
    );
    assert!(tls.client_cert_auth && tls.allowed_hostnames == ["a", "b"]);
    assert_eq!(tls.algorithms.max_version, Some(TlsVersion::Tls13));
    assert_eq!(tls.algorithms, config.peer_tls.algorithms, "what is spoken goes for all");
    assert!(warnings.is_empty(), "{warnings:?}");
    let auto = parse(words("--listen-client-urls=https://localhost:1"), [variable("ETCD_AUTO_TLS", "true")]).unwrap();
    assert!(auto.config.client_tls.auto);
}

#[test]
fn tls_between_members_is_set_as_in_etcd() {
    let line = "--peer-cert-file=/c --peer-key-file /k --peer-trusted-ca-file=/ca --peer-client-cert-auth \
                --peer-cert-allowed-cn=a,b --peer-client-cert-file= --listen-peer-urls https://localhost:2380";
    let environment =
        [variable("ETCD_PEER_SKIP_CLIENT_SAN_VERIFICATION", "true"), variable("ETCD_PEER_CRL_FILE", "/r")];
    let Parsed { config, warnings } = parse(words(line), environment).unwrap();
    let tls = config.peer_tls;
    assert_eq!(
        [&tls.cert_file, &tls.key_file, &tls.crl_file],
        ["/c", "/k", "/r"].map(|file| Some(file.into())).each_ref()
    );
    assert!(tls.client_cert_auth && tls.skip_client_san_verification && tls.client_cert_file.is_none());
    assert_eq!(tls.allowed_cns, ["a", "b"]);
    assert!(warnings.is_empty(), "{warnings:?}");
    let auto = read("--peer-auto-tls --self-signed-cert-validity=3").unwrap().config;
    assert!(auto.peer_tls.auto && auto.self_signed_cert_validity == 3);
}

#[test]
fn an_unknown_flag_is_an_error_with_a_hint() {
    let error = usage("--data-dri /tmp");
    assert_eq!(error.kind(), ErrorKind::UnknownArgument);
    assert!(error.to_string().contains("--data-dir"), "{error}");
}

#[test]
fn a_bad_value_is_an_error_that_names_the_flag() {
    for line in ["--listen-client-urls localhost:2379", "--grpc-keepalive-interval 5", "--log-level loud"] {
        let error = usage(line).to_string();
        assert!(error.contains(line.split(' ').next().unwrap()), "{error}");
    }
}

#[test]
fn the_settings_are_validated() {
    let error = read("--heartbeat-interval 500").unwrap_err();
    assert!(matches!(error, FlagsError::Config(ConfigError::ElectionTooShort { .. })), "{error:?}");
    let error = read("--initial-cluster default=http://localhost:2380,b=http://localhost:2380").unwrap_err();
    assert!(matches!(error, FlagsError::Config(ConfigError::SharedPeerUrl { .. })), "{error:?}");
}

#[test]
fn the_version_names_the_product_and_etcds() {
    let error = usage("--version");
    let (own, etcd) = (env!("CARGO_PKG_VERSION"), crate::api::version::ETCD_VERSION);
    let expected = format!("registry-server {own}\netcd Version: {etcd}\n");
    assert_eq!(error.to_string(), expected);
}

#[test]
fn the_help_is_grouped_and_has_examples() {
    let help = usage("--help").to_string();
    for part in
        ["Member:", "Cluster:", "TLS for clients:", "TLS between members:", "Limits:", "Log:", "Examples:", "ETCD_NAME"]
    {
        assert!(help.contains(part), "{part} is missing in {help}");
    }
}

#[test]
fn what_is_slow_and_where_figures_are_served_can_be_said() {
    let line = "--warning-apply-duration 1s --warning-unary-request-duration=5ms \
                --listen-metrics-urls=http://127.0.0.1:1,http://127.0.0.1:2";
    let config = read(line).unwrap().config;
    assert_eq!(config.warning_apply_duration, Duration::from_secs(1));
    assert_eq!(config.warning_unary_request_duration, Duration::from_millis(5));
    assert_eq!(config.listen_metrics_urls.len(), 2);
    assert!(read("--listen-metrics-urls=").unwrap().config.listen_metrics_urls.is_empty());
}

/// The flags of etcd 3.7.1 that take a value.
#[rustfmt::skip]
const ETCD_VALUES: &[&str] = &[
    "advertise-client-urls", "auth-token", "auth-token-ttl", "auto-compaction-mode", "auto-compaction-retention",
    "backend-batch-interval", "backend-batch-limit", "backend-bbolt-freelist-type", "bcrypt-cost",
    "bootstrap-defrag-threshold-megabytes", "cert-file", "cipher-suites", "client-cert-allowed-hostname",
    "client-cert-file", "client-crl-file", "client-key-file", "compact-hash-check-time", "compaction-batch-limit",
    "compaction-sleep-interval", "config-file", "corrupt-check-time", "cors", "data-dir", "discovery-cacert",
    "discovery-cert", "discovery-dial-timeout", "discovery-endpoints", "discovery-fallback",
    "discovery-keepalive-time", "discovery-keepalive-timeout", "discovery-key", "discovery-password",
    "discovery-request-timeout", "discovery-srv", "discovery-srv-name", "discovery-token", "discovery-user",
    "distributed-tracing-address", "distributed-tracing-instance-id", "distributed-tracing-sampling-rate",
    "distributed-tracing-service-name", "downgrade-check-time", "election-timeout", "feature-gates",
    "grpc-keepalive-interval", "grpc-keepalive-min-time", "grpc-keepalive-timeout", "heartbeat-interval",
    "host-whitelist", "initial-advertise-peer-urls", "initial-cluster", "initial-cluster-state",
    "initial-cluster-token", "key-file", "listen-client-http-urls", "listen-client-urls", "listen-metrics-urls",
    "listen-peer-urls", "log-format", "log-level", "log-outputs", "log-rotation-config-json", "logger",
    "max-concurrent-streams", "max-learners", "max-request-bytes", "max-txn-ops", "max-wals", "metrics", "name",
    "peer-cert-allowed-cn", "peer-cert-allowed-hostname", "peer-cert-file", "peer-client-cert-file",
    "peer-client-key-file", "peer-crl-file", "peer-key-file", "peer-trusted-ca-file", "quota-backend-bytes",
    "raft-read-timeout", "raft-write-timeout", "self-signed-cert-validity", "snapshot-catchup-entries",
    "snapshot-count", "tls-max-version", "tls-min-version", "trusted-ca-file", "wal-dir", "warning-apply-duration",
    "warning-unary-request-duration", "watch-progress-notify-interval",
];

/// Its flags that are true or false, and may stand without a value; with those that it ignores.
#[rustfmt::skip]
const ETCD_BOOLEANS: &[&str] = &[
    "auto-tls", "client-cert-auth", "discovery-insecure-skip-tls-verify", "discovery-insecure-transport",
    "enable-distributed-tracing", "enable-grpc-gateway", "enable-log-rotation", "enable-pprof", "force-new-cluster",
    "initial-election-tick-advance", "memory-mlock", "peer-auto-tls", "peer-client-cert-auth",
    "peer-skip-client-san-verification", "pre-vote", "socket-reuse-address", "socket-reuse-port",
    "strict-reconfig-check", "unsafe-no-fsync", "cluster-active-size", "cluster-remove-delay",
    "cluster-sync-interval", "config", "force", "max-result-buffer", "max-retry-attempts", "peer-heartbeat-interval",
    "peer-election-timeout", "retry-interval", "snapshot", "v", "vv",
];

#[test]
fn every_flag_of_etcd_is_known_and_takes_a_value_as_there() {
    let command = command();
    for (names, is_boolean) in [(ETCD_VALUES, false), (ETCD_BOOLEANS, true)] {
        for name in names {
            let own = command.get_arguments().find(|argument| argument.get_long() == Some(name));
            let found = match (own, foreign_flags::find(name)) {
                (Some(own), None) => own.is_require_equals_set(),
                (None, Some(foreign)) => foreign.is_boolean,
                (own, foreign) => panic!("--{name} is known as {own:?} and as {foreign:?}"),
            };
            assert_eq!(found, is_boolean, "--{name}");
        }
    }
}

#[test]
fn flags_that_have_no_effect_are_told_and_nothing_else() {
    for name in ETCD_BOOLEANS {
        let Ok(Parsed { warnings, .. }) = read(&format!("--{name}=false")) else { panic!("--{name}=false is refused") };
        assert!(warnings.iter().all(|line| line.contains(name)), "--{name}: {warnings:?}");
    }
}

#[test]
fn traces_go_where_the_flags_say_by_the_names_of_today_and_of_3_5() {
    let traces = |line: &str| read(line).map(|parsed| (parsed.config.traces, parsed.warnings));
    assert_eq!(traces("--distributed-tracing-sampling-rate=-1").unwrap(), (None, vec![]), "nothing is traced");
    assert_eq!(traces("--enable-distributed-tracing").unwrap(), (Some(TraceSettings::default()), vec![]));
    for prefix in ["", "experimental-"] {
        let flags = ["address=c:1", "service-name=s", "instance-id=i", "sampling-rate=7"];
        let flags = flags.map(|flag| format!("--{prefix}distributed-tracing-{flag}")).join(" ");
        let (settings, warnings) = traces(&format!("--{prefix}enable-distributed-tracing {flags}")).unwrap();
        let expected = TraceSettings {
            address: "c:1".to_owned(),
            service_name: "s".to_owned(),
            instance_id: Some("i".to_owned()),
            sampling_per_million: 7,
        };
        assert_eq!((settings, warnings), (Some(expected), vec![]), "{prefix}");
    }
    let refused = traces("--enable-distributed-tracing --distributed-tracing-sampling-rate=-1").unwrap_err();
    assert!(refused.to_string().contains("tracing sampling rate must be positive"), "{refused}");
}

#[test]
fn the_log_goes_where_the_flags_say() {
    let log = |line| read(line).map(|parsed| (parsed.config.log_outputs, parsed.config.log_rotation));
    let (stderr, stdout, file) = (LogOutput::Stderr, LogOutput::Stdout, LogOutput::File("/a.log".into()));
    for line in ["", "--log-outputs=default", "--log-outputs=systemd/journal", "--log-outputs=stderr,stderr"] {
        assert_eq!(log(line).unwrap(), (vec![stderr.clone()], None), "{line}");
    }
    assert_eq!(log("--log-outputs=stdout,/a.log,stderr").unwrap().0, [stdout, file.clone(), stderr]);
    let rotating =
        "--log-outputs=/a.log --enable-log-rotation --log-rotation-config-json={\"maxsize\":1,\"maxbackups\":2}";
    let (outputs, rotation) = log(rotating).unwrap();
    let rotation = rotation.unwrap();
    assert_eq!((outputs, rotation.max_bytes, rotation.max_backups), (vec![file], 1 << 20, 2));
    for line in ["--enable-log-rotation", "--enable-log-rotation --log-outputs=/a,/b"] {
        assert!(matches!(read(line), Err(FlagsError::Config(ConfigError::RotatesNothing))), "{line}");
    }
    assert!(usage("--log-outputs=default,stderr").to_string().contains("default stands alone"));
    assert!(usage("--log-rotation-config-json={\"compress\":true}").to_string().contains("compress is not supported"));
    for level in ["debug", "info", "warn", "error", "panic", "fatal"] {
        read(&format!("--log-level={level}")).unwrap();
    }
}
