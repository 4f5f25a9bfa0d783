//! Leases, by time: never early, never late, and gone for good.
//!
//! The model has no clock, so leases are judged by what calls prove. A lease that was granted or renewed by a
//! call asked at `t` lives until `t` + TTL at least, as the server did it no sooner; one whose last renewal was
//! answered at `t` is gone `t` + TTL + [`Limits::late`] later, as the server did it no later. Leases whose id
//! may have been granted twice are judged by their TTL only, as are those of which no grant is known.

mod early;
mod ended;
mod late;
mod life;
mod lists;
mod ttl;

use std::collections::BTreeMap;

use crate::bounds::Bounds;
use crate::history::History;
use crate::kv::Replayed;
use crate::report::{Limits, Promise, Violation};

pub(crate) use life::Life;

/// What leases are judged by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Judge<'a> {
    pub(crate) history: &'a History,
    pub(crate) limits: &'a Limits,
    pub(crate) bounds: &'a Bounds,
    pub(crate) replayed: &'a Replayed,
    pub(crate) lives: &'a BTreeMap<i64, Life>,
}

impl Judge<'_> {
    pub(crate) fn check(self) -> Vec<Violation> {
        let mut violations = Vec::new();
        for (id, life) in self.lives {
            violations.extend(ttl::check(self, *id, life));
            if life.is_reborn {
                continue;
            }
            violations.extend(early::check(self, *id, life));
            violations.extend(ended::check(self, *id, life));
            violations.extend(late::check(self, *id, life));
        }
        violations.extend(self.invented());
        violations
    }

    /// Leases at the end that nobody asked for. The SDK, and a grant of unknown outcome whose id was the
    /// server's to choose, may have made any.
    fn invented(self) -> Vec<Violation> {
        if !self.history.registrations.is_empty() || life::may_have_any_id(self.history) {
            return Vec::new();
        }
        let all = self.history.members.iter().flat_map(|member| &member.leases);
        let unasked = all.filter(|(id, _)| self.lives.get(id).is_none_or(|life| life.grants.is_empty()));
        let text = |id| format!("lease {id} is there at the end, and nobody asked for it");
        unasked.map(|(id, _)| Violation::new(Promise::LeaseWasGranted, text(id))).collect()
    }

    /// When a lease was first known to have ended by itself, with keys.
    fn expired(self, id: i64) -> Option<std::time::Duration> {
        self.bounds.seen(*self.replayed.expiries.get(&id)?)
    }
}
