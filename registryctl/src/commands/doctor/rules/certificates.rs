//! How long certificates are still valid: what servers presented, and the client's own.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::super::facts::Facts;
use super::super::finding::Finding;
use crate::http::certificate::Lifetime;

const DAY: u64 = 86_400;

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    for look in &facts.looks {
        for (at, lifetime) in look.lifetimes.iter().enumerate() {
            let what = if at == 0 { "the server's certificate" } else { "a certificate of the server's chain" };
            let mend = "issue a new one and put it where --cert-file of the server says: it is used from the next connection on";
            findings.push(one(facts, &look.endpoint, what, *lifetime, mend));
        }
    }
    if let Some((file, lifetime)) = &facts.own_certificate {
        let subject = file.display().to_string();
        findings.push(one(
            facts,
            &subject,
            "the client's certificate",
            *lifetime,
            "issue a new one: --cert FILE --key FILE",
        ));
    }
    findings
}

fn one(facts: &Facts, subject: &str, what: &str, lifetime: Lifetime, mend: &str) -> Finding {
    let now = facts.now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    let Lifetime { begins, ends } = lifetime;
    if now > ends {
        let told = format!("{what} has expired {} ago, on {}", days(now - ends), date(ends));
        return Finding::error("certificate", subject, told).mend(mend);
    }
    if now < begins {
        let told = format!("{what} is valid from {} on, which is in {}", date(begins), days(begins - now));
        return Finding::error("certificate", subject, told)
            .mend(format!("look at this machine's clock (`date`); else {mend}"));
    }
    let told = format!("{what} expires in {}, on {}", days(ends - now), date(ends));
    if ends - now < facts.expires_within.as_secs() {
        return Finding::warning("certificate", subject, told).mend(mend);
    }
    Finding::ok("certificate", subject, told)
}

fn days(seconds: u64) -> String {
    match (seconds / DAY, seconds / 3_600) {
        (0, 0) => format!("{} min", seconds / 60),
        (0, hours) => format!("{hours} h"),
        (1, _) => "1 day".to_owned(),
        (days, _) => format!("{days} days"),
    }
}

/// The end of the year 9999, behind which dates cannot be written.
const LAST_DATE: u64 = 253_402_300_799;

fn date(seconds: u64) -> String {
    let at: SystemTime = UNIX_EPOCH + Duration::from_secs(seconds.min(LAST_DATE));
    humantime::format_rfc3339_seconds(at).to_string()
}

#[cfg(test)]
mod tests {
    use super::super::super::finding::Severity;
    use super::super::testing::{NOW, facts, look};
    use super::*;

    fn judged(begins: u64, ends: u64) -> Finding {
        let mut look = look("a:1", 1);
        look.lifetimes = vec![Lifetime { begins, ends }];
        judge(&facts(vec![look])).remove(0)
    }

    #[test]
    fn a_certificate_is_judged_by_its_dates() {
        let expired = judged(0, NOW - 3 * DAY);
        assert!(expired.severity == Severity::Error && expired.told.contains("expired 3 days ago"), "{expired:?}");
        let early = judged(NOW + 7_200, NOW + 400 * DAY);
        assert!(early.severity == Severity::Error && early.told.contains("in 2 h"), "{early:?}");
        let soon = judged(0, NOW + 29 * DAY);
        assert!(soon.severity == Severity::Warning && soon.told.contains("in 29 days"), "{soon:?}");
        assert_eq!(judged(0, NOW + 31 * DAY).severity, Severity::Ok);
        assert_eq!(judged(0, u64::MAX).severity, Severity::Ok, "dates behind all calendars");
    }
}
