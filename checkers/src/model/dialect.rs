//! Where servers that all speak etcd's API are known to differ.

/// Whose behaviour the model has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Our server: etcd 3.7, but for a key that one transaction changes twice, which the gaps in the rule
    /// about duplicate keys let happen: etcd tells watchers each change, this server only what came of them.
    Registry,
    /// etcd 3.4.
    Etcd34,
}

impl Dialect {
    /// Newer versions answer `keys_only` from the index, in which there is no lease. They read the records only
    /// when values are what is sorted by.
    #[must_use]
    pub fn keys_only_hides_the_lease(self) -> bool {
        self == Self::Registry
    }

    /// 3.4 checks all puts of a transaction before its ranges, and what a put keeps before its lease; newer
    /// versions go from operation to operation and look for the lease first.
    #[must_use]
    pub fn checks_puts_before_ranges(self) -> bool {
        self == Self::Etcd34
    }

    /// 3.4 takes any sort target and dies of those that do not exist: they are not asked for.
    #[must_use]
    pub fn refuses_unknown_sorts(self) -> bool {
        self == Self::Registry
    }

    /// etcd's gap in the rule about duplicate keys makes it panic when a put is to keep what the transaction
    /// has deleted before; nothing of the kind is asked of it.
    #[must_use]
    pub fn survives_a_put_that_keeps_what_is_deleted(self) -> bool {
        self == Self::Registry
    }

    /// A watcher from the compacted revision itself gets all that happened there. 3.4 may have lost the
    /// deletions.
    #[must_use]
    pub fn watches_from_the_compacted_revision(self) -> bool {
        self == Self::Registry
    }

    /// Of a key that a transaction changes twice, watchers see the last change only.
    #[must_use]
    pub fn merges_changes_of_a_revision(self) -> bool {
        self == Self::Registry
    }

    /// Go's sort keeps the order of equals up to this many elements, so that answers are the same with more
    /// keys only where no two compare as equal.
    #[must_use]
    pub fn keys_sorted_stably(self) -> usize {
        match self {
            Self::Registry => usize::MAX,
            Self::Etcd34 => 12,
        }
    }
}
