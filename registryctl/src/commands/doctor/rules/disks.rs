//! How long the disks take, as servers count it themselves.

use std::time::Duration;

use super::super::facts::{Facts, Figured, Look};
use super::super::finding::{Finding, Severity};
use crate::http::figures::Histogram;

/// Of a hundred, what all but one do not exceed; etcd's guide names these two bounds.
const SHARE: f64 = 0.99;
const SLOW_SYNC: Duration = Duration::from_millis(10);
const SLOW_COMMIT: Duration = Duration::from_millis(25);
/// Half an election timeout: from here on leaders are lost to it.
const FATAL: Duration = Duration::from_millis(500);
/// Of fewer nothing is said: one that was interrupted would decide.
const ENOUGH: u64 = 100;

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    facts.of_the_cluster().map(|(look, _)| one(look)).collect()
}

fn one(look: &Look) -> Finding {
    let figured = match &look.figures {
        Ok(figured) => figured,
        Err(why) => {
            let told = format!("its metrics are not told ({why}), and the disk's times with them");
            return Finding::note("disk", &look.endpoint, told)
                .mend("look at /metrics where --listen-metrics-urls of the server says");
        }
    };
    let Figured { sync, commit, window, .. } = figured;
    let over = window.map_or("since its start".to_owned(), |window| format!("within {window:?}"));
    let verdicts = [
        timed("syncs of its log", sync.as_ref(), SLOW_SYNC, &over),
        timed("commits of its database", commit.as_ref(), SLOW_COMMIT, &over),
    ];
    let Some(severity) = verdicts.iter().flatten().map(|(severity, _)| *severity).min() else {
        return Finding::note("disk", &look.endpoint, "its metrics do not tell how long the disk takes".to_owned());
    };
    let told: Vec<_> = verdicts.into_iter().flatten().map(|(_, told)| told).collect();
    let finding = Finding::new(severity, "disk", &look.endpoint, told.join("; "));
    if severity == Severity::Ok {
        return finding;
    }
    finding.mend(
        "put the log on a faster disk, of its own (--wal-dir DIR), and see what else writes there (`iostat -x 1`); \
         `registryctl doctor --window 10s` tells how it is now",
    )
}

fn timed(what: &str, histogram: Option<&Histogram>, slow: Duration, over: &str) -> Option<(Severity, String)> {
    let histogram = histogram?;
    let count = histogram.count();
    let Some(bound) = histogram.bound_of(SHARE).filter(|_| count >= ENOUGH) else {
        return Some((Severity::Ok, format!("{count} {what} {over} are too few to judge")));
    };
    let severity = match bound {
        bound if bound > FATAL.as_secs_f64() * 1.05 => Severity::Error,
        // Bounds are powers of two of a millisecond: 8 ms is the last one that is well for syncs, 16 ms for commits.
        bound if bound > slow.as_secs_f64() => Severity::Warning,
        _ => Severity::Ok,
    };
    let bound = if bound.is_finite() {
        format!("at most {:.0?}", Duration::from_secs_f64(bound))
    } else {
        "beyond all bounds".to_owned()
    };
    let told = format!("99 of 100 {what} {over} took {bound} (of {count})");
    let told = if severity == Severity::Ok { told } else { format!("{told}, and should take at most {slow:?}") };
    Some((severity, told))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{facts, look};
    use super::*;
    use crate::http::figures::Figures;

    fn judged(buckets: &str, count: u64) -> Finding {
        let text = format!("{buckets}\nd_bucket{{le=\"+Inf\"}} {count}\nd_count {count}\n");
        let mut look = look("a:1", 1);
        look.figures = Ok(Figured { sync: Figures::read(&text).histogram("d"), ..Figured::default() });
        judge(&facts(vec![look])).remove(0)
    }

    #[test]
    fn the_99th_of_a_hundred_decides() {
        let quick = judged("d_bucket{le=\"0.008\"} 990\nd_bucket{le=\"0.016\"} 1000", 1_000);
        assert_eq!(quick.severity, Severity::Ok, "{quick:?}");
        let slow = judged("d_bucket{le=\"0.008\"} 989\nd_bucket{le=\"0.016\"} 1000", 1_000);
        assert!(slow.severity == Severity::Warning && slow.told.contains("16ms"), "{slow:?}");
        assert!(slow.mend.contains("--wal-dir"), "{slow:?}");
        let dead = judged("d_bucket{le=\"0.512\"} 10", 1_000);
        assert!(dead.severity == Severity::Error && dead.told.contains("beyond all"), "{dead:?}");
    }

    #[test]
    fn few_syncs_and_no_metrics_are_no_reproach() {
        assert!(judged("d_bucket{le=\"0.5\"} 99", 99).told.contains("too few"));
        let mut look = look("a:1", 1);
        look.figures = Err("HTTP status 404".to_owned());
        assert_eq!(judge(&facts(vec![look])).remove(0).severity, Severity::Note);
    }
}
