//! The cluster's version: what every member knows, and so what may be in their log.
//!
//! A member tells what it knows when it starts. The cluster's version is the lowest that was told, once every member has
//! told one, and never goes down. Members of several versions can so run together while they are upgraded one by one:
//! what a new version brings is used when the last member has it. etcd's cluster version does the same; this one
//! counts what commands and peers say, and is no product version.

use std::collections::BTreeMap;

use crate::types::MemberId;

/// What this program knows. It is raised with every command, and every field of one, that a member of before must not skip.
///
/// 2: authors of commands, users and roles, several learners.
pub const KNOWN_VERSION: u32 = 2;

/// What members have told, and what follows for the cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Versions {
    told: BTreeMap<MemberId, u32>,
    cluster: u32,
}

impl Versions {
    pub(super) fn restored(told: impl IntoIterator<Item = (MemberId, u32)>, cluster: u32) -> Self {
        Self { told: told.into_iter().collect(), cluster }
    }

    /// The cluster's; 0 before every member has told its own.
    pub(super) fn of_cluster(&self) -> u32 {
        self.cluster
    }

    pub(super) fn of(&self, member: MemberId) -> Option<u32> {
        self.told.get(&member).copied()
    }

    pub(super) fn told(&self) -> impl Iterator<Item = (MemberId, u32)> {
        self.told.iter().map(|(member, version)| (*member, *version))
    }

    /// Whether a member that knows so much understands what is in the log already.
    pub(super) fn admits(&self, version: u32) -> bool {
        version >= self.cluster
    }

    pub(super) fn tell(&mut self, member: MemberId, version: u32) {
        self.told.insert(member, version);
    }

    pub(super) fn forget(&mut self, member: MemberId) {
        self.told.remove(&member);
    }

    /// Raises the cluster's version to what all of these members have told.
    pub(super) fn raise(&mut self, mut members: impl Iterator<Item = MemberId>) {
        let lowest = members.try_fold(u32::MAX, |lowest, member| Some(lowest.min(self.of(member)?)));
        if let Some(lowest) = lowest.filter(|lowest| *lowest < u32::MAX && *lowest > self.cluster) {
            self.cluster = lowest;
            tracing::info!(version = lowest, "all members know the cluster's version");
        }
    }
}
