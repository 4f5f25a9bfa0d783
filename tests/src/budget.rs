//! How long things may take, and how much a suite does. A test machine may be slow and busy, so deadlines
//! are generous: they bound a hang and measure nothing.

use std::time::Duration;

/// A condition that should hold at once.
pub const SOON: Duration = Duration::from_secs(15);
/// A node that starts, with all it has to read.
pub const START: Duration = Duration::from_secs(60);
/// A node that was told to stop. Its own grace for requests under way is 5 s.
pub const STOP: Duration = Duration::from_secs(10);
/// How often conditions are looked at.
pub const POLL: Duration = Duration::from_millis(10);
/// What an answer of a test's client may take.
pub const ANSWER: Duration = Duration::from_secs(20);
/// How often each of the two tests that do so kills the server under load.
pub const KILLS: usize = 100;
/// A small log file: two are made for each node, and making them is most of a start.
pub const SEGMENT_BYTES: u64 = 16 << 20;
