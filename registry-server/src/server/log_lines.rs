//! Log lines on their way to their outputs, by a queue and a thread of its own, so that a disk or a pipe that stalls holds up
//! nobody who logs.
//!
//! What always holds: the queue is bounded in lines and bytes; a line that finds no room, or that an output does not take, is
//! counted, and the count is told once lines can be written again, and in the metrics; at the end everything that waits is written, unless that
//! takes too long.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tracing_subscriber::fmt::MakeWriter;

use super::log_rotation::LogFile;

/// What may wait at once.
const MOST_LINES: usize = 8192;
const MOST_BYTES: usize = 8 << 20;
/// How long the end waits for the last lines.
const LAST_LINES_TIMEOUT: Duration = Duration::from_secs(2);

/// Lines of this process that were lost, of its own log and of `--audit-log`: what logs is of the process, not of a node.
static LOST: [AtomicU64; 2] = [AtomicU64::new(0), AtomicU64::new(0)];

/// Which lines these are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Log {
    /// What the server tells of itself.
    #[default]
    Own,
    /// Who did what.
    Audit,
}

impl Log {
    /// How many lines were lost since the process began.
    pub(super) fn lost(self) -> u64 {
        LOST[self as usize].load(Ordering::Relaxed)
    }
}

/// Where lines end up.
#[derive(Debug)]
pub(super) enum Output {
    Stderr,
    Stdout,
    File(LogFile),
}

/// The queue. Clones are the same one.
#[derive(Debug, Clone, Default)]
pub(super) struct Lines(Arc<Shared>);

/// Ends the thread when it is dropped, after the last lines.
#[derive(Debug)]
#[must_use = "lines are written as long as it is held"]
pub(super) struct LogGuard(Lines);

#[derive(Debug, Default)]
struct Shared {
    log: Log,
    waiting: Mutex<Waiting>,
    /// Something has come, or nothing more will.
    changed: Condvar,
    /// The thread has ended.
    ended: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    /// Since the start.
    lost: u64,
    told: u64,
    is_closing: bool,
    has_ended: bool,
}

impl Lines {
    /// Begins to write to `outputs`.
    ///
    /// # Errors
    /// The system has no thread left.
    pub(super) fn start(log: Log, outputs: Vec<Output>) -> io::Result<(Self, LogGuard)> {
        let lines = Self(Arc::new(Shared { log, ..Shared::default() }));
        let writing = lines.clone();
        drop(thread::Builder::new().name("log".to_owned()).spawn(move || writing.write(outputs))?);
        Ok((lines.clone(), LogGuard(lines)))
    }

    fn push(&self, line: &[u8]) {
        let mut waiting = self.0.waiting.lock();
        if waiting.lines.len() >= MOST_LINES || waiting.bytes + line.len() > MOST_BYTES || waiting.is_closing {
            waiting.lost += 1;
            LOST[self.0.log as usize].fetch_add(1, Ordering::Relaxed);
            return;
        }
        waiting.bytes += line.len();
        waiting.lines.push_back(line.to_vec());
        drop(waiting);
        self.0.changed.notify_one();
    }

    /// The body of the thread.
    fn write(&self, mut outputs: Vec<Output>) {
        while let Some(lines) = self.take() {
            let count = lines.len() as u64;
            let bytes = lines.into_iter().flatten().collect::<Vec<_>>();
            let failed = outputs.iter_mut().filter_map(|output| output.append(&bytes).err()).count();
            if failed > 0 {
                self.0.waiting.lock().lost += count;
                LOST[self.0.log as usize].fetch_add(count, Ordering::Relaxed);
            } else {
                self.tell();
            }
        }
        self.0.waiting.lock().has_ended = true;
        self.0.ended.notify_all();
    }

    /// All that waits, as soon as something does; none at the end.
    fn take(&self) -> Option<VecDeque<Vec<u8>>> {
        let mut waiting = self.0.waiting.lock();
        while waiting.lines.is_empty() && !waiting.is_closing {
            self.0.changed.wait(&mut waiting);
        }
        waiting.bytes = 0;
        Some(std::mem::take(&mut waiting.lines)).filter(|lines| !lines.is_empty())
    }

    /// Tells how many lines were lost since that was told last. It is a line like any other.
    fn tell(&self) {
        let lost = {
            let mut waiting = self.0.waiting.lock();
            let lost = waiting.lost - waiting.told;
            waiting.told = waiting.lost;
            lost
        };
        match self.0.log {
            _ if lost == 0 => {}
            Log::Own => tracing::warn!(lost, "log lines were lost: the outputs did not take them in time"),
            Log::Audit => {
                tracing::warn!(lost, "lines of the audit log were lost: its output did not take them in time");
            }
        }
    }
}

impl Output {
    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            Self::Stderr => io::stderr().lock().write_all(lines),
            Self::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(lines)?;
                stdout.flush()
            }
            Self::File(file) => file.append(lines),
        }
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        let Shared { waiting, changed, ended, .. } = &*self.0.0;
        let mut waiting = waiting.lock();
        waiting.is_closing = true;
        changed.notify_one();
        if !waiting.has_ended {
            // Whatever hangs must not keep the process from ending.
            ended.wait_while_for(&mut waiting, |waiting| !waiting.has_ended, LAST_LINES_TIMEOUT);
        }
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> &'a Self {
        self
    }
}

impl Write for &Lines {
    /// The whole of a line comes at once.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(dir: &tempfile::TempDir, name: &str) -> Output {
        Output::File(LogFile::open(&dir.path().join(name), None).unwrap())
    }

    fn read(dir: &tempfile::TempDir, name: &str) -> String {
        std::fs::read_to_string(dir.path().join(name)).unwrap()
    }

    /// Waits for another thread, 10 s at most.
    fn until(condition: impl Fn() -> bool) {
        for _ in 0..10_000 {
            if condition() {
                return;
            }
            thread::park_timeout(Duration::from_millis(1));
        }
        panic!("it does not happen");
    }

    #[test]
    fn all_outputs_get_all_lines_before_the_end() {
        let dir = tempfile::TempDir::new().unwrap();
        let (lines, guard) = Lines::start(Log::Own, vec![file(&dir, "a"), file(&dir, "b")]).unwrap();
        for line in 0..1_000 {
            lines.push(format!("{line}\n").as_bytes());
        }
        drop(guard);
        let text = read(&dir, "a");
        assert_eq!(text.lines().count(), 1_000);
        assert_eq!((text.lines().next(), text.lines().last()), (Some("0"), Some("999")));
        assert_eq!(read(&dir, "b"), text);
    }

    #[test]
    fn what_finds_no_room_is_counted_and_told() {
        let dir = tempfile::TempDir::new().unwrap();
        let lines = Lines::default();
        for _ in 0..MOST_LINES + 3 {
            lines.push(b"line\n");
        }
        assert_eq!(lines.0.waiting.lock().lost, 3);
        let subscriber = tracing_subscriber::fmt().with_writer(lines.clone()).json().finish();
        let writing = lines.clone();
        let outputs = vec![file(&dir, "a")];
        let thread = thread::spawn(move || tracing::subscriber::with_default(subscriber, || writing.write(outputs)));
        until(|| read(&dir, "a").contains("lost"));
        drop(LogGuard(lines));
        thread.join().unwrap();
        let text = read(&dir, "a");
        assert_eq!(text.lines().count(), MOST_LINES + 1);
        assert!(text.contains(r#""lost":3"#), "{}", text.lines().last().unwrap_or_default());
    }

    #[test]
    fn a_large_line_does_not_break_the_bound() {
        let lines = Lines::default();
        lines.push(&vec![b'a'; MOST_BYTES]);
        lines.push(b"b");
        let waiting = lines.0.waiting.lock();
        assert_eq!((waiting.lines.len(), waiting.lost), (1, 1));
    }

    #[test]
    fn an_output_that_takes_nothing_loses_lines_and_not_the_thread() {
        let (lines, guard) =
            Lines::start(Log::Audit, vec![Output::File(LogFile::open("/dev/full".as_ref(), None).unwrap())]).unwrap();
        lines.push(b"line\n");
        until(|| lines.0.waiting.lock().lost > 0);
        lines.push(b"line\n");
        drop(guard);
        assert_eq!((lines.0.waiting.lock().lost, Log::Audit.lost()), (2, 2));
    }
}
