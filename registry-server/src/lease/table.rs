//! The replicated leases: granted TTLs, what is recorded as remaining of them, and attached keys.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::types::{Grant, GrantNumber, LeaseId};

/// The longest TTL that can be granted, in seconds (etcd's limit).
pub const MAX_TTL_SECONDS: i64 = 9_000_000_000;

/// What a lease takes in memory without its keys, about: in the table here and, three times, among the deadlines.
/// B-trees are two thirds full when ids are random.
pub const LEASE_BYTES: u64 = 400;
/// A B-tree's node of keys. Every lease with a key has at least one.
const NODE_BYTES: u64 = 11 * size_of::<Bytes>() as u64 + 24;
/// Keys in a node, about.
const NODE_KEYS: u64 = 6;
/// What an attached key takes beside itself, at the most: the first one of a lease.
pub const ATTACHED_KEY_BYTES: u64 = NODE_BYTES + 16;

/// A lease as it is replicated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Which life of its id this is.
    pub number: GrantNumber,
    /// The granted TTL in seconds, within the minimum and [`MAX_TTL_SECONDS`].
    pub ttl_seconds: i64,
    /// What a checkpoint recorded as remaining, in seconds from 1 to the TTL; none while that is all of it.
    pub remaining_seconds: Option<i64>,
    /// The keys that go when the lease goes, in their order.
    pub keys: BTreeSet<Bytes>,
}

/// Why a lease was not granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// The id is taken.
    #[error("lease already exists")]
    Exists,
    /// Above [`MAX_TTL_SECONDS`].
    #[error("too large lease TTL")]
    TtlTooLarge,
}

/// All leases, in the order of their ids: what is done to all of them is done alike on every member.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Leases {
    leases: BTreeMap<LeaseId, Lease>,
    /// The number of the newest grant there ever was.
    last_grant: GrantNumber,
    key_bytes: u64,
}

impl Leases {
    /// No lease yet; the next grant is counted after this one.
    #[must_use]
    pub fn after(last_grant: GrantNumber) -> Self {
        Self { last_grant, ..Self::default() }
    }

    /// The leases from an id on, in their order.
    pub fn iter_from(&self, id: LeaseId) -> impl Iterator<Item = (LeaseId, &Lease)> {
        self.leases.range(id..).map(|(id, lease)| (*id, lease))
    }

    /// Makes a lease without keys and tells its number.
    ///
    /// # Errors
    /// See [`GrantError`]; nothing changed then.
    pub fn grant(&mut self, id: LeaseId, ttl_seconds: i64) -> Result<Grant, GrantError> {
        let number = GrantNumber(self.last_grant.0 + 1);
        self.restore(Grant { id, number }, ttl_seconds)?;
        self.last_grant = number;
        Ok(Grant { id, number })
    }

    /// Makes a lease that was granted before.
    ///
    /// # Errors
    /// See [`GrantError`]; nothing changed then.
    pub fn restore(&mut self, grant: Grant, ttl_seconds: i64) -> Result<(), GrantError> {
        if ttl_seconds > MAX_TTL_SECONDS {
            return Err(GrantError::TtlTooLarge);
        }
        if self.leases.contains_key(&grant.id) {
            return Err(GrantError::Exists);
        }
        let lease = Lease { number: grant.number, ttl_seconds, remaining_seconds: None, keys: BTreeSet::new() };
        self.leases.insert(grant.id, lease);
        Ok(())
    }

    /// Takes a lease out, with the keys that must go with it.
    pub fn revoke(&mut self, id: LeaseId) -> Option<Lease> {
        let lease = self.leases.remove(&id)?;
        self.key_bytes -= bytes_of(&lease.keys);
        Some(lease)
    }

    /// Records how many seconds remain of a lease; anything below 1 stands for its whole TTL. A lease that is
    /// not there any more is passed over, and false the answer.
    pub fn checkpoint(&mut self, grant: Grant, remaining_seconds: i64) -> bool {
        let Some(lease) = self.leases.get_mut(&grant.id).filter(|lease| lease.is(grant.number)) else { return false };
        lease.remaining_seconds = (remaining_seconds > 0).then_some(remaining_seconds.min(lease.ttl_seconds));
        true
    }

    /// A lease, if there is one of that id.
    #[must_use]
    pub fn get(&self, id: LeaseId) -> Option<&Lease> {
        self.leases.get(&id)
    }

    /// Every lease, by id.
    pub fn iter(&self) -> impl Iterator<Item = (LeaseId, &Lease)> {
        self.leases.iter().map(|(id, lease)| (*id, lease))
    }

    /// How many leases there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.leases.len()
    }

    /// No lease at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.leases.is_empty()
    }

    /// The number of the newest grant there ever was.
    #[must_use]
    pub fn last_grant(&self) -> GrantNumber {
        self.last_grant
    }

    /// An estimate of what all leases take in memory, their deadlines included.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.leases.len() as u64 * LEASE_BYTES + self.key_bytes
    }

    /// Moves a key from the lease that held it to another; an id of 0 stands for none. A lease that is not
    /// there any more is passed over.
    pub fn move_key(&mut self, key: &Bytes, from: LeaseId, to: LeaseId) {
        if from == to {
            return;
        }
        if let Some(lease) = self.leases.get_mut(&from) {
            let before = bytes_of_slots(lease.keys.len());
            if lease.keys.remove(key) {
                self.key_bytes -= before - bytes_of_slots(lease.keys.len()) + bytes_of_key(key);
            }
        }
        if let Some(lease) = self.leases.get_mut(&to) {
            let before = bytes_of_slots(lease.keys.len());
            // A copy: the key given may share the buffer of a whole request.
            if lease.keys.insert(Bytes::copy_from_slice(key)) {
                self.key_bytes += bytes_of_slots(lease.keys.len()) - before + bytes_of_key(key);
            }
        }
    }
}

impl Lease {
    /// Whether that number means this life of the lease; 0 means whichever there is.
    #[must_use]
    pub fn is(&self, number: GrantNumber) -> bool {
        number == GrantNumber(0) || number == self.number
    }
}

fn bytes_of_slots(keys: usize) -> u64 {
    (keys as u64).div_ceil(NODE_KEYS) * NODE_BYTES
}

fn bytes_of_key(key: &[u8]) -> u64 {
    key.len() as u64 + (ATTACHED_KEY_BYTES - NODE_BYTES)
}

fn bytes_of(keys: &BTreeSet<Bytes>) -> u64 {
    bytes_of_slots(keys.len()) + keys.iter().map(|key| bytes_of_key(key)).sum::<u64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(leases: &Leases, id: i64) -> Vec<&[u8]> {
        leases.get(LeaseId(id)).unwrap().keys.iter().map(|key| &key[..]).collect()
    }

    #[test]
    fn a_lease_is_granted_once() {
        let mut leases = Leases::default();
        leases.grant(LeaseId(1), 60).unwrap();
        assert_eq!(leases.grant(LeaseId(1), 60), Err(GrantError::Exists));
        assert_eq!(leases.grant(LeaseId(2), MAX_TTL_SECONDS + 1), Err(GrantError::TtlTooLarge));
        assert_eq!(leases.len(), 1);
    }

    #[test]
    fn each_grant_has_a_number_of_its_own_and_0_stands_for_any() {
        let mut leases = Leases::after(GrantNumber(9));
        let first = leases.grant(LeaseId(1), 60).unwrap();
        assert_eq!(leases.grant(LeaseId(1), 60), Err(GrantError::Exists));
        leases.revoke(LeaseId(1));
        let second = leases.grant(LeaseId(1), 60).unwrap();
        assert_eq!(
            (first.number, second.number, leases.last_grant()),
            (GrantNumber(10), GrantNumber(11), second.number)
        );
        assert!(!leases.checkpoint(first, 30));
        assert!(leases.checkpoint(second, 30));
        assert!(leases.checkpoint(Grant { number: GrantNumber(0), ..first }, 30));
    }

    #[test]
    fn a_checkpoint_records_what_remains_and_takes_it_back() {
        let mut leases = Leases::default();
        let grant = leases.grant(LeaseId(1), 60).unwrap();
        let mut record = |seconds| {
            assert!(!leases.checkpoint(Grant { id: LeaseId(2), ..grant }, seconds));
            assert!(leases.checkpoint(grant, seconds));
            leases.get(LeaseId(1)).unwrap().remaining_seconds
        };
        assert_eq!([30, 0, 90, -1].map(&mut record), [Some(30), None, Some(60), None]);
        assert_eq!(leases.len(), 1);
    }

    #[test]
    fn a_key_belongs_to_the_last_lease_it_was_put_under() {
        let mut leases = Leases::default();
        leases.grant(LeaseId(1), 60).unwrap();
        leases.grant(LeaseId(2), 60).unwrap();
        let key = Bytes::from_static(b"k");
        leases.move_key(&key, LeaseId(0), LeaseId(1));
        leases.move_key(&key, LeaseId(1), LeaseId(2));
        assert!(keys(&leases, 1).is_empty());
        assert_eq!(keys(&leases, 2), [b"k"]);
        leases.move_key(&key, LeaseId(2), LeaseId(0));
        assert!(keys(&leases, 2).is_empty());
    }

    #[test]
    fn leases_and_their_keys_have_a_size_and_none_is_left_of_it_when_they_are_gone() {
        let mut leases = Leases::default();
        for id in 1..=10 {
            leases.grant(LeaseId(id), 60).unwrap();
        }
        assert_eq!(leases.size_bytes(), 10 * LEASE_BYTES);
        let key = |n: i64| Bytes::from(format!("a key of some length {n:03}"));
        // One lease with many keys, taken off the others.
        for n in 0..100 {
            leases.move_key(&key(n), LeaseId(0), LeaseId(n % 10 + 1));
            leases.move_key(&key(n), LeaseId(0), LeaseId(n % 10 + 1));
        }
        let spread = leases.size_bytes();
        assert!((10 * LEASE_BYTES + 100 * 24..=10 * LEASE_BYTES + 100 * (24 + ATTACHED_KEY_BYTES)).contains(&spread));
        (0..100).for_each(|n| leases.move_key(&key(n), LeaseId(n % 10 + 1), LeaseId(1)));
        assert!(leases.size_bytes() < spread, "keys of one lease share nodes");
        leases.move_key(&key(0), LeaseId(1), LeaseId(0));
        leases.move_key(&key(0), LeaseId(1), LeaseId(0));
        (1..=10).for_each(|id| drop(leases.revoke(LeaseId(id))));
        assert_eq!(leases.size_bytes(), 0);
    }
}
