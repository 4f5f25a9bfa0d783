//! What a client asks for next, out of its seed and of what it was answered.
//!
//! Few keys, some of them far hotter than others; revisions around the newest one that the client knows;
//! comparisons that mostly hold if nobody was faster; leases of its own and of others. Every value is the only
//! one of its kind. Nothing here is refused by every server all the time, and all of it now and then.

mod requests;
#[cfg(test)]
mod tests;
mod txns;

pub(crate) use txns::{equal, op, read};

use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::Bytes;
use fastrand::Rng;
use registry_checkers::model::Operation;
use registry_proto::etcdserverpb::{
    CompactionRequest, LeaseGrantRequest, LeaseKeepAliveRequest, LeaseLeasesRequest, LeaseRevokeRequest,
    LeaseTimeToLiveRequest, RangeRequest,
};

use crate::known::Known;
use crate::settings::{Kind, Settings};

/// Below it stand all keys that clients write and delete as they like.
const PREFIX: &str = "k/";
/// Where the prefix ends.
const PREFIX_END: &str = "k0";
/// Below it stand keys that go with leases and are not deleted otherwise.
const SESSIONS: &str = "s/";
/// Changed by compare-and-swap only.
pub(crate) const COUNTER: &str = "counter";

/// Longer than any run.
const LAST_TTL_SECONDS: i64 = 100_000;

/// What a client does next.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step {
    Call(Operation),
    /// A read of the counter, and then a compare-and-swap of what was found.
    Count,
    Members,
    /// The hash of all keys at that revision.
    Hash(i64),
}

/// One client's steps.
#[derive(Debug)]
pub(crate) struct Generator {
    client: u32,
    rng: Rng,
    settings: Arc<Settings>,
    keys: Vec<Bytes>,
    /// Numbers values.
    values: u64,
    /// Numbers leases.
    leases: i64,
}

impl Generator {
    pub(crate) fn new(client: u32, settings: Arc<Settings>) -> Self {
        let rng = Rng::with_seed(settings.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(u64::from(client)));
        let keys = (0..settings.keys).map(|number| format!("{PREFIX}{number}").into()).collect();
        Self { client, rng, settings, keys, values: 0, leases: 0 }
    }

    /// The next step. Nothing above `confirmed` is compacted.
    pub(crate) fn next(&mut self, known: &Known, confirmed: i64) -> Step {
        let place = self.rng.u32(..self.settings.shares.sum());
        Step::Call(match self.settings.shares.at(place) {
            Kind::Put => Operation::Put(self.put(known)),
            Kind::Range => Operation::Range(self.range(known)),
            Kind::Delete => Operation::DeleteRange(self.delete()),
            Kind::Txn => Operation::Txn(self.txn(known)),
            Kind::Counter => return Step::Count,
            Kind::Compact => self.compact(confirmed),
            Kind::Grant => Operation::LeaseGrant(self.grant()),
            Kind::Revoke => Operation::LeaseRevoke(LeaseRevokeRequest { id: self.lease(known) }),
            Kind::Renew => Operation::LeaseKeepAlive(LeaseKeepAliveRequest { id: self.lease(known) }),
            Kind::TimeToLive => {
                let keys = self.percent(70);
                Operation::LeaseTimeToLive(LeaseTimeToLiveRequest { id: self.lease(known), keys })
            }
            Kind::Leases => Operation::LeaseLeases(LeaseLeasesRequest {}),
            Kind::Members => return Step::Members,
            Kind::Hash => {
                let back = self.rng.i64(0..10);
                return Step::Hash(if back == 0 { 0 } else { (known.revision - back).max(1) });
            }
        })
    }

    /// A value that no other call puts.
    pub(crate) fn value(&mut self) -> Bytes {
        self.values += 1;
        let (client, number) = (self.client, self.values);
        let padding = if self.percent(3) { "x".repeat(self.rng.usize(100..3_000)) } else { String::new() };
        format!("{client}.{number}{padding}").into()
    }

    /// The same, of so many bytes.
    pub(crate) fn large_value(&mut self, bytes: usize) -> Bytes {
        let mut value = Vec::from(self.value());
        value.resize(bytes.max(value.len()), b'y');
        value.into()
    }

    /// How long the client thinks, in milliseconds.
    pub(crate) fn think_ms(&mut self) -> u64 {
        self.draw(self.settings.think_ms.clone())
    }

    /// Any number of a range.
    pub(crate) fn draw(&mut self, range: RangeInclusive<u64>) -> u64 {
        self.rng.u64(range)
    }

    /// True so many times out of a hundred.
    pub(crate) fn percent(&mut self, percent: u32) -> bool {
        self.rng.u32(..100) < percent
    }

    /// A TTL in seconds.
    pub(crate) fn ttl(&mut self) -> i64 {
        self.rng.i64(self.settings.ttl_seconds.clone())
    }

    /// The grant of a lease with an id of its own, and rarely of one that may be there already.
    pub(crate) fn grant(&mut self) -> LeaseGrantRequest {
        let again = self.leases > 0 && self.percent(6);
        if !again {
            self.leases += 1;
        }
        let number = if again { self.rng.i64(1..=self.leases) } else { self.leases };
        let ttl = if self.percent(2) { 9_000_000_001 } else { self.ttl() };
        LeaseGrantRequest { id: lease_id(self.client, number), ttl }
    }

    /// The grant of a lease that outlives every run.
    pub(crate) fn last_grant(&mut self) -> LeaseGrantRequest {
        self.leases += 1;
        LeaseGrantRequest { id: lease_id(self.client, self.leases), ttl: LAST_TTL_SECONDS }
    }

    /// A lease that was granted to this client, as a rule, or else one that another may have or have had.
    fn lease(&mut self, known: &Known) -> i64 {
        if !known.leases.is_empty() && self.percent(75) {
            return known.leases[self.rng.usize(..known.leases.len())];
        }
        let client = self.rng.u32(..self.settings.clients);
        lease_id(client, self.rng.i64(1..=self.leases + 2))
    }

    /// A compaction that takes nothing from those who watch everything; a read as long as they have seen nothing.
    fn compact(&mut self, confirmed: i64) -> Operation {
        if confirmed < 2 {
            return Operation::Range(RangeRequest { key: COUNTER.into(), ..RangeRequest::default() });
        }
        let revision = match self.rng.u32(..10) {
            0..4 => confirmed,
            4..8 => (confirmed - self.rng.i64(0..30)).max(1),
            _ => self.rng.i64(1..=confirmed),
        };
        Operation::Compact(CompactionRequest { revision, physical: self.percent(30) })
    }

    /// A key; the first ones most often.
    fn key(&mut self) -> Bytes {
        let skewed = self.rng.f64() * self.rng.f64();
        self.keys[(skewed * self.keys.len() as f64) as usize].clone()
    }

    /// A key and a range end below the prefix: one key, some, or all of them.
    fn keys(&mut self) -> (Bytes, Bytes) {
        match self.rng.u32(..100) {
            0..60 => (self.key(), Bytes::new()),
            60..75 => (PREFIX.into(), PREFIX_END.into()),
            _ => {
                let (first, second) = (self.key(), self.key());
                // An empty range, now and then.
                if first <= second || self.percent(10) { (first, second) } else { (second, first) }
            }
        }
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.rng.usize(..choices.len())]
    }
}

/// The id of a client's lease, which others can guess.
fn lease_id(client: u32, number: i64) -> i64 {
    (i64::from(client) + 1) * 1_000_000 + number
}
