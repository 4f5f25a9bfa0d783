//! What an event changes: the answers of calls, the keep-alive stream, and who holds the key.

use std::sync::Arc;
use std::time::Duration;

use super::doomed::Attempts;
use super::event::{Event, Holder, LeaseId, Moment, PutOutcome};
use super::{Conflict, Flight, Key, Machine, TOMBSTONE_PAUSE};
use crate::channel::Failure;
use crate::error::{Error, LeaseTrouble};
use crate::planted::{Bug, planted};

impl Machine {
    /// Takes an event into the state, and decides nothing that `advance` can read off it.
    pub(super) fn absorb(&mut self, event: Event, now: Moment) {
        match event {
            Event::Granted { id, ttl } => self.granted(id, ttl),
            Event::GrantExists { id } => self.grant_exists(id),
            Event::GrantFailed { id, failure } => self.grant_failed(id, failure, now),
            Event::Put(outcome) => self.put_settled(outcome, now),
            Event::Revoke { id, outcome } => self.doomed.revoke_settled(id, &outcome, now),
            Event::KeptAlive { id, ttl } => self.kept_alive(id, ttl),
            Event::StreamLost(trouble) => self.stream_lost(trouble, now),
            Event::Key { revision, holder } if self.put.is_some() => {
                if self.held_back.as_ref().is_none_or(|(seen, _)| revision >= *seen) {
                    self.held_back = Some((revision, holder));
                }
            }
            Event::Key { revision, holder } => self.key_seen(revision, holder),
            Event::Update { instance, number } => self.update(*instance, number),
            Event::Shutdown { drain, deadline } => self.shut_down(drain, deadline),
            Event::Dropped if planted(Bug::DropKeepsLease) => {}
            Event::Dropped => self.close(None),
            Event::Tick => {}
        }
    }

    fn granted(&mut self, id: LeaseId, ttl: Duration) {
        match &mut self.lease {
            Some(lease) if lease.id == id => {
                lease.grant(ttl);
                self.retry.reset();
            }
            _ => self.doomed.grant_settled(id, true, Attempts::answer),
        }
    }

    fn grant_exists(&mut self, id: LeaseId) {
        match &mut self.lease {
            Some(lease) if lease.id == id && lease.attempts.sent > 1 => {
                lease.adopt(self.settings.ttl);
                self.retry.reset();
            }
            // Somebody else's lease: leave it alone and take another id.
            Some(lease) if lease.id == id => self.lease = None,
            _ => self.doomed.grant_settled(id, true, Attempts::answer_all),
        }
    }

    fn grant_failed(&mut self, id: LeaseId, failure: Failure, now: Moment) {
        match &mut self.lease {
            Some(lease) if lease.id == id => {
                lease.attempts.fail(failure.maybe_done, now);
                self.failed(failure.error, now);
            }
            _ => self.doomed.grant_settled(id, false, |attempts| attempts.fail(failure.maybe_done, now)),
        }
    }

    fn put_settled(&mut self, outcome: PutOutcome, now: Moment) {
        let Some(flight) = self.put.take() else { return };
        match outcome {
            PutOutcome::Stored { revision } => {
                self.seen_revision = self.seen_revision.max(revision);
                self.key = Key::Ours { mod_revision: revision, lease: flight.lease };
                self.stored = self.stored.max(flight.update);
                self.refused = None;
                self.trouble = None;
                self.tombstone = false;
                self.retry.reset();
            }
            PutOutcome::Conflict { revision, holder, tombstone } => {
                self.conflicted(revision, holder, &flight, now);
                self.tombstone = tombstone;
                if tombstone {
                    self.entombed(now);
                }
            }
            PutOutcome::NoLease => {
                if self.lease.as_ref().is_some_and(|lease| lease.id == flight.lease) {
                    self.lose_lease(LeaseTrouble::NotFound);
                }
            }
            PutOutcome::Failed(failure) => {
                if failure.error.is_permanent() {
                    self.refused = Some((flight.update, Arc::new(failure.error.clone())));
                }
                self.failed(failure.error, now);
            }
        }
        if let Some((revision, holder)) = self.held_back.take() {
            self.key_seen(revision, holder);
        }
    }

    /// The put's comparison did not hold; what stands there decides.
    fn conflicted(&mut self, revision: i64, holder: Option<Holder>, flight: &Flight, now: Moment) {
        let known = holder.as_ref().is_some_and(|holder| self.is_ours(holder.lease));
        if let Some(holder) = holder.as_ref().filter(|_| known)
            && holder.lease == flight.lease
            && holder.value == flight.value
        {
            // An earlier attempt, whose answer was lost, had been carried out.
            self.stored = self.stored.max(flight.update);
        }
        let waiting = matches!(self.key, Key::Foreign { .. });
        self.key_seen(revision, holder);
        let takes_at_once = self.settings.conflict == Conflict::TakeOver && !waiting;
        if matches!(self.key, Key::Foreign { .. }) && !takes_at_once {
            let pause = (self.settings.ttl / 3).max(Duration::from_secs(1));
            self.retry.wait_until(now + pause.min(Duration::from_secs(10)));
        }
    }

    /// An operator keeps the instance away: a first registration fails, a later one looks again now and then.
    fn entombed(&mut self, now: Moment) {
        let error = Error::Tombstone { key: self.settings.key.clone() };
        if self.established {
            self.trouble = Some(Arc::new(error));
            self.retry.wait_until(now + TOMBSTONE_PAUSE);
        } else {
            self.close(Some(error));
        }
    }

    /// The key stands, or does not, at `revision`: by a watch or by a put's answer.
    fn key_seen(&mut self, revision: i64, holder: Option<Holder>) {
        if revision < self.seen_revision {
            return;
        }
        self.seen_revision = revision;
        let Some(holder) = holder else {
            if self.key != Key::Absent {
                self.key = Key::Absent;
                if !self.tombstone {
                    self.retry.reset();
                }
            }
            return;
        };
        let ours = self.is_ours(holder.lease) || (holder.lease == 0 && self.established);
        if ours {
            self.instance.keep_unknown_fields(&holder.value);
            self.key = Key::Ours { mod_revision: holder.mod_revision, lease: holder.lease };
            return;
        }
        self.key = Key::Foreign { mod_revision: holder.mod_revision };
        if self.established || self.settings.conflict == Conflict::Fail {
            let conflict = Error::Conflict { key: self.settings.key.clone(), lease: holder.lease };
            self.close(Some(conflict));
        }
    }

    fn kept_alive(&mut self, id: LeaseId, ttl: Duration) {
        let Some(lease) = self.lease.as_mut().filter(|lease| lease.id == id) else { return };
        if ttl.is_zero() {
            self.lose_lease(LeaseTrouble::Gone);
        } else if let Some(held) = &mut lease.held {
            held.renew(ttl);
            self.trouble.take_if(|trouble| matches!(**trouble, Error::Lease(_)));
        }
    }

    fn stream_lost(&mut self, trouble: LeaseTrouble, now: Moment) {
        if let Some(held) = self.lease.as_mut().and_then(|lease| lease.held.as_mut()) {
            held.forget_asked(now);
            self.trouble = Some(Arc::new(trouble.into()));
        }
    }

    /// The lease is gone, and with it the key: start anew with another lease.
    fn lose_lease(&mut self, trouble: LeaseTrouble) {
        self.doom_lease();
        self.key = Key::Absent;
        // The registry may be another one now, with lower revisions.
        self.seen_revision = 0;
        self.trouble = Some(Arc::new(trouble.into()));
        self.retry.reset();
    }
}
