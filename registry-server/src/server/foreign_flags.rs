//! etcd's flags that this server does not act on, and why each is let through or refused.
//!
//! A flag that only tunes etcd's own machinery is accepted with a warning, so that a unit file written
//! for etcd starts this server too. A flag that promises something (encryption above all) which would
//! then silently not be there is refused, unless its value asks for nothing.

/// What becomes of a flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Any value is accepted with a warning.
    Tunes,
    /// These values, and an empty one, ask for what happens anyway; any other is refused.
    Only(&'static [&'static str]),
}

/// A flag of etcd's without a counterpart in `Config`.
#[derive(Debug)]
pub(super) struct ForeignFlag {
    name: &'static str,
    /// Go's booleans never take the next word as their value.
    pub(super) is_boolean: bool,
    fate: Fate,
}

const OFF: Fate = Fate::Only(&["false"]);
const EMPTY: Fate = Fate::Only(&[]);

const fn value(name: &'static str, fate: Fate) -> ForeignFlag {
    ForeignFlag { name, is_boolean: false, fate }
}

const fn boolean(name: &'static str, fate: Fate) -> ForeignFlag {
    ForeignFlag { name, is_boolean: true, fate }
}

#[rustfmt::skip]
const FLAGS: &[ForeignFlag] = &[
    // The Raft log and the store are kept another way.
    value("snapshot-count", Fate::Tunes), value("snapshot-catchup-entries", Fate::Tunes),
    value("max-snapshots", Fate::Tunes), value("max-wals", Fate::Tunes),
    value("backend-bbolt-freelist-type", Fate::Tunes), value("backend-batch-interval", Fate::Tunes),
    value("backend-batch-limit", Fate::Tunes), value("bootstrap-defrag-threshold-megabytes", Fate::Tunes),
    value("compaction-batch-limit", Fate::Tunes), value("compaction-sleep-interval", Fate::Tunes),
    // Raft and peers.
    boolean("initial-election-tick-advance", Fate::Tunes), boolean("pre-vote", Fate::Tunes),
    boolean("strict-reconfig-check", Fate::Tunes),
    value("raft-read-timeout", Fate::Tunes), value("raft-write-timeout", Fate::Tunes),
    value("compact-hash-check-time", Fate::Tunes), value("downgrade-check-time", Fate::Tunes),
    // Sockets, old API.
    boolean("socket-reuse-port", Fate::Tunes), boolean("socket-reuse-address", Fate::Tunes),
    boolean("client-skip-client-san-verification", Fate::Tunes),
    boolean("enable-v2", OFF), value("listen-client-http-urls", EMPTY),
    // Logs, metrics.
    value("logger", Fate::Only(&["zap"])),
    value("metrics", Fate::Tunes), boolean("enable-pprof", Fate::Tunes),
    // Others.
    value("feature-gates", Fate::Tunes), boolean("memory-mlock", Fate::Tunes),
    // Discovery.
    value("discovery-token", EMPTY), value("discovery-endpoints", EMPTY), value("discovery-srv", EMPTY),
    value("discovery-srv-name", EMPTY), value("discovery-fallback", Fate::Tunes),
    value("discovery-dial-timeout", Fate::Tunes), value("discovery-request-timeout", Fate::Tunes),
    value("discovery-keepalive-time", Fate::Tunes), value("discovery-keepalive-timeout", Fate::Tunes),
    boolean("discovery-insecure-transport", Fate::Tunes), boolean("discovery-insecure-skip-tls-verify", OFF),
    value("discovery-cert", EMPTY), value("discovery-key", EMPTY), value("discovery-cacert", EMPTY),
    value("discovery-user", EMPTY), value("discovery-password", EMPTY),
    // What etcd itself ignores.
    boolean("cluster-active-size", Fate::Tunes),
    boolean("cluster-remove-delay", Fate::Tunes),
    boolean("cluster-sync-interval", Fate::Tunes),
    boolean("config", Fate::Tunes),
    boolean("force", Fate::Tunes),
    boolean("max-result-buffer", Fate::Tunes),
    boolean("max-retry-attempts", Fate::Tunes),
    boolean("peer-heartbeat-interval", Fate::Tunes),
    boolean("peer-election-timeout", Fate::Tunes),
    boolean("retry-interval", Fate::Tunes),
    boolean("snapshot", Fate::Tunes),
    boolean("v", Fate::Tunes),
    boolean("vv", Fate::Tunes),
];

/// The flag with this name (without dashes), if etcd has it and `Config` does not.
pub(super) fn find(name: &str) -> Option<&'static ForeignFlag> {
    FLAGS.iter().find(|flag| flag.name == name)
}

impl ForeignFlag {
    /// What to tell about the flag with this value: a warning, or the line that refuses it.
    pub(super) fn judge(&self, value: &str) -> Result<String, String> {
        let name = self.name;
        match self.fate {
            Fate::Tunes => Ok(format!("--{name} has no effect here")),
            Fate::Only(values) if value.is_empty() || values.contains(&value) => {
                Ok(format!("--{name}={value} has no effect here: it asks for what happens anyway"))
            }
            // The value stays out of the line: it may be a password.
            Fate::Only([]) => Err(format!("--{name} is not supported yet; leave it out")),
            Fate::Only(values) => Err(format!(
                "--{name} is not supported yet with this value; leave it out or say {}",
                values.join(" or ")
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_flag_stands_once() {
        let mut names: Vec<_> = FLAGS.iter().map(|flag| flag.name).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
    }

    #[test]
    fn what_promises_something_is_refused_and_what_tunes_is_not() {
        let judge = |name, value| find(name).unwrap().judge(value);
        assert!(judge("discovery-cert", "/etc/server.crt").is_err());
        assert!(judge("discovery-cert", "").is_ok());
        assert!(judge("pre-vote", "false").is_ok());
        assert!(judge("backend-batch-limit", "77").is_ok());
    }

    #[test]
    fn a_refusal_does_not_repeat_a_secret() {
        let line = find("discovery-password").unwrap().judge("hunter2").unwrap_err();
        assert!(!line.contains("hunter2"), "{line}");
    }
}
