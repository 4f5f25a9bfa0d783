//! How much of its quota each member holds.

use registry_proto::etcdserverpb::StatusResponse;

use super::super::facts::{Facts, Look};
use super::super::finding::Finding;
use super::human;

/// From these shares of the quota on.
const WARNED: f64 = 0.8;
const FULL: f64 = 0.95;

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    facts.of_the_cluster().map(|(look, status)| one(facts, look, status)).collect()
}

fn one(facts: &Facts, look: &Look, status: &StatusResponse) -> Finding {
    let bytes = |number: i64| u64::try_from(number).unwrap_or(0);
    let (held, used) = (bytes(status.db_size), bytes(status.db_size_in_use));
    // etcd tells the quota here from 3.6 on; before, in its metrics.
    let told = Some(bytes(status.db_size_quota)).filter(|quota| *quota > 0);
    let figured = || look.figures.as_ref().ok().and_then(|figures| figures.quota_bytes);
    let Some(quota) = told.or_else(figured) else {
        let told = format!("{} are held, and no quota is told", human(held));
        return Finding::note("space", &look.endpoint, told);
    };
    let share = held as f64 / quota as f64;
    let told = format!("{} of {} are held ({:.0} %), {} in use", human(held), human(quota), share * 100.0, human(used));
    if share < WARNED {
        return Finding::ok("space", &look.endpoint, told);
    }
    let revision = status.header.as_ref().map_or(0, |header| header.revision);
    let (compact, defrag) =
        (facts.command(&format!("compaction {revision} --physical")), facts.command("defrag --cluster"));
    let mend = if used.saturating_mul(2) < held {
        format!("give back what is not in use: {defrag}")
    } else {
        format!(
            "forget old history: {compact}, then {defrag}; keep less of it, --auto-compaction-retention; or raise --quota-backend-bytes"
        )
    };
    let finding = if share >= FULL { Finding::error } else { Finding::warning };
    finding("space", &look.endpoint, format!("{told}: at the quota writes are refused")).mend(mend)
}

#[cfg(test)]
mod tests {
    use super::super::super::facts::Figured;
    use super::super::super::finding::Severity;
    use super::super::testing::{facts, look};
    use super::*;

    #[test]
    fn shares_of_the_quota_are_judged_wherever_it_is_told() {
        let at = |held, in_use, in_status: bool| {
            let mut look = look("a:1", 1);
            let status = look.status.as_mut().unwrap();
            (status.db_size, status.db_size_in_use) = (held, in_use);
            if in_status {
                status.db_size_quota = 1_000;
            } else {
                look.figures = Ok(Figured { quota_bytes: Some(1_000), ..Figured::default() });
            }
            judge(&facts(vec![look])).remove(0)
        };
        assert_eq!(at(799, 700, true).severity, Severity::Ok);
        assert_eq!(at(800, 700, false).severity, Severity::Warning);
        let full = at(950, 900, false);
        assert!(full.severity == Severity::Error && full.mend.contains("compaction 100"), "{full:?}");
        let garbage = at(950, 100, true);
        assert!(garbage.mend.contains("defrag") && !garbage.mend.contains("compaction"), "{garbage:?}");
    }
}
