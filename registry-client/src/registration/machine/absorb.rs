//! What an event changes: the answers of calls, the keep-alive stream, and who holds the keys.

use std::sync::Arc;
use std::time::Duration;

use super::doomed::Attempts;
use super::event::{Event, Found, Holder, LeaseId, Moment, PutOutcome};
use super::places::Key;
use super::{Conflict, Flight, Machine, TOMBSTONE_PAUSE};
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
            Event::Key { place, revision, holder } => self.key_told(place, revision, holder),
            Event::KeyRead { place, revision, holder } => self.key_read(place, revision, holder),
            Event::Update { changes, number } => self.update(changes, number),
            Event::Health { status } => self.health_changed(status),
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
            PutOutcome::Stored { revision } => self.stored(&flight, revision),
            PutOutcome::Conflict { revision, found } => {
                let changed = found.into_iter().fold(false, |changed, found| {
                    // Each of them has to be taken in.
                    self.conflicted(revision, found, &flight, now) | changed
                });
                if !changed {
                    // The same txn would fail in the same way, as fast as it can be sent.
                    self.retry.fail(now);
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
        for (place, (revision, holder)) in flight.held_back {
            self.key_seen(place, revision, holder);
        }
        for (place, (revision, holder)) in flight.reads_held_back {
            self.key_read(place, revision, holder);
        }
        self.stored = self.stored.max(self.places.stored(self.wanted));
        if !self.places.is_any_due() {
            self.gate_stored = self.gate;
        }
    }

    fn stored(&mut self, flight: &Flight, mod_revision: i64) {
        let live = self.live();
        for (place, sent) in &flight.sent {
            let found = self.places.get_mut(*place);
            // Lower than what was seen before in a registry that was restored.
            found.seen_revision = mod_revision;
            found.tombstone = false;
            self.places.note_stored(*place, sent.version, flight.update);
            self.places.set_key(*place, Key::Ours { mod_revision, lease: flight.lease }, live);
        }
        self.refused = None;
        if !self.places.is_any_aside() {
            self.trouble = None;
        }
        self.retry.reset();
    }

    /// A comparison of the put did not hold; what stands at each of its places decides. Says whether anything about
    /// the place has changed.
    fn conflicted(&mut self, revision: i64, found: Found, flight: &Flight, now: Moment) -> bool {
        let Found { place, holder, tombstone } = found;
        let Some(sent) = flight.sent.get(&place) else { return false };
        let before = (self.places.get(place).key.clone(), self.places.is_to_be_put(place));
        if let Some(holder) = holder.as_ref().filter(|holder| self.is_ours(holder.lease))
            && holder.lease == flight.lease
            && holder.value == sent.value
        {
            // An earlier attempt, whose answer was lost, had been carried out.
            self.places.note_stored(place, sent.version, flight.update);
        }
        if revision < self.places.get(place).seen_revision && holder.as_ref().is_none_or(|it| it.value != sent.value) {
            // What was stored was lost with what came after the backup.
            self.places.note_lost(place);
        }
        let waiting = matches!(self.places.get(place).key, Key::Foreign { .. });
        // All that was seen of the key before the txn was sent is older, and what came since is held back: a lower
        // revision is that of a registry that was restored.
        self.key_stands(place, revision, holder);
        let takes_at_once = self.settings.conflict == Conflict::TakeOver && !waiting;
        if matches!(self.places.get(place).key, Key::Foreign { .. }) && !takes_at_once {
            let pause = (self.settings.ttl / 3).max(Duration::from_secs(1));
            self.places.set_aside(place, now + pause.min(Duration::from_secs(10)));
        }
        self.places.get_mut(place).tombstone = tombstone;
        if tombstone {
            self.entombed(place, now);
        }
        before != (self.places.get(place).key.clone(), self.places.is_to_be_put(place))
    }

    /// An operator keeps the instance away: a first registration fails, a later one looks again now and then.
    fn entombed(&mut self, place: usize, now: Moment) {
        let error = Error::Tombstone { key: self.places.get(place).key_text() };
        if self.established {
            self.trouble = Some(Arc::new(error));
            self.places.set_aside(place, now + TOMBSTONE_PAUSE);
        } else {
            self.close(Some(error));
        }
    }

    /// A key as a watch saw it; while a put of it is in flight, the put's answer goes first.
    fn key_told(&mut self, place: usize, revision: i64, holder: Option<Holder>) {
        let flight = self.put.as_mut().filter(|flight| flight.sent.contains_key(&place));
        let Some(flight) = flight else { return self.key_seen(place, revision, holder) };
        if flight.held_back.get(&place).is_none_or(|(seen, _)| revision >= *seen) {
            flight.held_back.insert(place, (revision, holder));
        }
    }

    /// A key as a linearizable read found it. At a revision below what was seen before, either a put's answer has
    /// overtaken the read's, or the registry was restored from a backup. If the key is not as we know it, a put finds
    /// out which: in the first case it changes nothing but the revision.
    fn key_read(&mut self, place: usize, revision: i64, holder: Option<Holder>) {
        if let Some(flight) = self.put.as_mut().filter(|flight| flight.sent.contains_key(&place)) {
            flight.reads_held_back.insert(place, (revision, holder));
            return;
        }
        let found = self.places.get_mut(place);
        if revision >= found.seen_revision {
            return self.key_stands(place, revision, holder);
        }
        let same = match (&found.key, &holder) {
            (Key::Absent, None) => true,
            (Key::Ours { mod_revision, lease }, Some(holder)) => {
                (*mod_revision, *lease) == (holder.mod_revision, holder.lease)
            }
            (Key::Foreign { mod_revision }, Some(holder)) => *mod_revision == holder.mod_revision,
            _ => false,
        };
        if same {
            // Nothing has happened to the key since, so that no event is older than what we know and newer than this.
            found.seen_revision = revision;
        } else {
            self.places.doubt(place);
        }
    }

    /// The key stood, or did not, at `revision`, as a watch says: maybe less than what is known already.
    fn key_seen(&mut self, place: usize, revision: i64, holder: Option<Holder>) {
        if revision >= self.places.get(place).seen_revision {
            self.key_stands(place, revision, holder);
        }
    }

    /// The key stands, or does not, at `revision`.
    fn key_stands(&mut self, place: usize, revision: i64, holder: Option<Holder>) {
        let live = self.live();
        let found = self.places.get_mut(place);
        found.seen_revision = revision;
        let Some(holder) = holder else {
            if found.key != Key::Absent {
                let tombstone = found.tombstone;
                self.places.set_key(place, Key::Absent, live);
                if !tombstone {
                    self.places.bring_back(place);
                    self.retry.reset();
                }
            }
            return;
        };
        let key = Key::Ours { mod_revision: holder.mod_revision, lease: holder.lease };
        if found.key == key {
            // What a put's answer has told, or a watch before; but an earlier attempt may just have been found stored.
            return self.places.set_key(place, key, live);
        }
        if self.is_ours(holder.lease) || (holder.lease == 0 && self.established) {
            let instance = &mut self.places.get_mut(place).instance;
            if let Some(fields) = instance.unknown_fields_of(&holder.value) {
                Arc::make_mut(instance).keep_fields(fields);
            }
            return self.places.set_key(place, key, live);
        }
        self.places.set_key(place, Key::Foreign { mod_revision: holder.mod_revision }, live);
        if self.established || self.settings.conflict == Conflict::Fail {
            let key = self.places.get(place).key_text();
            self.close(Some(Error::Conflict { key, lease: holder.lease }));
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
        self.places.lose_all();
        self.trouble = Some(Arc::new(trouble.into()));
        self.retry.reset();
    }
}
