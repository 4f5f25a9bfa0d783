//! From facts to findings. Pure: what is judged was seen before.

mod alarms;
mod certificates;
mod clocks;
mod disks;
mod leaders;
mod leases;
mod members;
mod reach;
mod space;
#[cfg(test)]
mod testing;
mod versions;

use super::facts::Facts;
use super::finding::Finding;

/// All findings, the worst first; of the same severity in the order of the checks.
pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let checks = [
        reach::judge,
        members::judge,
        leaders::judge,
        alarms::judge,
        space::judge,
        disks::judge,
        clocks::judge,
        certificates::judge,
        versions::judge,
        leases::judge,
        members::hashes,
    ];
    let mut findings: Vec<_> = checks.iter().flat_map(|check| check(facts)).collect();
    findings.sort_by_key(|finding| finding.severity);
    findings
}

/// A size for people: powers of 1,024.
fn human(bytes: u64) -> String {
    let mut size = bytes as f64;
    let mut unit = "B";
    for larger in ["KiB", "MiB", "GiB", "TiB"] {
        if size < 1_024.0 {
            break;
        }
        (size, unit) = (size / 1_024.0, larger);
    }
    if unit == "B" { format!("{bytes} B") } else { format!("{size:.1} {unit}") }
}
