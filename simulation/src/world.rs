//! What all of one simulation shares: its clock, and the trace that is written.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

thread_local! {
    static WORLD: RefCell<Option<Arc<World>>> = const { RefCell::new(None) };
}

/// One simulation; a thread has one at a time.
#[derive(Debug)]
pub struct World {
    began: Instant,
    trace: Mutex<Trace>,
}

/// Everything that happened, in the order in which it did.
#[derive(Debug, Default)]
pub struct Trace {
    /// FNV-1a over all lines.
    hash: u64,
    lines: u64,
    /// The lines, if they are kept.
    text: Option<String>,
}

impl World {
    /// Makes a world on this thread, inside its runtime, and seeds its random numbers. The lines of the trace are only
    /// counted and hashed unless they are to be kept.
    pub fn begin(seed: u64, keep_trace: bool) -> Arc<Self> {
        fastrand::seed(seed);
        let trace = Trace { hash: 0xcbf2_9ce4_8422_2325, lines: 0, text: keep_trace.then(String::new) };
        let world = Arc::new(Self { began: Instant::now(), trace: Mutex::new(trace) });
        WORLD.set(Some(world.clone()));
        world
    }

    /// Ends the world of this thread.
    pub fn end() {
        drop(WORLD.take());
    }

    /// The time since it began.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// What of the trace is to be told: hash, lines and, if it was kept, the text.
    #[must_use]
    pub fn trace(&self) -> (u64, u64, Option<String>) {
        let mut trace = self.trace.lock();
        (trace.hash, trace.lines, trace.text.take())
    }

    fn note(&self, what: fmt::Arguments<'_>) {
        let now = self.now();
        let mut trace = self.trace.lock();
        trace.line(format_args!("{:>10.3} {what}\n", now.as_secs_f64() * 1e3));
    }
}

impl Trace {
    fn line(&mut self, line: fmt::Arguments<'_>) {
        self.lines += 1;
        fmt::Write::write_fmt(self, line).unwrap_or_default();
    }
}

impl fmt::Write for Trace {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        for byte in part.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        if let Some(text) = &mut self.text {
            text.push_str(part);
        }
        Ok(())
    }
}

/// The time since the simulation of this thread began.
#[must_use]
pub fn now() -> Duration {
    WORLD.with_borrow(|world| world.as_ref().map_or(Duration::ZERO, |world| world.now()))
}

/// Writes a line into the trace.
pub fn note(what: fmt::Arguments<'_>) {
    WORLD.with_borrow(|world| {
        if let Some(world) = world {
            world.note(what);
        }
    });
}
