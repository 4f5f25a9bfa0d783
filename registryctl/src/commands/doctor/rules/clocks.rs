//! Whether the clocks of the members, and of this machine, agree.
//!
//! Servers tell their clock in whole seconds (the `Date` of an answer), so each is known to a second and the time that the
//! answer took. Two clocks are told apart when even the nearest moments that they can show are a second apart. So a server that
//! is off by two seconds and what its answer took is found, one that is off by less than one never.

use super::super::facts::{Clock, Facts};
use super::super::finding::Finding;

/// What two clocks must be apart for certain, in seconds.
const APART: f64 = 1.0;
/// From here on tokens and certificates are judged wrongly, in seconds.
const FAR_APART: f64 = 60.0;

const HERE: &str = "this machine";

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    // This machine first: of two clocks that differ nobody knows which is wrong, and the other one is named.
    let mut clocks = vec![(HERE, Clock { least: 0.0, most: 0.0 })];
    let told = facts.looks.iter().filter(|look| look.answers());
    clocks.extend(told.filter_map(|look| Some((look.endpoint.as_str(), look.clock?))));
    let companions = |(_, one): &(&str, Clock)| clocks.iter().filter(|(_, other)| gap(*one, *other) < APART).count();
    // The first of those with whom most agree.
    let Some((right, reference)) = clocks.iter().rev().max_by_key(|clock| companions(clock)).copied() else {
        return Vec::new();
    };
    let wrong = clocks.iter().filter(|(_, clock)| gap(*clock, reference) >= APART);
    let findings: Vec<_> = wrong.map(|(name, clock)| off(name, middle(*clock) - middle(reference), right)).collect();
    if findings.is_empty() && clocks.len() > 1 {
        let told = "all servers and this machine agree, as far as whole seconds tell".to_owned();
        return vec![Finding::ok("clock", "cluster", told)];
    }
    findings
}

/// What they are apart for certain; negative if they may agree.
fn gap(one: Clock, other: Clock) -> f64 {
    (one.least - other.most).max(other.least - one.most)
}

fn middle(clock: Clock) -> f64 {
    f64::midpoint(clock.least, clock.most)
}

fn off(name: &str, seconds: f64, right: &str) -> Finding {
    let direction = if seconds > 0.0 { "ahead of" } else { "behind" };
    let told = format!(
        "its clock is about {:.0} s {direction} that of {right}: tokens and certificates are judged wrongly there, and log \
         lines do not compare (leases are not concerned)",
        seconds.abs()
    );
    let finding = if seconds.abs() >= FAR_APART { Finding::error } else { Finding::warning };
    finding("clock", name, told)
        .mend("have both set their clocks by NTP: `chronyc tracking`, `timedatectl set-ntp true`")
}

#[cfg(test)]
mod tests {
    use super::super::super::finding::Severity;
    use super::super::testing::{facts, look};
    use super::*;

    fn judged(offsets: &[f64]) -> Vec<(Severity, String)> {
        let clocked = |(at, offset): (usize, &f64)| {
            let mut look = look(&format!("s{at}"), at as u64 + 1);
            look.clock = Some(Clock { least: offset - 0.5, most: offset + 0.55 });
            look
        };
        let found = judge(&facts(offsets.iter().enumerate().map(clocked).collect()));
        found.into_iter().map(|found| (found.severity, found.subject)).collect()
    }

    #[test]
    fn the_one_that_differs_from_most_is_wrong() {
        assert_eq!(judged(&[0.0, 0.5, -0.4]), [(Severity::Ok, "cluster".to_owned())]);
        assert_eq!(judged(&[0.0, 2.1, 0.0]), [(Severity::Warning, "s1".to_owned())]);
        assert_eq!(judged(&[-3.0]), [(Severity::Warning, "s0".to_owned())]);
        assert_eq!(judged(&[100.0, 100.2, 99.9]), [(Severity::Error, HERE.to_owned())]);
    }

    #[test]
    fn less_than_a_second_is_never_told() {
        assert_eq!(judged(&[0.9, -0.9])[0].0, Severity::Ok);
        assert!(judged(&[]).is_empty());
    }
}
