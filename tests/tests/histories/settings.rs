//! What a run is like: what the environment says, and the load, the cluster and the limits that follow.

use std::time::Duration;

use registry_checkers::Limits;
use registry_load::Settings;
use registry_tests::{Plan, Program, is_inside};

/// The registry's program.
const NODE: &str = env!("CARGO_BIN_EXE_node");

/// Unless `HISTORY_SECONDS` says otherwise.
const SECONDS: u64 = 30;

/// A TTL is at most so long, in seconds.
const LONGEST_TTL: i64 = 5;

/// A server records what remains of a lease after half its TTL.
const CHECKPOINT: Duration = Duration::from_secs(LONGEST_TTL as u64).checked_div(2).expect("it is not zero");

/// A member waits for a leader for one to two of its election timeouts of 1 s.
const ELECTION: Duration = Duration::from_secs(2);

/// For threads that have to wait for their turn.
const SLACK: Duration = Duration::from_secs(3);

/// One run.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) seed: u64,
    /// How long faults go on.
    pub(crate) length: Duration,
    /// Whether paths are cut by proxies, even where the kernel could.
    pub(crate) has_proxies: bool,
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect("it is a number"))
}

impl Run {
    pub(crate) fn of_environment() -> Self {
        Self {
            seed: setting("HISTORY_SEED").unwrap_or_else(|| fastrand::u64(..)),
            length: Duration::from_secs(setting("HISTORY_SECONDS").unwrap_or(SECONDS)),
            has_proxies: setting("HISTORY_PROXIES") == Some(1),
        }
    }

    /// What repeats it, but for the machine's timing.
    pub(crate) fn command(&self) -> String {
        let (seed, seconds, proxies) = (self.seed, self.length.as_secs(), u8::from(self.has_proxies));
        format!(
            "HISTORY_SEED={seed} HISTORY_SECONDS={seconds} HISTORY_PROXIES={proxies} cargo test -p registry-tests --test \
             histories -- --nocapture"
        )
    }

    /// Three members, whose paths can be cut.
    pub(crate) fn plan(&self) -> Plan {
        let plan = Plan::new(Program::Registry(NODE.into()), 3);
        if is_inside() { plan.with_namespaces() } else { plan.with_proxies() }
    }

    /// Many more watches than the simulation has, and as many calls as two busy cores can take without optimization.
    pub(crate) fn load(&self) -> Settings {
        Settings {
            seed: self.seed,
            clients: 64,
            calls: u64::MAX,
            limit: self.length,
            keys: 8,
            think_ms: 0..=80,
            timeout_ms: 300..=2_000,
            ttl_seconds: 2..=LONGEST_TTL,
            watches: 32,
            watch_ms: 1_000..=15_000,
            contenders: 3,
            locks: u64::MAX,
            latecomers: 2,
            late_renewals: u64::MAX,
            registrars: 2,
            registrations: u64::MAX,
            held_ms: 300..=4_000,
            large_bytes: 450_000,
            large_pause_ms: self.large_pause_ms(),
            ..Settings::default()
        }
    }

    /// About as many rounds of large values however long the run is, as all of them are kept until it is judged.
    fn large_pause_ms(&self) -> std::ops::RangeInclusive<u64> {
        let pause = (self.length.as_millis() as u64 / 30).max(3_000);
        pause / 2..=pause * 3 / 2
    }

    /// Clients and servers have one clock, so nothing is early by any measure. Once all is healed, what a leader knows
    /// of a renewal may be lost to the next one, which goes by the last checkpoint; the healing itself may cost a
    /// leader, and one may have been lost just before.
    pub(crate) fn limits(&self) -> Limits {
        Limits { early: Duration::ZERO, late: CHECKPOINT + 2 * ELECTION + SLACK, ..Limits::default() }
    }
}
