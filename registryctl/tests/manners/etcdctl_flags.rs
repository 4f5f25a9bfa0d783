//! Every command and flag that etcdctl has is known here. The table is what `COMMAND --help` of etcdctl 3.5.1 says, with
//! `completion` of 3.4 and `downgrade` of 3.6; what works on files of etcd, `defrag --data-dir` and `snapshot status` and
//! `restore`, is looked at where it is tested.

use crate::ctl::ran;

/// Flags of all commands.
const GLOBAL: &[&str] = &[
    "cacert",
    "cert",
    "command-timeout",
    "debug",
    "dial-timeout",
    "endpoints",
    "hex",
    "insecure-skip-tls-verify",
    "insecure-transport",
    "keepalive-time",
    "keepalive-timeout",
    "key",
    "password",
    "user",
    "write-out",
];

/// Commands, and the flags of each.
const COMMANDS: &[(&str, &[&str])] = &[
    ("alarm disarm", &[]),
    ("alarm list", &[]),
    ("auth disable", &[]),
    ("auth enable", &[]),
    ("auth status", &[]),
    ("check datascale", &["auto-compact", "auto-defrag", "load", "prefix"]),
    ("check perf", &["auto-compact", "auto-defrag", "load", "prefix"]),
    ("compaction", &["physical"]),
    ("defrag", &["cluster"]),
    ("del", &["from-key", "prefix", "prev-kv"]),
    ("elect", &["listen"]),
    ("endpoint hashkv", &["rev"]),
    ("endpoint health", &[]),
    ("endpoint status", &[]),
    (
        "get",
        &[
            "consistency",
            "count-only",
            "from-key",
            "keys-only",
            "limit",
            "order",
            "prefix",
            "print-value-only",
            "rev",
            "sort-by",
        ],
    ),
    ("lease grant", &[]),
    ("lease keep-alive", &["once"]),
    ("lease list", &[]),
    ("lease revoke", &[]),
    ("lease timetolive", &["keys"]),
    ("lock", &["ttl"]),
    (
        "make-mirror",
        &[
            "dest-cacert",
            "dest-cert",
            "dest-insecure-transport",
            "dest-key",
            "dest-password",
            "dest-prefix",
            "dest-user",
            "no-dest-prefix",
            "prefix",
        ],
    ),
    ("member add", &["learner", "peer-urls"]),
    ("member list", &[]),
    ("member promote", &[]),
    ("member remove", &[]),
    ("member update", &["peer-urls"]),
    ("move-leader", &[]),
    ("put", &["ignore-lease", "ignore-value", "lease", "prev-kv"]),
    ("role add", &[]),
    ("role delete", &[]),
    ("role get", &[]),
    ("role grant-permission", &["from-key", "prefix"]),
    ("role list", &[]),
    ("role revoke-permission", &["from-key", "prefix"]),
    ("snapshot save", &[]),
    ("txn", &["interactive"]),
    ("user add", &["interactive", "new-user-password", "no-password"]),
    ("user delete", &[]),
    ("user get", &["detail"]),
    ("user grant-role", &[]),
    ("user list", &[]),
    ("user passwd", &["interactive"]),
    ("user revoke-role", &[]),
    ("version", &[]),
    ("watch", &["interactive", "prefix", "prev-kv", "progress-notify", "rev"]),
    ("completion", &[]),
    ("downgrade cancel", &[]),
    ("downgrade enable", &[]),
    ("downgrade validate", &[]),
];

#[tokio::test]
async fn every_command_and_flag_of_etcdctl_is_known() {
    for (command, flags) in COMMANDS {
        let line: Vec<_> = command.split(' ').chain(["--help"]).collect();
        let help = ran(&line).await;
        assert_eq!(help.code, 0, "{command}: {}", help.err);
        for flag in flags.iter().chain(GLOBAL) {
            let has_it = help.out.split([' ', '\n', ',', '[']).any(|word| word == format!("--{flag}"));
            assert!(has_it, "{command} --{flag} is not in its help:\n{}", help.out);
        }
    }
}

/// Scripts write switches with values, as Go's programs take them.
#[tokio::test]
async fn switches_take_values_as_those_of_etcdctl() {
    let unreachable = ["--endpoints", "127.0.0.1:1", "--insecure-transport=true", "--hex=false"];
    for line in [
        &["get", "--prefix=true", "a"][..],
        &["get", "--keys-only=true", "--prefix=false", "a"],
        &["del", "--prev-kv=1", "a"],
    ] {
        let ran = ran(&[&unreachable[..], line].concat()).await;
        assert_eq!(ran.code, 2, "the line is understood, and the server is not there: {ran:?}");
    }
}
