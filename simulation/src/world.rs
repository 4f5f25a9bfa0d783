//! What all of one simulation shares: its clock, and the trace that is written.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use parking_lot::Mutex;
use tokio::time::Instant;

thread_local! {
    static WORLD: RefCell<Option<Arc<World>>> = const { RefCell::new(None) };
}

/// One simulation; a thread has one at a time.
#[derive(Debug)]
pub(crate) struct World {
    began: Instant,
    trace: Mutex<Trace>,
}

/// Everything that happened, in the order in which it did.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    /// FNV-1a over all lines.
    hash: u64,
    lines: u64,
    /// The lines, if they are kept.
    text: Option<String>,
}

impl World {
    /// Makes a world on this thread, inside its runtime, and seeds its random numbers. The lines of the trace are only
    /// counted and hashed unless they are to be kept.
    pub(crate) fn begin(seed: u64, keep_trace: bool) -> Arc<Self> {
        fastrand::seed(seed);
        let trace = Trace { hash: 0xcbf2_9ce4_8422_2325, lines: 0, text: keep_trace.then(String::new) };
        let world = Arc::new(Self { began: Instant::now(), trace: Mutex::new(trace) });
        WORLD.set(Some(world.clone()));
        world
    }

    /// Ends the world of this thread.
    pub(crate) fn end() {
        drop(WORLD.take());
    }

    /// The time since it began.
    #[must_use]
    pub(crate) fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// What of the trace is to be told: hash, lines and, if it was kept, the text.
    #[must_use]
    pub(crate) fn trace(&self) -> (u64, u64, Option<String>) {
        let mut trace = self.trace.lock();
        (trace.hash, trace.lines, trace.text.take())
    }

    /// A line of a log, which is kept with the trace but is no part of it.
    fn log(&self, line: &str) {
        let now = self.now();
        if let Some(text) = &mut self.trace.lock().text {
            text.push_str(&format!("{:>10.3}     {line}", now.as_secs_f64() * 1e3));
        }
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
pub(crate) fn now() -> Duration {
    WORLD.with_borrow(|world| world.as_ref().map_or(Duration::ZERO, |world| world.now()))
}

/// Where log lines of the members go: between the lines of the trace.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Log;

impl io::Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        WORLD.with_borrow(|world| {
            if let Some(world) = world {
                world.log(&String::from_utf8_lossy(line));
            }
        });
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes a line into the trace.
pub(crate) fn note(what: fmt::Arguments<'_>) {
    WORLD.with_borrow(|world| {
        if let Some(world) = world {
            world.note(what);
        }
    });
}
