//! The set of endpoints and their standing: who is connected to, who is ejected, what is each one's weight now.
//!
//! It decides by the rules of `balancing` and does nothing itself: the driver starts the tasks it asks for, passes in
//! the time, and publishes the pickers it makes.

use std::sync::Arc;

use indexmap::IndexMap;
use tokio::time::Instant;

use super::slot::{Slot, State, Work};
use crate::balancing::{Balancing, hash, subset, warm_up};
use crate::error::ConnectError;
use crate::load::{Load, Total};
use crate::picker::{Candidate, Member, Outlook, Picker, SpillOver, Standing};
use crate::target::{Key, Target};

pub(super) struct Roster<S> {
    balancing: Balancing,
    slots: IndexMap<Key, Slot<S>>,
    total: Option<Total>,
    /// The end of the interval in which outcomes are counted.
    judgement: Option<Instant>,
    /// The first snapshot that had endpoints was seen.
    is_begun: bool,
}

impl<S: Clone> Roster<S> {
    pub(super) fn new(balancing: Balancing, now: Instant) -> Self {
        let judgement = balancing.outliers.and_then(|outliers| now.checked_add(outliers.interval));
        let total = balancing.affinity.is_some().then(Total::default);
        Self { balancing, slots: IndexMap::new(), total, judgement, is_begun: false }
    }

    pub(super) fn insert(&mut self, target: Target) {
        self.slots.insert(target.key().clone(), Slot::new(target, self.is_begun));
    }

    pub(super) fn remove(&mut self, key: &Key) {
        self.slots.swap_remove(key);
    }

    pub(super) fn clear(&mut self) {
        self.slots.clear();
    }

    /// The changes of a snapshot are all told.
    pub(super) fn end_of_batch(&mut self) {
        self.is_begun |= !self.slots.is_empty();
    }

    /// The connection and its load stay as they are.
    pub(super) fn update(&mut self, target: &Target) {
        let Some(slot) = self.slots.get_mut(target.key()) else {
            return;
        };
        slot.target = target.clone();
        if let State::Up(member) = &mut slot.state {
            let target = target.with_life_of(&member.target);
            *member = Arc::new(Member::new(target, member.connection.clone(), Arc::clone(&member.load)));
        }
    }

    /// The slot whose task has this number.
    pub(super) fn slot(&mut self, key: &Key, serial: u64) -> Option<&mut Slot<S>> {
        self.slots.get_mut(key).filter(|slot| slot.work.as_ref().is_some_and(|work| work.serial == serial))
    }

    /// A connection was made.
    pub(super) fn connect(&mut self, key: &Key, serial: u64, life: &Target, connection: S, now: Instant) {
        let load = Arc::new(Load::new(self.balancing.load, now, self.total.clone()));
        let Some(slot) = self.slot(key, serial) else {
            return;
        };
        slot.since.get_or_insert(now);
        slot.rests_until = None;
        let member = Member::new(slot.target.with_life_of(life), connection, load);
        slot.enter(State::Up(Arc::new(member)));
    }

    /// Takes endpoints into the subset and out of it. Answers those that came in and need a task.
    pub(super) fn select(&mut self, now: Instant) -> Vec<Target> {
        let mut chosen = vec![self.balancing.subset.is_none(); self.slots.len()];
        if let Some(size) = self.balancing.subset {
            for is_near in [true, false] {
                let of_zone: Vec<_> =
                    (0..self.slots.len()).filter(|&index| self.is_near(&self.slots[index]) == is_near).collect();
                let endpoints = of_zone.iter().map(|&index| {
                    let slot = &self.slots[index];
                    (hash::of(slot.target.key().id().as_bytes()), slot.condition(now))
                });
                let selected = subset::choose(self.balancing.order, size, endpoints);
                of_zone.into_iter().zip(selected).for_each(|(index, is_selected)| chosen[index] = is_selected);
            }
        }
        let mut started = Vec::new();
        for (slot, is_chosen) in self.slots.values_mut().zip(chosen) {
            if is_chosen && !slot.is_of_the_subset() {
                slot.enter(State::Untried);
                started.push(slot.target.clone());
            } else if !is_chosen && slot.is_of_the_subset() {
                slot.leave(now);
            }
        }
        started
    }

    pub(super) fn start(&mut self, key: &Key, work: Work) {
        if let Some(slot) = self.slots.get_mut(key) {
            slot.work = Some(work);
        }
    }

    /// When [`tick`](Self::tick) is to be called, if nothing else happens before.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        let step = self.balancing.slow_start.filter(|_| self.slots.values().any(|slot| self.part(slot, now) < 1.0));
        let step = step.and_then(|time| now.checked_add(warm_up::step(time)));
        let rested = self.slots.values().filter(|slot| !slot.is_of_the_subset()).filter_map(|slot| slot.rests_until);
        let rested = rested.filter(|&until| until > now).min();
        [step, self.judgement, rested].into_iter().flatten().min()
    }

    /// Judges endpoints, if it is time.
    pub(super) fn tick(&mut self, now: Instant) {
        let Some(outliers) = self.balancing.outliers.filter(|_| self.judgement.is_some_and(|at| at <= now)) else {
            return;
        };
        self.slots.values_mut().for_each(Slot::count);
        let judged = self.slots.values_mut().filter(|slot| slot.is_of_the_subset());
        let mut records: Vec<_> = judged.map(|slot| &mut slot.record).collect();
        outliers.judge(&mut records, now, || fastrand::u8(..100));
        let ejected = self.slots.values().filter(|slot| slot.record.was_ejected_at(now));
        ejected.for_each(|slot| slot.target.meters().ejected());
        self.judgement = now.checked_add(outliers.interval);
    }

    /// The part of its weight that an endpoint has now.
    fn part(&self, slot: &Slot<S>, now: Instant) -> f64 {
        match (self.balancing.slow_start, slot.since) {
            (Some(time), Some(since)) if slot.is_new => warm_up::part(time, since, now),
            _ => 1.0,
        }
    }

    fn is_near(&self, slot: &Slot<S>) -> bool {
        self.balancing.zone.as_ref().is_none_or(|zone| slot.target.instance().zone() == Some(zone.name.as_str()))
    }

    /// What callers pick from, as of now.
    pub(super) fn picker(&self, now: Instant, is_synced: bool, last: Option<Arc<ConnectError>>) -> Picker<S> {
        let is_panic = self.is_panic();
        let standing = |slot: &Slot<S>| match () {
            () if slot.record.is_ejected() && !is_panic => Standing::Ejected,
            () if self.is_near(slot) => Standing::Near,
            () => Standing::Far,
        };
        let candidate = |slot: &Slot<S>| {
            let full = self.balancing.weight(slot.target.instance().weight());
            let weight = (full as f64 * self.part(slot, now)) as u64;
            let member = Arc::clone(slot.connected()?);
            Some(Candidate { member, weight: weight.max(full.min(1)), standing: standing(slot) })
        };
        let is_absent = |slot: &&Slot<S>| {
            let is_gone = slot.connected().is_none_or(|member| member.target.liveness().is_over());
            slot.is_of_the_subset() && is_gone
        };
        let of_subset = || self.slots.values().filter(|slot| slot.is_of_the_subset());
        let outlook = Outlook {
            absent: self.slots.values().filter(is_absent).map(|slot| slot.target.clone()).collect(),
            known: is_synced.then(|| of_subset().count()),
            untried: self.slots.values().filter(|slot| slot.is_untried()).count(),
            ejected: of_subset().filter(|slot| slot.record.is_ejected()).count(),
            last,
        };
        Picker::new(self.slots.values().filter_map(candidate).collect(), self.spill_over(is_panic), outlook)
    }

    /// How many endpoints there should be, near or elsewhere, of so many that are connected to or tried: those that stand
    /// in for others are not to be missed when the others are back.
    fn wanted(&self, known: usize) -> usize {
        self.balancing.subset.map_or(known, |size| size.min(known))
    }

    /// So few endpoints are usable that ejected ones have to help.
    fn is_panic(&self) -> bool {
        let of_subset = || self.slots.values().filter(|slot| slot.is_of_the_subset());
        let near = of_subset().filter(|slot| self.is_near(slot)).count();
        let known = self.wanted(near) + self.wanted(of_subset().count() - near);
        let usable = self.slots.values().filter(|slot| slot.connected().is_some() && !slot.record.is_ejected()).count();
        (usable as f64) < known as f64 * self.balancing.panic_threshold
    }

    fn spill_over(&self, is_panic: bool) -> SpillOver {
        let Some(zone) = &self.balancing.zone else {
            return SpillOver::NONE;
        };
        let known = || self.slots.values().filter(|slot| slot.is_of_the_subset() && self.is_near(slot));
        let is_available = |slot: &&Slot<S>| slot.connected().is_some() && (is_panic || !slot.record.is_ejected());
        let available = || known().filter(is_available);
        let elsewhere = || self.slots.values().filter(|slot| !self.is_near(slot)).filter(is_available);
        let weigh = |slot: &Slot<S>| self.balancing.weight(slot.target.instance().weight()) as f64;
        let count = known().count();
        let whole = known().map(weigh).sum::<f64>() * self.wanted(count) as f64 / count.max(1) as f64;
        let presence = match () {
            () if whole > 0.0 => available().map(weigh).sum::<f64>() / whole,
            // A weight of 0 is for when nobody else is there.
            () if elsewhere().any(|slot| weigh(slot) > 0.0) => 0.0,
            () => 1.0,
        };
        SpillOver { share: zone.share(available().count(), presence), pending: f64::from(zone.spill_over_at) }
    }
}
