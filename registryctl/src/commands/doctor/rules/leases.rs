//! Leases that hold no key: somebody granted them and forgot them, over and over as a rule.

use super::super::facts::{Facts, Leases};
use super::super::finding::Finding;

/// So many are named.
const NAMED: usize = 5;

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let Some(cluster) = &facts.cluster else { return Vec::new() };
    match &cluster.leases {
        Ok(leases) => vec![one(facts, leases)],
        Err(refusal) if refusal.is_forbidden => {
            let told = format!("the user may not see leases ({})", refusal.text);
            vec![Finding::note("lease", "cluster", told).mend("log in as a user with the role root: --user root")]
        }
        Err(refusal) => vec![Finding::warning("lease", "cluster", format!("leases are not told ({})", refusal.text))],
    }
}

fn one(facts: &Facts, leases: &Leases) -> Finding {
    let Leases { total, looked_at, orphans } = leases;
    let seen = if looked_at < total {
        format!("of {looked_at} that were looked at ({total} in all, no time for more)")
    } else {
        format!("of {total}")
    };
    if *total == 0 {
        return Finding::ok("lease", "cluster", "there is none".to_owned());
    }
    let Some(first) = orphans.first() else {
        return Finding::ok("lease", "cluster", format!("{seen}, each holds a key"));
    };
    let named = orphans.iter().take(NAMED).map(|id| format!("{id:016x}")).collect::<Vec<_>>().join(", ");
    let more = if orphans.len() > NAMED { ", ..." } else { "" };
    let told = format!("{seen}, {} hold no key ({named}{more}): programs grant leases and forget them", orphans.len());
    let revoke = facts.command(&format!("lease revoke {first:016x}"));
    let mend = format!(
        "find the program that grants them; each goes with its TTL unless it is kept alive, or at once with {revoke}"
    );
    Finding::warning("lease", "cluster", told).mend(mend)
}

#[cfg(test)]
mod tests {
    use super::super::super::finding::Severity;
    use super::super::testing::{cluster_of, facts, look};
    use super::*;

    #[test]
    fn orphans_are_counted_and_some_of_them_named() {
        let mut facts = facts(vec![look("a:1", 1)]);
        let mut cluster = cluster_of(Vec::new());
        cluster.leases = Ok(Leases { total: 9, looked_at: 8, orphans: vec![1, 2, 3, 4, 5, 6] });
        facts.cluster = Some(cluster);
        let found = judge(&facts).remove(0);
        assert!(found.severity == Severity::Warning && found.told.contains("6 hold no key"), "{found:?}");
        assert!(found.told.contains("0000000000000005, ...") && found.told.contains("no time for more"), "{found:?}");
        assert!(found.mend.contains("lease revoke 0000000000000001"), "{found:?}");
        facts.cluster = Some(cluster_of(Vec::new()));
        assert_eq!(judge(&facts)[0].severity, Severity::Ok);
    }
}
