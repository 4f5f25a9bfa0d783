//! `check perf`.

use clap::Args as ClapArgs;
use tokio::sync::mpsc;
use tokio::time::{Duration, Instant, interval, sleep, sleep_until};

use super::writers::{Measured, Writers, key};
use super::{Afterwards, Ground, Load};
use crate::error::CtlError;
use crate::global::{Global, duration};
use crate::output::{progress, say};

const EXAMPLES: &str = "\
Examples:
  registryctl check perf
  registryctl check perf --load l --auto-compact --auto-defrag

Loads, of keys of 256 bytes with values of 1 KiB:
  s: 150 writes/s, 50 clients      m: 1000 writes/s, 200 clients
  l: 8000 writes/s, 500 clients   xl: 15000 writes/s, 1000 clients
It passes with 90% of the rate, the slowest write within 0.5 s and a standard deviation within 0.1 s. Keys are removed afterwards.";

const KEY_BYTES: usize = 256;
const VALUE_BYTES: usize = 1_024;
/// Of the rate that is asked for.
const LEAST_RATE: f64 = 0.9;
const MOST_SLOWEST: Duration = Duration::from_millis(500);
/// Seconds.
const MOST_DEVIATION: f64 = 0.1;
/// Arrears that are made up for at once: timers are no finer than a millisecond.
const ARREARS: Duration = Duration::from_millis(10);

/// Writes at a fixed rate for a minute, and judges throughput and latency.
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Perf {
    /// How heavy the load is.
    #[arg(long, value_enum, default_value = "s")]
    load: Load,
    /// Prefix of the keys that are written, which there must be none of.
    #[arg(long, default_value = "/etcdctl-check-perf/")]
    prefix: String,
    /// How long to write.
    #[arg(long, default_value = "60s", value_parser = duration, value_name = "TIME")]
    duration: Duration,
    #[command(flatten)]
    afterwards: Afterwards,
}

impl Perf {
    /// Writes a second, and clients.
    fn rate(&self) -> (u32, usize) {
        match self.load {
            Load::S => (150, 50),
            Load::M => (1_000, 200),
            Load::L => (8_000, 500),
            Load::Xl => (15_000, 1_000),
        }
    }

    pub(super) async fn run(&self, global: &Global) -> Result<(), CtlError> {
        let (rate, clients) = self.rate();
        let ground = Ground::open(global, &self.prefix, self.afterwards).await?;
        let writers = Writers::start(global, clients, VALUE_BYTES).await?;
        let measured = ground.run(global, async {
            let bar = progress::things(self.duration.as_secs(), "seconds");
            let seconds = async {
                let mut second = interval(Duration::from_secs(1));
                loop {
                    second.tick().await;
                    bar.inc(1);
                }
            };
            let give = |keys| give(keys, rate, self.duration, self.prefix.clone());
            let measured = tokio::select! {
                measured = writers.measure(give, || {}) => measured,
                () = seconds => Measured::default(),
            };
            bar.finish_and_clear();
            Ok(measured)
        });
        let Some(measured) = measured.await? else { return Err(CtlError::Unhealthy("the check was interrupted")) };
        let (lines, passes) = verdict(&measured, rate);
        lines.iter().try_for_each(|line| say(line))?;
        if passes { Ok(()) } else { Err(CtlError::Unhealthy("the cluster has not passed the check")) }
    }
}

/// Gives keys at the rate, without making up for what could not be taken in time.
async fn give(keys: mpsc::Sender<bytes::Bytes>, rate: u32, time: Duration, prefix: String) {
    let end = Instant::now() + time;
    let between = Duration::from_secs(1) / rate;
    let mut due = Instant::now();
    while due < end {
        sleep_until(due).await;
        let given = tokio::select! {
            given = keys.send(key(&prefix, KEY_BYTES)) => given.is_ok(),
            () = sleep(end.saturating_duration_since(Instant::now())) => false,
        };
        if !given {
            return;
        }
        due = (due + between).max(Instant::now().checked_sub(ARREARS).unwrap_or(due));
    }
}

/// As etcdctl puts it, and whether it passes.
fn verdict(measured: &Measured, rate: u32) -> (Vec<String>, bool) {
    let mut lines = Vec::new();
    if !measured.errors.is_empty() {
        lines.push("FAIL: too many errors".to_owned());
        lines.extend(measured.errors.iter().map(|(error, count)| format!("FAIL: ERROR({error}) -> {count}")));
    }
    let reached = measured.rate();
    let is_fast = reached / f64::from(rate) > LEAST_RATE;
    let writes = reached as u64 + 1;
    lines.push(match is_fast {
        true => format!("PASS: Throughput is {writes} writes/s"),
        false => format!("FAIL: Throughput too low: {writes} writes/s"),
    });
    let (slowest, deviation) = (measured.slowest.as_secs_f64(), measured.deviation());
    let is_prompt = measured.slowest <= MOST_SLOWEST;
    lines.push(match is_prompt {
        true => format!("PASS: Slowest request took {slowest:.6}s"),
        false => format!("Slowest request took too long: {slowest:.6}s"),
    });
    let is_even = deviation <= MOST_DEVIATION;
    lines.push(match is_even {
        true => format!("PASS: Stddev is {deviation:.6}s"),
        false => format!("Stddev too high: {deviation:.6}s"),
    });
    let passes = measured.errors.is_empty() && is_fast && is_prompt && is_even;
    lines.push(if passes { "PASS" } else { "FAIL" }.to_owned());
    (lines, passes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_are_those_of_etcdctl() {
        let mut measured = Measured { took: Duration::from_secs(10), puts: 1_490, ..Measured::default() };
        measured.slowest = Duration::from_millis(20);
        let (lines, passes) = verdict(&measured, 150);
        let expected = [
            "PASS: Throughput is 150 writes/s",
            "PASS: Slowest request took 0.020000s",
            "PASS: Stddev is 0.000000s",
            "PASS",
        ];
        assert_eq!((lines, passes), (expected.map(str::to_owned).to_vec(), true));
        measured.slowest = Duration::from_millis(501);
        measured.errors.insert("gone".to_owned(), 2);
        let (lines, passes) = verdict(&measured, 1_000);
        let expected = [
            "FAIL: too many errors",
            "FAIL: ERROR(gone) -> 2",
            "FAIL: Throughput too low: 150 writes/s",
            "Slowest request took too long: 0.501000s",
            "PASS: Stddev is 0.000000s",
            "FAIL",
        ];
        assert_eq!((lines, passes), (expected.map(str::to_owned).to_vec(), false));
    }
}
