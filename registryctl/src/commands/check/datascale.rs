//! `check datascale`.

use clap::Args as ClapArgs;

use super::writers::{Writers, key};
use super::{Afterwards, Ground, Load};
use crate::connect;
use crate::error::CtlError;
use crate::global::Global;
use crate::output::{progress, say};

const EXAMPLES: &str = "\
Examples:
  registryctl check datascale
  registryctl check datascale --load m --auto-compact --auto-defrag

Loads, of 1 KiB for each key with its value:
  s: 10000 keys      m: 100000 keys      l: 1000000 keys     xl: 3000000 keys
Keys are removed afterwards; the server's memory limits must have room for them until then.";

const KEY_BYTES: usize = 512;
const VALUE_BYTES: usize = 512;
const MEMORY: &str = "process_resident_memory_bytes";

/// Writes many keys, and tells how much memory they take in the server.
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Datascale {
    /// How many keys are written.
    #[arg(long, value_enum, default_value = "s")]
    load: Load,
    /// Prefix of the keys that are written, which there must be none of.
    #[arg(long, default_value = "/etcdctl-check-datascale/")]
    prefix: String,
    #[command(flatten)]
    afterwards: Afterwards,
}

impl Datascale {
    /// Keys, and clients.
    fn size(&self) -> (u64, usize) {
        match self.load {
            Load::S => (10_000, 50),
            Load::M => (100_000, 200),
            Load::L => (1_000_000, 500),
            Load::Xl => (3_000_000, 1_000),
        }
    }

    pub(super) async fn run(&self, global: &Global) -> Result<(), CtlError> {
        let (total, clients) = self.size();
        let endpoint = global.endpoints.first().ok_or_else(|| CtlError::Arguments("give --endpoints".to_owned()))?;
        let ground = Ground::open(global, &self.prefix, self.afterwards).await?;
        let writers = Writers::start(global, clients, VALUE_BYTES).await?;
        let before = memory(global, endpoint).await?;
        let kilobytes = KEY_BYTES + VALUE_BYTES;
        say(&format!(
            "Start data scale check for work load [{total} key-value pairs, {kilobytes} bytes per key-value, {clients} concurrent clients]."
        ))?;
        let done = ground.run(global, async {
            let bar = progress::things(total, "keys");
            let prefix = self.prefix.clone();
            let give = async move |keys: tokio::sync::mpsc::Sender<bytes::Bytes>| {
                for _ in 0..total {
                    if keys.send(key(&prefix, KEY_BYTES)).await.is_err() {
                        return;
                    }
                }
            };
            let measured = writers.measure(give, || bar.inc(1)).await;
            bar.finish_and_clear();
            Ok((measured, memory(global, endpoint).await?))
        });
        let Some((measured, after)) = done.await? else { return Err(CtlError::Unhealthy("the check was interrupted")) };
        if !measured.errors.is_empty() {
            say("FAIL: too many errors")?;
            measured.errors.iter().try_for_each(|(error, count)| say(&format!("FAIL: ERROR({error}) -> {count}")))?;
            return Err(CtlError::Unhealthy("the cluster has not passed the check"));
        }
        say(&format!("PASS: Approximate system memory used : {:.2} MB.", (after - before) / f64::from(1 << 20)))
    }
}

/// Bytes that the server has resident, as its metrics say.
async fn memory(global: &Global, endpoint: &str) -> Result<f64, CtlError> {
    let metrics = connect::text(global, endpoint, "/metrics").await?;
    let value = metrics.lines().find_map(|line| line.strip_prefix(MEMORY)?.trim().parse().ok());
    value.ok_or_else(|| CtlError::Answer(format!("{endpoint}/metrics does not tell {MEMORY}")))
}
