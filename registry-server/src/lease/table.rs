//! The replicated leases: granted TTLs, what is recorded as remaining of them, and attached keys.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::types::{Grant, GrantNumber, LeaseId};

/// The longest TTL that can be granted, in seconds (etcd's limit).
pub const MAX_TTL_SECONDS: i64 = 9_000_000_000;

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
}

impl Leases {
    /// No lease yet; the next grant is counted after this one.
    #[must_use]
    pub fn after(last_grant: GrantNumber) -> Self {
        Self { last_grant, ..Self::default() }
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
        self.leases.remove(&id)
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

    /// Moves a key from the lease that held it to another; an id of 0 stands for none. A lease that is not
    /// there any more is passed over.
    pub fn move_key(&mut self, key: &Bytes, from: LeaseId, to: LeaseId) {
        if from == to {
            return;
        }
        if let Some(lease) = self.leases.get_mut(&from) {
            lease.keys.remove(key);
        }
        if let Some(lease) = self.leases.get_mut(&to) {
            // A copy: the key given may share the buffer of a whole request.
            lease.keys.insert(Bytes::copy_from_slice(key));
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
}
