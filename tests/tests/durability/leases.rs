//! Leases of several TTLs, kept alive or not, and what a crash may do to them.
//!
//! The model knows two times of each lease. It is never gone before its TTL has passed since the last renewal
//! that was acknowledged. And it has no more than the log says when the server starts: what remains is
//! recorded once in a checkpoint interval in which nobody renews it, so a crash gives back one interval at
//! most, and all of the TTL only to a lease that no interval has passed over.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use registry_proto::etcdserverpb::LeaseTimeToLiveResponse;
use registry_tests::Client;
use tokio::time::Instant;

use registry_tests::chronicle::Chronicle;

/// What a due checkpoint or revocation may wait before it is begun: the server looks every half second.
const LATE: Duration = Duration::from_secs(1);
/// Each is a read and a write then, and waits for both as long as any other.
const STEPS: u32 = 2;

/// Lower ids are left to others.
const FIRST_ID: i64 = 1_000;
/// Leases of a greater TTL, in seconds, are not waited for.
const LONGEST_WAIT: i64 = 6;

/// All leases that there may be.
#[derive(Debug, Default)]
pub(crate) struct Leases(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// How many were asked for.
    count: i64,
    leases: BTreeMap<i64, Lease>,
    tally: Tally,
}

/// The end of a life of the server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Crash {
    pub(crate) at: Instant,
    /// For how long there was no server afterwards, at least.
    pub(crate) down: Duration,
    /// How long writes had waited before.
    pub(crate) stall: Duration,
}

/// Who keeps a lease alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    Always,
    /// In some of the server's lives.
    Sometimes,
    Never,
}

#[derive(Debug, Clone)]
struct Lease {
    ttl: i64,
    kept: Kept,
    is_acknowledged: bool,
    /// Its keys were put, too.
    is_whole: bool,
    /// A revocation was asked for.
    is_revoked: bool,
    /// A keep-alive without an answer is under way.
    is_renewing: bool,
    /// It is there until then.
    not_before: Instant,
    /// When the server's clock for it began, at the latest: a renewal, or the start.
    untouched_since: Instant,
    /// What remained then, at most, in seconds.
    had: i64,
}

/// What became of leases.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Tally {
    pub(crate) granted: usize,
    pub(crate) renewed: usize,
    pub(crate) expired: usize,
    /// Found after a crash with less than their TTL, as they must.
    pub(crate) aged: usize,
}

impl Crash {
    /// It happens now.
    pub(crate) fn now(stall: Duration) -> Self {
        Self { at: Instant::now(), down: Duration::ZERO, stall }
    }
}

impl Lease {
    /// As the server has it: half the TTL, 1 s to 5 min.
    fn interval(&self) -> i64 {
        (self.ttl / 2).clamp(1, 300)
    }

    /// When it is due to go, at the latest, if the server lives that long.
    fn latest(&self) -> Instant {
        self.untouched_since + seconds(self.had)
    }

    /// What the log says of it at a crash, at most.
    fn in_log(&self, crash: Instant, stall: Duration) -> i64 {
        if self.is_renewing || !self.is_acknowledged {
            return self.ttl;
        }
        let each = seconds(self.interval()) + LATE + STEPS * stall;
        let intervals = (crash - self.untouched_since).as_millis() / each.as_millis();
        // The last interval may end with the lease itself, which is not recorded then.
        let recorded = (1..=intervals as i64).map(|count| self.had - count * self.interval());
        recorded.take_while(|remaining| *remaining > 0).last().unwrap_or(self.had)
    }

    fn check(&self, id: i64, answer: &LeaseTimeToLiveResponse, asked: Instant, answered: Instant) {
        assert_eq!(answer.granted_ttl, self.ttl, "lease {id}: {answer:?}");
        let most = self.latest().saturating_duration_since(asked).as_secs();
        let most = i64::try_from(most).expect("a few seconds");
        assert!(answer.ttl <= most, "lease {id} has {} s, and {most} s at most can remain of {self:?}", answer.ttl);
        // The answer is in whole seconds, rounded down.
        let least = self.not_before.saturating_duration_since(answered);
        assert!(seconds(answer.ttl + 1) > least, "lease {id} has {} s, less than {least:?}: {self:?}", answer.ttl);
    }
}

impl Leases {
    /// A lease is about to be asked for; its id.
    pub(crate) fn ask(&self, ttl: i64, kept: Kept) -> i64 {
        assert!(ttl % 2 == 0, "half of it is a whole number of seconds");
        let now = Instant::now();
        let mut known = self.0.lock();
        known.count += 1;
        let (id, not_before, untouched_since) = (FIRST_ID + known.count, now, now);
        let lease = Lease {
            ttl,
            kept,
            is_acknowledged: false,
            is_whole: false,
            is_revoked: false,
            is_renewing: false,
            not_before,
            untouched_since,
            had: ttl,
        };
        known.leases.insert(id, lease);
        id
    }

    /// It was granted after `asked`.
    pub(crate) fn granted(&self, id: i64, asked: Instant) {
        let mut known = self.0.lock();
        known.tally.granted += 1;
        let lease = known.leases.get_mut(&id).expect("it was asked for");
        lease.is_acknowledged = true;
        lease.restart(asked);
    }

    /// All its keys were put.
    pub(crate) fn is_whole(&self, id: i64) {
        self.0.lock().leases.get_mut(&id).expect("it was asked for").is_whole = true;
    }

    /// A keep-alive is about to be sent.
    pub(crate) fn renewing(&self, id: i64) {
        if let Some(lease) = self.0.lock().leases.get_mut(&id) {
            lease.is_renewing = true;
        }
    }

    /// It was answered after `asked`, with this TTL; 0: there is no such lease.
    pub(crate) fn renewed(&self, id: i64, ttl: i64, asked: Instant) {
        let mut known = self.0.lock();
        known.tally.renewed += usize::from(ttl > 0);
        let Some(lease) = known.leases.get_mut(&id) else { return };
        lease.is_renewing = false;
        if ttl > 0 {
            assert_eq!(ttl, lease.ttl, "lease {id}");
            lease.restart(asked);
        } else {
            assert!(lease.may_be_gone(), "a keep-alive finds no lease {id}: {lease:?}");
        }
    }

    /// One of the long leases, which is about to be revoked, if there are more than so many.
    pub(crate) fn to_revoke(&self, more_than: usize) -> Option<i64> {
        let mut known = self.0.lock();
        let is_free = |lease: &Lease| lease.kept != Kept::Always && lease.is_whole && !lease.is_revoked;
        let mut long: Vec<_> =
            known.leases.iter_mut().filter(|(_, lease)| lease.ttl > LONGEST_WAIT && is_free(lease)).collect();
        if long.len() <= more_than {
            return None;
        }
        let (id, lease) = long.swap_remove(0);
        lease.is_revoked = true;
        Some(*id)
    }

    /// Those that somebody keeps alive.
    pub(crate) fn kept(&self, kept: Kept) -> Vec<i64> {
        let known = self.0.lock();
        known
            .leases
            .iter()
            .filter(|(_, lease)| lease.kept == kept && lease.is_acknowledged)
            .map(|(id, _)| *id)
            .collect()
    }

    /// The server serves again.
    pub(crate) fn restarted(&self, crash: &Crash) {
        let served = Instant::now();
        for lease in self.0.lock().leases.values_mut() {
            lease.had = lease.in_log(crash.at, crash.stall);
            lease.untouched_since = served;
            // The time in which there is no server is nobody's.
            lease.not_before += crash.down;
            lease.is_renewing = false;
        }
    }

    /// Nobody asked for a revision in which these keys were deleted: were they all that a lease had?
    pub(crate) fn took(&self, lease: i64, keys: &[bytes::Bytes], all: &[bytes::Bytes]) {
        let known = self.0.lock();
        let expired = known.leases.get(&lease);
        let expired = expired.unwrap_or_else(|| panic!("{keys:?} were deleted, and lease {lease} is none"));
        assert!(expired.may_be_gone(), "{keys:?} went early with lease {lease}: {expired:?}");
        assert_eq!(keys, all, "lease {lease} took other keys than it had");
    }

    /// Compares all that the server has with all that it may have.
    pub(crate) async fn check(&self, client: &Client, chronicle: &Chronicle) {
        let found = client.leases().await;
        let known = self.0.lock().leases.clone();
        assert!(found.iter().all(|id| known.contains_key(id)), "nobody asked for one of {found:?}");
        for (id, lease) in known {
            let asked = Instant::now();
            let answer = client.time_to_live(id).await;
            if answer.ttl >= 0 {
                lease.check(id, &answer, asked, Instant::now());
                let mut known = self.0.lock();
                known.tally.aged += usize::from(lease.had < lease.ttl);
                known.leases.get_mut(&id).expect("it was there").is_acknowledged = true;
            } else {
                assert!(lease.may_be_gone() && lease.kept != Kept::Always, "lease {id} is lost: {lease:?}");
                let keys = chronicle.keys_under(id);
                if keys.is_empty() {
                    let mut known = self.0.lock();
                    known.tally.expired += usize::from(lease.is_acknowledged && !lease.is_revoked);
                    known.leases.remove(&id);
                }
                // Else it went after the history was read; the next reading tells.
                for key in keys {
                    let key = String::from_utf8_lossy(&key);
                    assert!(client.get(&key).await.is_none(), "lease {id} is gone without {key}");
                }
            }
        }
    }

    /// No lease is there any more whose time is over; writes wait for `stall`.
    pub(crate) async fn check_none_is_late(&self, client: &Client, stall: Duration) {
        let asked = Instant::now();
        let found = client.leases().await;
        let known = self.0.lock();
        for lease in found.iter().filter_map(|id| known.leases.get(id)) {
            assert!(asked <= lease.latest() + LATE + STEPS * stall, "it should be gone: {lease:?}");
        }
    }

    /// Whether those are there that are kept alive, and of the others only long ones.
    pub(crate) async fn only_long_and_kept_ones_are_left(&self, client: &Client) -> bool {
        let found = client.leases().await;
        let known = self.0.lock();
        let kept = known.leases.iter().filter(|(_, lease)| lease.kept == Kept::Always);
        kept.for_each(|(id, lease)| assert!(found.contains(id), "lease {id} is gone: {lease:?}"));
        let stays = |lease: &Lease| lease.kept == Kept::Always || lease.ttl > LONGEST_WAIT;
        found.iter().all(|id| known.leases.get(id).is_some_and(stays))
    }

    /// What became of all so far.
    pub(crate) fn tally(&self) -> Tally {
        self.0.lock().tally
    }
}

impl Lease {
    fn restart(&mut self, asked: Instant) {
        self.not_before = asked + seconds(self.ttl);
        self.untouched_since = Instant::now();
        self.had = self.ttl;
    }

    fn may_be_gone(&self) -> bool {
        !self.is_acknowledged || self.is_revoked || Instant::now() >= self.not_before
    }
}

fn seconds(seconds: i64) -> Duration {
    Duration::from_secs(seconds.unsigned_abs())
}
