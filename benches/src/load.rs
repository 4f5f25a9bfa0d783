//! What is asked of a server: a plain description that two servers can be given alike.

use std::time::Duration;

use serde::Serialize;

use crate::BenchError;

/// What one operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Work {
    /// One Put.
    Put,
    /// One Range of one key.
    Get,
    /// One Range of `--range-keys` keys.
    Range,
    /// One Txn of `--txn-puts` puts, without conditions.
    Txn,
    /// One keep-alive of a lease of the client's own, on a stream of its own.
    KeepAlive,
    /// One event at one watcher. All watch the one key that is put; with `--spread` each has a key of its own.
    Watch,
}

/// How long a measurement lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Amount {
    /// So many operations; for [`Work::Watch`] so many puts.
    Ops(u64),
    /// Until then no operation begins any more; those under way are waited for.
    Time(Duration),
}

/// In which order the keys are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum KeyOrder {
    /// One after the other, around the key space.
    Sequential,
    /// At random.
    Random,
}

/// A load.
#[derive(Debug, Clone, Serialize)]
pub struct Load {
    /// What one operation is.
    pub work: Work,
    /// How many clients have one operation each under way; for watch: how many watch streams.
    pub clients: usize,
    /// Over how many connections the clients are spread.
    pub connections: usize,
    /// How many threads the generator itself uses.
    pub threads: usize,
    /// How long it is measured.
    pub amount: Amount,
    /// How long the same load runs before that.
    pub warmup: Duration,
    /// Operations a second, whatever the server does (open loop); none for as fast as the clients get
    /// answers (closed loop). For watch: puts a second.
    pub rate: Option<f64>,
    /// Length of a key in bytes.
    pub key_bytes: usize,
    /// Length of a value in bytes.
    pub value_bytes: usize,
    /// How many keys there are.
    pub key_space: u64,
    /// In which order they are taken.
    pub key_order: KeyOrder,
    /// Gets and ranges may be answered without asking the quorum.
    pub serializable: bool,
    /// Keys of one range.
    pub range_keys: u64,
    /// Puts of one transaction.
    pub txn_puts: u64,
    /// Watchers, shared out among the streams.
    pub watchers: usize,
    /// Each watcher has a key of its own and the keys are put in turn, so that each put is one event;
    /// otherwise all watch one key and each put is one event for each.
    pub spread: bool,
    /// Puts whose events may be under way in a closed loop.
    pub window: u64,
}

/// Digits that tell the keys of the largest key space apart.
const MIN_KEY_BYTES: usize = 8;
/// etcd refuses larger requests.
const MAX_VALUE_BYTES: usize = 1 << 20;
/// The value of a watched key begins with the time of its put.
pub(crate) const MIN_WATCHED_VALUE_BYTES: usize = 8;
/// etcd's bound on the operations of a transaction.
pub(crate) const MAX_TXN_PUTS: u64 = 128;

impl Load {
    /// Checks that the load can be made.
    ///
    /// # Errors
    /// [`BenchError::Load`] with the flag to change.
    pub fn validate(&self) -> Result<(), BenchError> {
        let digits = usize::try_from(self.key_space.max(1).ilog10()).unwrap_or(0) + 1;
        let faults = [
            (self.clients == 0, "--clients must be at least 1"),
            (self.connections == 0, "--connections must be at least 1"),
            (self.threads == 0, "--threads must be at least 1"),
            (self.connections > self.clients, "--connections must not be more than --clients"),
            (self.key_space == 0, "--key-space must be at least 1"),
            (self.key_bytes < digits.max(MIN_KEY_BYTES), "--key-size is too small for --key-space (at least 8)"),
            (self.value_bytes > MAX_VALUE_BYTES, "--value-size must be at most 1 MiB"),
            (self.rate.is_some_and(|rate| !(rate > 0.0 && rate <= 1e7)), "--rate must be above 0 and at most 1e7"),
            (self.amount == Amount::Ops(0), "--ops must be at least 1"),
            (self.amount == Amount::Time(Duration::ZERO), "--duration must be above 0"),
            (self.work == Work::Range && self.range_keys == 0, "--range-keys must be at least 1"),
            (self.work == Work::Range && self.range_keys > self.key_space, "--range-keys must be within --key-space"),
            (self.work == Work::Txn && !(1..=MAX_TXN_PUTS).contains(&self.txn_puts), "--txn-puts must be 1 to 128"),
            (self.work == Work::Txn && self.txn_puts > self.key_space, "--txn-puts must be within --key-space"),
            (self.work == Work::Watch && self.watchers < self.clients, "--watchers must be at least --clients"),
            (self.work == Work::Watch && self.window == 0, "--window must be at least 1"),
            (
                self.work == Work::Watch && self.value_bytes < MIN_WATCHED_VALUE_BYTES,
                "--value-size must be at least 8 for watch",
            ),
        ];
        match faults.iter().find(|(wrong, _)| *wrong) {
            Some((_, text)) => Err(BenchError::Load((*text).to_owned())),
            None => Ok(()),
        }
    }

    /// Whether there must be keys before the measurement.
    pub(crate) fn needs_keys(&self) -> bool {
        matches!(self.work, Work::Get | Work::Range)
    }

    /// At how many watchers each put arrives.
    pub(crate) fn arrivals(&self) -> u64 {
        if self.spread { 1 } else { self.watchers as u64 }
    }

    /// One line that names what is measured.
    #[must_use]
    pub fn title(&self) -> String {
        let work = match self.work {
            Work::Put => format!("put of {} bytes", self.value_bytes),
            Work::Get if self.serializable => "get, serializable".to_owned(),
            Work::Get => "get, linearizable".to_owned(),
            Work::Range => format!("range of {} keys", self.range_keys),
            Work::Txn => format!("txn of {} puts", self.txn_puts),
            Work::KeepAlive => "lease keep-alive".to_owned(),
            Work::Watch if self.spread => format!("watch events, {} watchers with a key each", self.watchers),
            Work::Watch => format!("watch events, {} watchers of a key", self.watchers),
        };
        let clients = if self.work == Work::Watch { "streams" } else { "clients" };
        let pace = self.rate.map_or_else(String::new, |rate| format!(", {rate} a second"));
        format!("{work}; {} {clients} on {} connections{pace}", self.clients, self.connections)
    }
}

impl Default for Load {
    fn default() -> Self {
        Self {
            work: Work::Put,
            clients: 1,
            connections: 1,
            threads: 1,
            amount: Amount::Time(Duration::from_secs(10)),
            warmup: Duration::from_secs(1),
            rate: None,
            key_bytes: 16,
            value_bytes: 256,
            key_space: 100_000,
            key_order: KeyOrder::Sequential,
            serializable: false,
            range_keys: 1_000,
            txn_puts: 8,
            watchers: 100,
            spread: false,
            window: 16,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_load_can_be_made() {
        Load::default().validate().unwrap();
    }

    #[test]
    fn a_load_that_cannot_be_made_names_its_flag() {
        let refused = |load: Load| load.validate().unwrap_err().to_string();
        assert!(refused(Load { connections: 2, ..Load::default() }).contains("--connections"));
        assert!(refused(Load { key_bytes: 4, ..Load::default() }).contains("--key-size"));
        assert!(refused(Load { rate: Some(f64::NAN), ..Load::default() }).contains("--rate"));
        assert!(refused(Load { work: Work::Watch, clients: 200, ..Load::default() }).contains("--watchers"));
        let wide = Load { work: Work::Range, key_space: 10, ..Load::default() };
        assert!(refused(wide).contains("--range-keys"));
    }
}
