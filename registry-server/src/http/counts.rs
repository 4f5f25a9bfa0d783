//! What the health checks found, under etcd's names.

use std::sync::atomic::{AtomicU8, Ordering};

use super::checks::{CHECKS, Check};
use super::exposition::{Exposition, Kind};
use crate::types::Counter;

/// Not run yet, failed, or passed.
const UNKNOWN: u8 = 0;
const FAILED: u8 = 1;
const PASSED: u8 = 2;

/// The outcomes of one node's checks.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Of `/health`.
    healthy: Counter,
    unhealthy: Counter,
    /// In the order of [`CHECKS`].
    checks: [Outcomes; CHECKS.len()],
}

/// The outcomes of one check under one path.
#[derive(Debug, Default)]
struct Outcomes {
    last: AtomicU8,
    passed: Counter,
    failed: Counter,
}

impl Counts {
    /// `/health` was answered.
    pub(super) fn health(&self, is_well: bool) {
        if is_well { self.healthy.inc() } else { self.unhealthy.inc() }
    }

    /// A check was run for a path.
    pub(super) fn check(&self, root: &'static str, check: Check, has_passed: bool) {
        let Some(at) = CHECKS.iter().position(|known| *known == (root, check)) else { return };
        let outcomes = &self.checks[at];
        outcomes.last.store(if has_passed { PASSED } else { FAILED }, Ordering::Relaxed);
        if has_passed { outcomes.passed.inc() } else { outcomes.failed.inc() }
    }

    /// All of it in Prometheus' format; a check that was not run yet is left out, as in etcd.
    pub(super) fn text(&self) -> String {
        let mut text = Exposition::default();
        text.counter("etcd_server_health_success", "The total number of successful health checks", self.healthy.get());
        text.counter("etcd_server_health_failures", "The total number of failed health checks", self.unhealthy.get());
        let run = || CHECKS.iter().zip(&self.checks).filter(|(_, it)| it.last.load(Ordering::Relaxed) != UNKNOWN);
        let help = "The result of each kind of healthcheck.";
        let mut family = text.family(Kind::Gauge, "etcd_server_healthcheck", help);
        for ((root, check), outcomes) in run() {
            let has_passed = outcomes.last.load(Ordering::Relaxed) == PASSED;
            family.sample(&[("name", check.name()), ("type", root)], u8::from(has_passed));
        }
        let help = "The total number of each kind of healthcheck.";
        let mut family = text.family(Kind::Counter, "etcd_server_healthchecks_total", help);
        for ((root, check), outcomes) in run() {
            for (status, count) in [("error", outcomes.failed.get()), ("success", outcomes.passed.get())] {
                if count > 0 {
                    family.sample(&[("name", check.name()), ("status", status), ("type", root)], count);
                }
            }
        }
        text.finish()
    }
}
