//! The replicated leases: granted TTLs, what is recorded as remaining of them, and attached keys.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::types::LeaseId;

/// The longest TTL that can be granted, in seconds (etcd's limit).
pub const MAX_TTL_SECONDS: i64 = 9_000_000_000;

/// A lease as it is replicated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
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
pub struct Leases(BTreeMap<LeaseId, Lease>);

impl Leases {
    /// Makes a lease without keys.
    ///
    /// # Errors
    /// See [`GrantError`]; nothing changed then.
    pub fn grant(&mut self, id: LeaseId, ttl_seconds: i64) -> Result<(), GrantError> {
        if ttl_seconds > MAX_TTL_SECONDS {
            return Err(GrantError::TtlTooLarge);
        }
        if self.0.contains_key(&id) {
            return Err(GrantError::Exists);
        }
        self.0.insert(id, Lease { ttl_seconds, remaining_seconds: None, keys: BTreeSet::new() });
        Ok(())
    }

    /// Takes a lease out, with the keys that must go with it.
    pub fn revoke(&mut self, id: LeaseId) -> Option<Lease> {
        self.0.remove(&id)
    }

    /// Records how many seconds remain of a lease; anything below 1 stands for its whole TTL. A lease that is
    /// not there any more is passed over.
    pub fn checkpoint(&mut self, id: LeaseId, remaining_seconds: i64) {
        if let Some(lease) = self.0.get_mut(&id) {
            lease.remaining_seconds = (remaining_seconds > 0).then_some(remaining_seconds.min(lease.ttl_seconds));
        }
    }

    /// A lease, if there is one of that id.
    #[must_use]
    pub fn get(&self, id: LeaseId) -> Option<&Lease> {
        self.0.get(&id)
    }

    /// Every lease, by id.
    pub fn iter(&self) -> impl Iterator<Item = (LeaseId, &Lease)> {
        self.0.iter().map(|(id, lease)| (*id, lease))
    }

    /// How many leases there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// No lease at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Moves a key from the lease that held it to another; an id of 0 stands for none. A lease that is not
    /// there any more is passed over.
    pub fn move_key(&mut self, key: &Bytes, from: LeaseId, to: LeaseId) {
        if from == to {
            return;
        }
        if let Some(lease) = self.0.get_mut(&from) {
            lease.keys.remove(key);
        }
        if let Some(lease) = self.0.get_mut(&to) {
            // A copy: the key given may share the buffer of a whole request.
            lease.keys.insert(Bytes::copy_from_slice(key));
        }
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
    fn a_checkpoint_records_what_remains_and_takes_it_back() {
        let mut leases = Leases::default();
        leases.grant(LeaseId(1), 60).unwrap();
        let mut record = |seconds| {
            leases.checkpoint(LeaseId(2), seconds);
            leases.checkpoint(LeaseId(1), seconds);
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
