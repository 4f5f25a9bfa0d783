//! Processes that hold a registration with the SDK, most of which are killed, be it before they stand.

use std::collections::BTreeSet;
use std::io;
use std::process::{Child, Command, ExitStatus, Stdio};

use bytes::Bytes;
use parking_lot::Mutex;
use registry_checkers::{History, HowEnded, Registration};
use registry_load::Recorder;
use registry_tests::eventually;
use tokio::time::{Duration, Instant, sleep};

use crate::settings::Run;

/// The program, and the service that it registers at.
const INSTANCE: &str = env!("CARGO_BIN_EXE_instance");
const SERVICE: &str = "process";
/// How long a process lives, in milliseconds.
const LIFE_MS: std::ops::Range<u64> = 50..5_000;
/// So many of a hundred are killed, and the others told to stop.
const PERCENT_KILLED: u8 = 70;
/// A process that was told to stop gives up well before.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// One process after the other.
#[derive(Debug)]
pub(crate) struct Instances {
    random: fastrand::Rng,
    ttl_seconds: std::ops::RangeInclusive<i64>,
    urls: Vec<String>,
    recorder: Recorder,
    end: Instant,
    seen: Vec<Registration>,
}

/// A process. Dropping it kills and reaps it.
struct Process(Child);

impl Process {
    fn start(id: &str, ttl: Duration, urls: &[String]) -> io::Result<Self> {
        let mut command = Command::new(INSTANCE);
        command.arg(id).arg(ttl.as_secs().to_string()).args(urls);
        Ok(Self(command.stdin(Stdio::piped()).stderr(Stdio::null()).spawn()?))
    }

    fn kill(&mut self) -> io::Result<ExitStatus> {
        self.0.kill()?;
        self.0.wait()
    }

    /// Tells it to stop; says whether it has given its lease back.
    async fn stop(mut self) -> bool {
        drop(self.0.stdin.take());
        let process = Mutex::new((self, None));
        eventually(STOP_LIMIT, "a process stops when it is told to", async || {
            let (process, status) = &mut *process.lock();
            *status = process.0.try_wait().expect("a child can be waited for");
            status.is_some()
        })
        .await;
        process.into_inner().1.is_some_and(|status| status.success())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.kill());
    }
}

impl Instances {
    pub(crate) fn new(run: &Run, urls: Vec<String>, recorder: Recorder, end: Instant) -> Self {
        let (random, ttl_seconds) = (fastrand::Rng::with_seed(!run.seed), run.load().ttl_seconds);
        Self { random, ttl_seconds, urls, recorder, end, seen: Vec::new() }
    }

    /// Processes until the end.
    pub(crate) async fn run(&mut self) {
        for number in 0.. {
            if Instant::now() >= self.end {
                return;
            }
            let registration = self.hold(number).await;
            self.seen.push(registration);
        }
    }

    async fn hold(&mut self, number: usize) -> Registration {
        let ttl = Duration::from_secs(self.random.i64(self.ttl_seconds.clone()).unsigned_abs());
        let (id, began) = (number.to_string(), self.recorder.now());
        let mut process = Process::start(&id, ttl, &self.urls).expect("the program can be started");
        sleep(Duration::from_millis(self.random.u64(LIFE_MS))).await;
        let is_killed = self.random.u8(..100) < PERCENT_KILLED;
        let how = if is_killed {
            process.kill().expect("a child can be killed");
            HowEnded::Killed
        } else if process.stop().await {
            HowEnded::Shutdown
        } else {
            // It has ended all the same, and its lease is left to expire.
            HowEnded::Killed
        };
        let (name, key) = (SERVICE.to_owned(), format!("/services/{SERVICE}/{id}").into());
        Registration { name, key, began, ended: Some((self.recorder.now(), how)), leases: Vec::new(), ttl }
    }

    /// Adds them to what was seen. Under which leases they stood is what watches told.
    pub(crate) fn enter(&mut self, history: &mut History) {
        let leases = leases(history);
        for mut registration in std::mem::take(&mut self.seen) {
            let of_key = leases.iter().filter(|(key, _)| *key == registration.key);
            registration.leases = of_key.map(|(_, lease)| *lease).collect();
            history.registrations.push(registration);
        }
    }
}

/// The keys of such processes with the leases that they stood under.
fn leases(history: &History) -> BTreeSet<(Bytes, i64)> {
    let prefix = format!("/services/{SERVICE}/");
    let answers = history.watches.iter().flat_map(|watch| &watch.answers);
    let events = answers.flat_map(|(_, answer)| answer.events.clone().into_messages().unwrap_or_default());
    let kvs = events.filter_map(|event| event.kv);
    kvs.filter(|kv| kv.lease != 0 && kv.key.starts_with(prefix.as_bytes())).map(|kv| (kv.key, kv.lease)).collect()
}
