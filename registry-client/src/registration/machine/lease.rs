//! The one lease of a registration: asked for, then held and kept alive.
//!
//! Times count from when a request was sent, never from when its answer came: the server may have started
//! its own clock at any moment between.

use std::collections::VecDeque;
use std::time::Duration;

use super::doomed::Attempts;
use super::event::{LeaseId, Moment};

/// Keep-alives that may be without an answer before the oldest is forgotten.
const UNANSWERED_LIMIT: usize = 8;

#[derive(Debug)]
pub(super) struct Lease {
    pub(super) id: LeaseId,
    pub(super) attempts: Attempts,
    pub(super) held: Option<Held>,
}

#[derive(Debug)]
pub(super) struct Held {
    pub(super) ttl: Duration,
    /// When the request was sent whose answer was the last good one.
    renewed_at: Moment,
    /// When the keep-alives without an answer were sent, oldest first.
    asked: VecDeque<Moment>,
    next_at: Moment,
}

impl Lease {
    pub(super) fn new(id: LeaseId) -> Self {
        Self { id, attempts: Attempts::default(), held: None }
    }

    pub(super) fn ask(&mut self, now: Moment) {
        self.attempts.in_flight = true;
        self.attempts.sent += 1;
        self.attempts.unanswered += 1;
        self.attempts.last_sent_at = now;
    }

    /// The grant was answered with a lease of that TTL.
    pub(super) fn grant(&mut self, ttl: Duration) {
        let sent_at = self.attempts.last_sent_at;
        self.attempts.answer();
        self.held = Some(Held { ttl, renewed_at: sent_at, asked: VecDeque::new(), next_at: sent_at + ttl / 3 });
    }

    /// The grant was answered with "exists": an earlier attempt of ours had been carried out. Its TTL is
    /// not known yet, so that a keep-alive is due at once.
    pub(super) fn adopt(&mut self, ttl: Duration) {
        let sent_at = self.attempts.last_sent_at;
        self.grant(ttl);
        self.attempts.answer_all();
        if let Some(held) = &mut self.held {
            held.next_at = sent_at;
        }
    }
}

impl Held {
    /// A keep-alive was answered with the TTL that counts from now on.
    pub(super) fn renew(&mut self, ttl: Duration) {
        let Some(sent_at) = self.asked.pop_front() else { return };
        self.ttl = ttl;
        self.renewed_at = self.renewed_at.max(sent_at);
        self.next_at = self.next_at.min(sent_at + ttl / 3);
    }

    /// Whether a keep-alive is due; counts it as sent.
    pub(super) fn take_due(&mut self, now: Moment) -> bool {
        if now < self.next_at {
            return false;
        }
        if self.asked.len() == UNANSWERED_LIMIT {
            self.asked.pop_front();
        }
        self.asked.push_back(now);
        self.next_at = now + self.ttl / 3;
        true
    }

    /// What was asked will not be answered: ask again soon, on a new stream.
    pub(super) fn forget_asked(&mut self, again_at: Moment) {
        self.asked.clear();
        self.next_at = again_at;
    }

    /// A third of the TTL has passed since a keep-alive that has no answer.
    pub(super) fn is_silent(&self, now: Moment) -> bool {
        self.asked.front().is_some_and(|sent_at| now >= *sent_at + self.ttl / 3)
    }

    pub(super) fn is_expired(&self, now: Moment) -> bool {
        now >= self.expires_at()
    }

    pub(super) fn expires_at(&self) -> Moment {
        self.renewed_at + self.ttl
    }

    /// The next moment at which something about the lease changes by itself.
    pub(super) fn next_wake(&self, now: Moment) -> Moment {
        let silence = self.asked.front().map(|sent_at| *sent_at + self.ttl / 3);
        let later = [silence, Some(self.expires_at())].into_iter().flatten().filter(|at| *at > now);
        later.fold(self.next_at, Moment::min)
    }
}
