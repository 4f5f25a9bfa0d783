//! Bugs that are planted on purpose, one at a time: the proof that the simulation finds such bugs.
//!
//! Each stands where it would really be made, as a condition that asks `planted`. Only with the feature `planted-bugs`,
//! which is for tests, can one be planted; without it the answer is a constant, and nothing of a bug is compiled. A
//! simulation runs on one thread, so what is planted is planted on a thread.

macro_rules! bugs {
    ($($room:literal { $($(#[$doc:meta])* $name:ident,)+ })+) => {
        /// A bug that can be planted.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Bug {
            $($($(#[$doc])* $name,)+)+
        }

        #[cfg(feature = "planted-bugs")]
        impl Bug {
            /// All of them, room by room.
            pub const ALL: &[Self] = &[$($(Self::$name,)+)+];

            /// Where it is.
            #[must_use]
            pub const fn room(self) -> &'static str {
                match self {
                    $($(Self::$name)|+ => $room,)+
                }
            }
        }
    };
}

bugs! {
    "storage" {
        /// A batch is acknowledged and never synced.
        WalSkipsSync,
        /// A batch is acknowledged when it is written, and synced a little later.
        WalAnswersBeforeSync,
        /// A sync that fails counts as one that did not.
        WalIgnoresFailedSync,
        /// A new segment begins without the vote.
        SegmentWithoutVote,
        /// What was truncated is there again when the log is read back.
        RecoveryForgetsTruncation,
        /// The last batch is not written anew when the log is read back, though its sync may have failed.
        RecoveryTrustsLastBatch,
        /// A snapshot counts before it is synced.
        SnapshotNotSynced,
        /// A snapshot counts before its name is synced.
        SnapshotNameNotSynced,
    }
    "consensus" {
        /// The vote is kept in memory only.
        VoteNotSaved,
        /// Whoever thinks that it leads answers linearizable reads.
        ReadWithoutRound,
        /// A read that comes during a round is served by that round.
        ReadIndexReused,
        /// A follower answers a linearizable read before it has applied what the leader had.
        FollowerReadsAtOnce,
        /// A batch whose fate is unknown is sent again.
        UnknownSentAgain,
        /// What a new leader has got already counts as lost with the old one.
        LostTooSoon,
        /// What a snapshot jumped over is sent again.
        SkippedSentAgain,
        /// A batch whose fate is unknown is told as refused.
        UnknownToldAsRefused,
        /// A batch of another node answers the callers of the batch with that number here.
        OriginNotCompared,
    }
    "mvcc" {
        /// The first revision that is kept is refused.
        CompactsOneTooMany,
        /// What is swept is a revision more than what was compacted.
        SweepsOneTooMany,
        /// Of many keys that are deleted, the first stays.
        TombstoneDropped,
        /// A key that comes back goes on as if it had not been deleted.
        VersionNotReset,
        /// `prev_kv` is of the revision before the last.
        PrevKvTooOld,
        /// A slice of history may end in the middle of a revision.
        SliceEndsInRevision,
    }
    "apply" {
        /// A transaction that is refused has done its first put.
        RefusedTxnPuts,
        /// A lease that goes leaves its first key.
        RevokeLeavesKey,
        /// The keys of a lease go in another order on each member, as those of a hash set do.
        RevokeInRandomOrder,
        /// A key that moves to another lease goes with the first one, too.
        MovedKeyStaysAttached,
        /// Grants are counted anew after a snapshot.
        SnapshotForgetsGrants,
        /// What was compacted can be asked for again after a snapshot.
        SnapshotForgetsCompaction,
        /// Watchers do not hear that a snapshot has replaced the state.
        SnapshotUntold,
    }
    "watch" {
        /// A watcher whose queue is full misses what does not fit.
        FullQueueSkipped,
        /// A watcher that begins at the newest revision misses it.
        JoinLosesOne,
        /// A watcher misses a revision between catching up and going on live.
        RejoinLosesOne,
        /// A watcher misses the first revision that a snapshot brings.
        SnapshotLosesOne,
        /// A watcher of what is compacted goes on with what is left.
        CompactedSkipped,
        /// Progress is told while watchers are behind.
        ProgressBeforeEvents,
        /// Whoever wants no puts gets no deletions.
        FilterTurnedRound,
        /// Parts of an answer are not flagged as such.
        FragmentUnflagged,
    }
    "lease" {
        /// A keep-alive renews a lease that is being revoked.
        RevokingRenewed,
        /// A keep-alive renews a lease of which the log says that less remains.
        RecordedRenewed,
        /// A keep-alive renews a lease while what remains of it is being recorded.
        RecordingRenewed,
        /// What is recorded is half of what remains.
        CheckpointHalves,
        /// A new leader goes on with deadlines of before it led.
        DeadlinesNotRestarted,
    }
    "api" {
        /// A keep-alive is answered without anybody's word that this node leads.
        KeepAliveUnconfirmed,
    }
    "server" {
        /// A leader that was stalled ends the leases that were due in its term.
        OldLeaderExpires,
    }
    "membership" {
        /// A member that was removed keeps its vote.
        RemovalKeepsVote,
        /// The names of members are not in snapshots.
        SnapshotForgetsNames,
    }
}

#[cfg(feature = "planted-bugs")]
mod thread {
    use std::cell::Cell;

    use super::Bug;

    thread_local! {
        static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
        static HITS: Cell<u64> = const { Cell::new(0) };
    }

    /// Plants a bug on this thread, in place of the one before; none for none.
    pub fn plant(bug: Option<Bug>) {
        PLANTED.set(bug);
        HITS.set(0);
    }

    /// How often the planted bug has done something since it was planted.
    #[must_use]
    pub fn hits() -> u64 {
        HITS.get()
    }

    /// Whether this bug is planted here. Asked last in a condition, so that what is counted are its effects.
    pub(crate) fn planted(bug: Bug) -> bool {
        let is_planted = PLANTED.get() == Some(bug);
        HITS.set(HITS.get() + u64::from(is_planted));
        is_planted
    }
}

#[cfg(feature = "planted-bugs")]
pub(crate) use self::thread::planted;
#[cfg(feature = "planted-bugs")]
pub use self::thread::{hits, plant};

/// No bug is ever planted without the feature.
#[cfg(not(feature = "planted-bugs"))]
pub(crate) const fn planted(_bug: Bug) -> bool {
    false
}
