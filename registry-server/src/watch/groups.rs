//! Groups of watchers by what they watch: a map of points and a map of intervals.
//!
//! The hub keeps the live watchers of all streams in one, each stream the ones it feeds from history in
//! another. A group is there as long as its owner keeps something in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;

use super::interval::Intervals;
use super::range::{Interest, KeyRange, Options};
use crate::mvcc::RevisionEvents;

/// A group within its map; never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct GroupId(u64);

/// The groups of one range: few, as they differ in options only.
type OfRange = SmallVec<[(Options, GroupId); 1]>;

/// Which events of a batch concern a group: indices, ascending, never empty.
pub(super) type Matched = SmallVec<[usize; 1]>;

/// One group.
#[derive(Debug)]
pub(super) struct Group<M> {
    pub(super) interest: Arc<Interest>,
    pub(super) members: M,
}

/// All groups.
#[derive(Debug)]
pub(super) struct Groups<M> {
    points: BTreeMap<Bytes, OfRange>,
    intervals: Intervals<OfRange>,
    groups: BTreeMap<GroupId, Group<M>>,
    next_id: u64,
}

impl<M> Default for Groups<M> {
    fn default() -> Self {
        Self { points: BTreeMap::new(), intervals: Intervals::default(), groups: BTreeMap::new(), next_id: 0 }
    }
}

impl<M: Default> Groups<M> {
    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// The members of an interest; a new group if there is none yet.
    pub(super) fn entry(&mut self, interest: &Arc<Interest>) -> &mut M {
        let id = self.find(interest).unwrap_or_else(|| self.add(interest));
        let new = || Group { interest: Arc::clone(interest), members: M::default() };
        &mut self.groups.entry(id).or_insert_with(new).members
    }

    /// Changes the members of an interest, if there are any; `change` tells whether the group is empty now
    /// and thus to be removed.
    pub(super) fn change(&mut self, interest: &Interest, change: impl FnOnce(&mut M) -> bool) {
        let Some(id) = self.find(interest) else { return };
        if self.groups.get_mut(&id).is_some_and(|group| change(&mut group.members)) {
            self.remove(id);
        }
    }

    pub(super) fn get_mut(&mut self, id: GroupId) -> Option<&mut Group<M>> {
        self.groups.get_mut(&id)
    }

    /// Every group, in the order of creation.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Group<M>> {
        self.groups.values()
    }

    /// Every group, in the order of creation.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Group<M>> {
        self.groups.values_mut()
    }

    /// Takes any one group out.
    pub(super) fn pop(&mut self) -> Option<Group<M>> {
        let (id, _) = self.groups.first_key_value()?;
        self.remove(*id)
    }

    /// Removes the groups that `is_empty` finds empty.
    pub(super) fn prune(&mut self, is_empty: impl Fn(&M) -> bool) {
        let empty: Vec<_> =
            self.groups.iter().filter(|(_, group)| is_empty(&group.members)).map(|(id, _)| *id).collect();
        for id in empty {
            self.remove(id);
        }
    }

    /// Removes a group.
    pub(super) fn remove(&mut self, id: GroupId) -> Option<Group<M>> {
        let group = self.groups.remove(&id)?;
        let leave = |of_range: &mut OfRange| {
            of_range.retain(|(_, other)| *other != id);
            of_range.is_empty()
        };
        match &group.interest.range {
            KeyRange::Point(key) => {
                if self.points.get_mut(key).is_some_and(leave) {
                    self.points.remove(key);
                }
            }
            KeyRange::Span { start, end } => {
                if self.intervals.get_mut(start, end).is_some_and(leave) {
                    self.intervals.remove(start, end);
                }
            }
        }
        Some(group)
    }

    /// Which groups the events concern, and which of the events each, filters applied.
    pub(super) fn matching(&self, batch: &RevisionEvents) -> Vec<(GroupId, Matched)> {
        let mut pairs = Vec::new();
        for (index, event) in batch.events.iter().enumerate() {
            let mut add = |of_range: &OfRange| {
                let admitting = of_range.iter().filter(|(options, _)| options.admit(event));
                pairs.extend(admitting.map(|(_, id)| (*id, index)));
            };
            if let Some(of_range) = self.points.get(&event.key) {
                add(of_range);
            }
            self.intervals.holding(&event.key, &mut add);
        }
        pairs.sort_unstable();
        pairs
            .chunk_by(|(left, _), (right, _)| left == right)
            .map(|chunk| (chunk[0].0, chunk.iter().map(|(_, index)| *index).collect()))
            .collect()
    }

    fn find(&mut self, interest: &Interest) -> Option<GroupId> {
        let of_range = match &interest.range {
            KeyRange::Point(key) => self.points.get_mut(key),
            KeyRange::Span { start, end } => self.intervals.get_mut(start, end),
        }?;
        of_range.iter().find(|(options, _)| *options == interest.options).map(|(_, id)| *id)
    }

    fn add(&mut self, interest: &Interest) -> GroupId {
        let id = GroupId(self.next_id);
        self.next_id += 1;
        let entry = (interest.options, id);
        match &interest.range {
            KeyRange::Point(key) => self.points.entry(key.clone()).or_default().push(entry),
            KeyRange::Span { start, end } => match self.intervals.get_mut(start, end) {
                Some(of_range) => of_range.push(entry),
                None => self.intervals.insert(start.clone(), end.clone(), SmallVec::from_iter([entry])),
            },
        }
        id
    }
}
