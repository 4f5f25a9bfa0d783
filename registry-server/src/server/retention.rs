//! How much history automatic compaction keeps, as etcd's two flags say it.

use std::time::Duration;

use super::go_values;

/// What the retention counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompactionMode {
    /// Time.
    Periodic,
    /// Revisions.
    Revision,
}

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retention {
    /// A bare number: revisions, or hours in the mode that counts time. 0 switches automatic compaction off.
    Count(u32),
    /// A time with its unit.
    Time(Duration),
}

/// What automatic compaction does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Keep what is younger.
    Periodic(Duration),
    /// Keep so many revisions behind the newest.
    Revisions(u32),
}

const HOUR: Duration = Duration::from_secs(3600);

impl Policy {
    /// What mode and retention mean together; none for "off", and for a time where revisions are counted.
    #[must_use]
    pub fn new(mode: CompactionMode, retention: Retention) -> Option<Self> {
        match (mode, retention) {
            (_, Retention::Count(0) | Retention::Time(Duration::ZERO))
            | (CompactionMode::Revision, Retention::Time(_)) => None,
            (CompactionMode::Periodic, Retention::Count(hours)) => Some(Self::Periodic(HOUR * hours)),
            (CompactionMode::Periodic, Retention::Time(time)) => Some(Self::Periodic(time)),
            (CompactionMode::Revision, Retention::Count(revisions)) => Some(Self::Revisions(revisions)),
        }
    }
}

/// Reads the mode.
pub(super) fn mode(text: &str) -> Result<CompactionMode, &'static str> {
    match text {
        "periodic" => Ok(CompactionMode::Periodic),
        "revision" => Ok(CompactionMode::Revision),
        _ => Err("the mode is periodic or revision"),
    }
}

/// Reads the retention: a number, or a time as Go writes it.
pub(super) fn retention(text: &str) -> Result<Retention, String> {
    match text.parse() {
        Ok(count) => Ok(Retention::Count(count)),
        Err(_) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => {
            Err(format!("{text} is too much; at most {}", u32::MAX))
        }
        Err(_) => go_values::duration(text).map(Retention::Time),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(mode: CompactionMode, text: &str) -> Option<Policy> {
        Policy::new(mode, retention(text).unwrap())
    }

    #[test]
    fn a_bare_number_is_hours_or_revisions() {
        use CompactionMode::{Periodic, Revision};
        assert_eq!(policy(Periodic, "1"), Some(Policy::Periodic(HOUR)));
        assert_eq!(policy(Periodic, "72h"), Some(Policy::Periodic(72 * HOUR)));
        assert_eq!(policy(Periodic, "5m30s"), Some(Policy::Periodic(Duration::from_secs(330))));
        assert_eq!(policy(Revision, "1000"), Some(Policy::Revisions(1000)));
        for off in ["0", "0s", "0h"] {
            assert_eq!((policy(Periodic, off), policy(Revision, off)), (None, None), "{off}");
        }
    }

    #[test]
    fn what_is_neither_a_number_nor_a_time_is_refused() {
        for text in ["", "-1", "1d", "h", "99999999999"] {
            assert!(retention(text).is_err(), "{text:?} was accepted");
        }
        assert!(mode("sometimes").is_err());
    }
}
