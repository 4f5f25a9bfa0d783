//! Lines about what took too long, few enough that a slow disk does not flood the log.

use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::time::Instant;

use crate::command::Authored;
use crate::consensus::{Position, SlowApply};

/// Lines of one kind a second, at most.
const LINES: u32 = 10;
const WINDOW: Duration = Duration::from_secs(1);

/// Lets [`LINES`] through a second and counts what it holds back.
#[derive(Debug, Default)]
pub(super) struct Throttle(Mutex<Passed>);

#[derive(Debug, Default)]
struct Passed {
    /// When the first line of this second went through.
    since: Option<Instant>,
    lines: u32,
    held_back: u64,
}

impl Throttle {
    /// Whether a line may go through, and then how many were held back since the last one.
    pub(super) fn pass(&self, now: Instant) -> Option<u64> {
        let mut passed = self.0.lock();
        if passed.since.is_none_or(|since| now.saturating_duration_since(since) >= WINDOW) {
            passed.since = Some(now);
            passed.lines = 0;
        }
        if passed.lines == LINES {
            passed.held_back += 1;
            return None;
        }
        passed.lines += 1;
        Some(std::mem::take(&mut passed.held_back))
    }
}

/// Tells of commands that take longer than `after` to apply: kind, place and size, never what is in them.
pub(super) fn slow_applies(after: Duration) -> SlowApply {
    let throttle = Throttle::default();
    let tell = move |at: Position, command: &Bytes, took: Duration| {
        let Some(held_back) = throttle.pass(Instant::now()) else { return };
        let kind = Authored::decode(command.clone()).map_or("unknown", |authored| authored.command.kind());
        let (index, bytes) = (at.index, command.len());
        tracing::warn!(kind, index, bytes, ?took, expected = ?after, held_back, "applying a command took too long");
    };
    SlowApply { after, tell: Arc::new(tell) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_becomes_a_few_lines_that_tell_how_many_were_held_back() {
        let (throttle, begin) = (Throttle::default(), Instant::now());
        let passed = |ms| throttle.pass(begin + Duration::from_millis(ms));
        let first: Vec<_> = (0..100).filter_map(passed).collect();
        assert_eq!(first, [0; LINES as usize]);
        assert_eq!(passed(999), None);
        assert_eq!((passed(1000), passed(1001)), (Some(91), Some(0)));
    }
}
