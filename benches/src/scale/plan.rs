//! What is asked of a comparison at scale, and the loads that follow from it.

use std::time::Duration;

use serde::Serialize;

use crate::BenchError;
use crate::load::{Amount, KeyOrder, Load, MAX_TXN_PUTS, Work};

/// Below what etcd takes in one request (1.5 MiB), with room for what is around keys and values.
const MAX_TXN_BYTES: u64 = 1 << 20;

/// How the key revisions are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Filling {
    /// In transactions of so many puts, each of which is one store revision.
    Txns(u64),
    /// One by one, by the many clients of the rows.
    Singles,
}

/// A comparison at scale.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// How many keys there are.
    pub key_space: u64,
    /// How many puts make them: the first round creates all keys, further rounds overwrite them.
    pub revisions: u64,
    /// Length of a key in bytes.
    pub key_bytes: usize,
    /// Length of a value in bytes.
    pub value_bytes: usize,
    /// How the key revisions are made.
    pub filling: Filling,
    /// How many clients the rows with many clients have.
    pub clients: usize,
    /// Over how many connections these are spread.
    pub connections: usize,
    /// How many threads the generator uses for them.
    pub threads: usize,
    /// How often each row is measured on each server; 0 for no rows.
    pub pairs: usize,
    /// How long, each time.
    pub duration: Duration,
    /// How long the same load runs before that.
    pub warmup: Duration,
    /// How often each server is started on its data after it was stopped in order; one start after a crash is added.
    pub restarts: usize,
    /// How long a server is left alone before its memory counts, after the last put and after a start.
    pub rest: Duration,
    /// How long a start, or a stop, may take.
    pub start_limit: Duration,
}

impl Plan {
    /// Checks that it can be carried out.
    ///
    /// # Errors
    /// [`BenchError::Load`] with the flag to change.
    pub fn validate(&self) -> Result<(), BenchError> {
        let puts = self.puts_of_a_txn();
        let txn_bytes = puts.saturating_mul((self.key_bytes + self.value_bytes) as u64);
        let faults = [
            (
                self.revisions < self.key_space,
                "--revisions must be at least --key-space: the first round makes the keys",
            ),
            (!(1..=MAX_TXN_PUTS).contains(&puts), "--txn-puts must be 1 to 128"),
            (puts > self.key_space, "--txn-puts must be within --key-space: no transaction may put a key twice"),
            (txn_bytes > MAX_TXN_BYTES, "--txn-puts times --value-size must be at most 1 MiB"),
            (self.restarts == 0, "--restarts must be at least 1"),
            (self.start_limit.is_zero(), "--start-limit must be above 0"),
        ];
        if let Some((_, text)) = faults.iter().find(|(wrong, _)| *wrong) {
            return Err(BenchError::Load((*text).to_owned()));
        }
        self.rows().iter().try_for_each(Load::validate)
    }

    /// The rows measured against the loaded data, in order: puts before gets, few clients before many. Keys are
    /// taken at random, so that what is read or overwritten is not in any cache by its neighbour.
    pub(super) fn rows(&self) -> Vec<Load> {
        let row = |work, clients, connections, threads| Load {
            work,
            clients,
            connections,
            threads,
            key_order: KeyOrder::Random,
            warmup: self.warmup,
            ..self.load(Amount::Time(self.duration))
        };
        let of = |work| [row(work, 1, 1, 1), row(work, self.clients, self.connections, self.threads)];
        [Work::Put, Work::Get].into_iter().flat_map(of).collect()
    }

    /// The load that makes all key revisions one by one.
    pub(super) fn singles(&self) -> Load {
        let (clients, connections, threads) = (self.clients, self.connections, self.threads);
        Load { clients, connections, threads, warmup: Duration::ZERO, ..self.load(Amount::Ops(self.revisions)) }
    }

    /// A put of one client, with this plan's keys and values.
    pub(super) fn load(&self, amount: Amount) -> Load {
        let Self { key_space, key_bytes, value_bytes, .. } = *self;
        Load { work: Work::Put, amount, key_bytes, value_bytes, key_space, ..Load::default() }
    }

    /// How many key revisions one store revision has while the data are loaded.
    pub(super) fn puts_of_a_txn(&self) -> u64 {
        match self.filling {
            Filling::Txns(puts) => puts,
            Filling::Singles => 1,
        }
    }

    /// One line that says how the data are made.
    #[must_use]
    pub fn title(&self) -> String {
        let by = match self.filling {
            Filling::Txns(puts) => {
                format!("transactions of {puts} puts, {} under way on one connection", crate::preload::TXNS_UNDER_WAY)
            }
            Filling::Singles => format!("single puts of {} clients on {} connections", self.clients, self.connections),
        };
        let Self { key_space, revisions, value_bytes, .. } = self;
        format!("{key_space} keys of {value_bytes} bytes, {revisions} key revisions, by {by}")
    }
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            key_space: 1_000_000,
            revisions: 10_000_000,
            key_bytes: 16,
            value_bytes: 256,
            filling: Filling::Txns(100),
            clients: 1_000,
            connections: 100,
            threads: 1,
            pairs: 3,
            duration: Duration::from_secs(5),
            warmup: Duration::from_secs(1),
            restarts: 3,
            rest: Duration::from_secs(10),
            start_limit: Duration::from_secs(600),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_plan_can_be_carried_out() {
        Plan::default().validate().unwrap();
    }

    #[test]
    fn a_plan_that_cannot_be_carried_out_names_its_flag() {
        let refused = |plan: Plan| plan.validate().unwrap_err().to_string();
        let small = || Plan { key_space: 50, revisions: 500, ..Plan::default() };
        assert!(refused(Plan { revisions: 999_999, ..Plan::default() }).contains("--revisions"));
        assert!(refused(Plan { filling: Filling::Txns(129), ..Plan::default() }).contains("1 to 128"));
        assert!(refused(small()).contains("--txn-puts must be within --key-space"));
        assert!(refused(Plan { value_bytes: 20_000, ..Plan::default() }).contains("--value-size"));
        assert!(refused(Plan { restarts: 0, ..Plan::default() }).contains("--restarts"));
        assert!(refused(Plan { connections: 2_000, ..Plan::default() }).contains("--connections"));
        Plan { filling: Filling::Singles, ..small() }.validate().unwrap();
    }

    #[test]
    fn rows_are_puts_then_gets_with_few_then_many_clients() {
        let rows = Plan { threads: 2, ..Plan::default() }.rows();
        let shape: Vec<_> = rows.iter().map(|row| (row.work, row.clients, row.connections, row.threads)).collect();
        let of = |work| [(work, 1, 1, 1), (work, 1_000, 100, 2)];
        assert_eq!(shape, [of(Work::Put), of(Work::Get)].concat());
        assert!(rows.iter().all(|row| row.key_space == 1_000_000 && !row.serializable));
    }
}
