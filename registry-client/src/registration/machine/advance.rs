//! What is due, read off the machine's state alone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::event::{Action, Expect, KeyPut, Moment, Progress};
use super::lease::Lease;
use super::places::Key;
use super::{Ending, Flight, Machine, Sent};
use crate::error::LeaseTrouble;
use crate::instance::Status;
use crate::planted::{Bug, planted};
use crate::registration::Conflict;

/// The last part of a shutdown's time is kept for the revoke: a quarter, and no more than this.
const REVOKE_RESERVE: Duration = Duration::from_secs(1);
/// What a put takes on the wire beside its keys and values, with something to spare: for all, and for each key.
const REQUEST_BYTES: usize = 1024;
const KEY_BYTES: usize = 128;

impl Machine {
    pub(super) fn advance(&mut self, now: Moment, actions: &mut Vec<Action>) {
        self.note_established();
        self.places.bring_back_due(now);
        self.drain(now);
        actions.extend(self.doomed.due(now).map(|id| Action::Revoke { id }));
        if !matches!(self.ending, Ending::Closed(_)) || planted(Bug::RegistersAfterEnd) {
            self.look_for_silence(now, actions);
            self.keep_alive(now, actions);
            self.grant(now, actions);
            self.put(now, actions);
        }
        self.report(now, actions);
        if matches!(self.ending, Ending::Closed(_)) && self.doomed.is_empty() {
            self.finished = true;
            actions.push(Action::Finished);
        }
    }

    /// The next moment at which a [`super::Event::Tick`] is wanted, if nothing else happens before.
    pub(crate) fn next_wake(&self, now: Moment) -> Option<Moment> {
        let doomed = self.doomed.next_wake();
        if matches!(self.ending, Ending::Closed(_)) {
            return doomed;
        }
        let held = self.lease.as_ref().and_then(|lease| lease.held.as_ref()).map(|held| held.next_wake(now));
        let retry = (self.grant_wanted() || self.put_wanted()).then_some(self.retry.at());
        [doomed, held, retry, self.places.next_wake(), self.drained_at()].into_iter().flatten().min()
    }

    fn note_established(&mut self) {
        if self.keys_are_current() && !self.established {
            self.established = true;
            self.trouble = None;
        }
    }

    /// Ends a drain whose time has come.
    fn drain(&mut self, now: Moment) {
        // Where a tombstone stands there is nothing to be seen.
        let visible = self.live().is_some() && !self.places.is_any_due();
        if let Ending::Draining { visible_at, .. } = &mut self.ending
            && visible
            && visible_at.is_none()
        {
            *visible_at = Some(now);
        }
        if self.drained_at().is_some_and(|at| now >= at) {
            self.close(None);
        }
    }

    /// When the drain ends: after its time, and early enough for the revoke.
    fn drained_at(&self) -> Option<Moment> {
        let Ending::Draining { drain, deadline, visible_at } = &self.ending else { return None };
        Some(visible_at.map_or(*deadline, |at| at.saturating_add(*drain)).min(*deadline))
    }

    /// How much of a shutdown's limit is kept for the revoke.
    pub(crate) fn revoke_reserve(limit: Duration) -> Duration {
        (limit / 4).min(REVOKE_RESERVE)
    }

    /// Silence is no proof of anything but the stream's uselessness: ask again on another.
    fn look_for_silence(&mut self, now: Moment, actions: &mut Vec<Action>) {
        let Some(held) = self.lease.as_mut().and_then(|lease| lease.held.as_mut()) else { return };
        if held.is_silent(now) {
            held.forget_asked(now);
            self.trouble = Some(Arc::new(LeaseTrouble::Silent.into()));
            actions.push(Action::Reconnect);
        }
    }

    fn keep_alive(&mut self, now: Moment, actions: &mut Vec<Action>) {
        let Some(lease) = &mut self.lease else { return };
        if lease.held.as_mut().is_some_and(|held| held.take_due(now)) {
            actions.push(Action::KeepAlive { id: lease.id });
        }
    }

    fn grant_wanted(&self) -> bool {
        self.lease.as_ref().is_none_or(|lease| lease.held.is_none() && !lease.attempts.in_flight)
    }

    fn grant(&mut self, now: Moment, actions: &mut Vec<Action>) {
        if !self.grant_wanted() || !self.retry.is_due(now) {
            return;
        }
        let random = &mut self.random;
        let lease = self.lease.get_or_insert_with(|| Lease::new(random.i64(1..)));
        lease.ask(now);
        actions.push(Action::Grant { id: lease.id, ttl: self.settings.ttl });
    }

    fn put_wanted(&self) -> bool {
        self.live().is_some() && self.put.is_none() && self.places.is_any_due()
    }

    fn put(&mut self, now: Moment, actions: &mut Vec<Action>) {
        if !self.put_wanted() || !self.retry.is_due(now) {
            return;
        }
        let Some(lease) = self.live() else { return };
        let puts = self.next_batch();
        let Some(last) = puts.last() else { return };
        self.places.go_on_after(last.place);
        let sent = |put: &KeyPut| {
            (put.place, Sent { value: put.value.clone(), version: self.places.get(put.place).version() })
        };
        let sent = puts.iter().map(sent).collect();
        self.put = Some(Flight {
            lease,
            update: self.wanted,
            sent,
            held_back: BTreeMap::new(),
            reads_held_back: BTreeMap::new(),
        });
        actions.push(Action::Put { lease, puts });
    }

    /// What goes into the next put: as many of the due places as it may carry, and one however large it is.
    fn next_batch(&self) -> Vec<KeyPut> {
        let (mut puts, mut bytes) = (Vec::new(), REQUEST_BYTES);
        for place in self.places.due() {
            let put = self.key_put(place);
            if self.established && put.expect == Expect::Absent && planted(Bug::NeverPutsAgain) {
                continue;
            }
            bytes += size_of_put(&put);
            if !puts.is_empty() && (bytes > self.settings.batch.bytes || puts.len() == self.settings.batch.keys) {
                break;
            }
            puts.push(put);
        }
        puts
    }

    fn key_put(&self, place: usize) -> KeyPut {
        let place_there = self.places.get(place);
        let value = Bytes::from(place_there.instance.to_record_as(self.shown_status(&place_there.instance)));
        let expect = match place_there.key {
            Key::Ours { mod_revision, .. } => Expect::ModRevision(mod_revision),
            Key::Foreign { mod_revision } if self.settings.conflict == Conflict::TakeOver => {
                Expect::ModRevision(mod_revision)
            }
            Key::Foreign { .. } | Key::Absent => Expect::Absent,
        };
        KeyPut { place, keys: place_there.keys.clone(), expect, value }
    }

    fn report(&mut self, now: Moment, actions: &mut Vec<Action>) {
        let progress = Progress {
            state: self.state(now),
            stored: if self.keys_are_current() { self.stored } else { 0 },
            health: self.gate_stored.or(self.gate.map(|_| Status::Starting)),
            refused: self.refused.clone(),
            released: matches!(self.ending, Ending::Closed(_))
                && (self.doomed.all_confirmed() || planted(Bug::ShutdownDoesNotWait)),
        };
        if self.reported.as_ref() != Some(&progress) {
            self.reported = Some(progress.clone());
            actions.push(Action::Report(progress));
        }
    }
}

/// What a key adds to a put on the wire at most: it is named thrice, its tombstone twice.
fn size_of_put(put: &KeyPut) -> usize {
    3 * put.keys.instance.len() + 2 * put.keys.tombstone.len() + put.value.len() + KEY_BYTES
}
