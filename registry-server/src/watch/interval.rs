//! Ranges of keys, ordered so that "which of them hold this key" looks at few that do not.
//!
//! A balanced (AVL) tree by start, each node with the greatest end below it. Ranges with one start share a
//! node. The depth stays below 1.45 log2 of the nodes whatever keys clients choose, so recursion is safe.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};

use bytes::Bytes;

use super::range::End;

/// A map from ranges to values.
#[derive(Debug)]
pub(super) struct Intervals<V> {
    root: Link<V>,
}

type Link<V> = Option<Box<Node<V>>>;

#[derive(Debug)]
struct Node<V> {
    start: Bytes,
    /// The ranges that begin here, by their ends; never empty.
    ends: BTreeMap<End, V>,
    /// The greatest end in this node and below it.
    max_end: End,
    /// 1 for a leaf.
    height: u8,
    left: Link<V>,
    right: Link<V>,
}

impl<V> Default for Intervals<V> {
    fn default() -> Self {
        Self { root: None }
    }
}

impl<V> Intervals<V> {
    /// The value of exactly this range.
    pub(super) fn get_mut(&mut self, start: &[u8], end: &End) -> Option<&mut V> {
        let mut link = self.root.as_mut();
        while let Some(node) = link {
            link = match start.cmp(&node.start[..]) {
                Ordering::Less => node.left.as_mut(),
                Ordering::Greater => node.right.as_mut(),
                Ordering::Equal => return node.ends.get_mut(end),
            };
        }
        None
    }

    /// Puts a range in; one that was there gets the new value.
    pub(super) fn insert(&mut self, start: Bytes, end: End, value: V) {
        self.root = Some(Node::insert(self.root.take(), start, end, value));
    }

    /// Takes a range out.
    pub(super) fn remove(&mut self, start: &[u8], end: &End) -> Option<V> {
        let mut removed = None;
        self.root = Node::remove(self.root.take(), start, end, &mut removed);
        removed
    }

    /// Calls `found` with the value of each range that holds the key, ordered by start and end.
    pub(super) fn holding(&self, key: &Bytes, found: &mut impl FnMut(&V)) {
        if let Some(root) = &self.root {
            root.holding(&End::Key(key.clone()), key, found);
        }
    }
}

impl<V> Node<V> {
    fn leaf(start: Bytes, end: End, value: V) -> Box<Self> {
        let max_end = end.clone();
        Box::new(Self { start, ends: BTreeMap::from([(end, value)]), max_end, height: 1, left: None, right: None })
    }

    fn insert(link: Link<V>, start: Bytes, end: End, value: V) -> Box<Self> {
        let Some(mut node) = link else { return Self::leaf(start, end, value) };
        match start.cmp(&node.start) {
            Ordering::Less => node.left = Some(Self::insert(node.left.take(), start, end, value)),
            Ordering::Greater => node.right = Some(Self::insert(node.right.take(), start, end, value)),
            Ordering::Equal => {
                node.ends.insert(end, value);
            }
        }
        node.balanced()
    }

    fn remove(link: Link<V>, start: &[u8], end: &End, removed: &mut Option<V>) -> Link<V> {
        let mut node = link?;
        match start.cmp(&node.start[..]) {
            Ordering::Less => node.left = Self::remove(node.left.take(), start, end, removed),
            Ordering::Greater => node.right = Self::remove(node.right.take(), start, end, removed),
            Ordering::Equal => {
                *removed = node.ends.remove(end);
                if node.ends.is_empty() {
                    return Self::joined(node.left.take(), node.right.take());
                }
            }
        }
        Some(node.balanced())
    }

    /// One tree of two, all of whose left starts are below the right ones.
    fn joined(left: Link<V>, right: Link<V>) -> Link<V> {
        let Some(right) = right else { return left };
        let (mut first, rest) = Self::without_first(right);
        first.left = left;
        first.right = rest;
        Some(first.balanced())
    }

    fn without_first(mut node: Box<Self>) -> (Box<Self>, Link<V>) {
        let Some(left) = node.left.take() else {
            let rest = node.right.take();
            return (node, rest);
        };
        let (first, rest) = Self::without_first(left);
        node.left = rest;
        (first, Some(node.balanced()))
    }

    fn holding(&self, point: &End, key: &[u8], found: &mut impl FnMut(&V)) {
        if self.max_end <= *point {
            return;
        }
        if let Some(left) = &self.left {
            left.holding(point, key, found);
        }
        if self.start[..] > *key {
            return;
        }
        for value in self.ends.range((Excluded(point), Unbounded)).map(|(_, value)| value) {
            found(value);
        }
        if let Some(right) = &self.right {
            right.holding(point, key, found);
        }
    }

    /// Restores the heights' balance, after at most one of the children changed by one.
    fn balanced(mut self: Box<Self>) -> Box<Self> {
        let (left, right) = (height(&self.left), height(&self.right));
        if left > right + 1 {
            self.left = self.left.map(|child| if child.leans_right() { child.rotated_left() } else { child });
            return self.rotated_right();
        }
        if right > left + 1 {
            self.right = self.right.map(|child| if child.leans_left() { child.rotated_right() } else { child });
            return self.rotated_left();
        }
        self.update();
        self
    }

    fn leans_left(&self) -> bool {
        height(&self.left) > height(&self.right)
    }

    fn leans_right(&self) -> bool {
        height(&self.right) > height(&self.left)
    }

    fn rotated_right(mut self: Box<Self>) -> Box<Self> {
        let Some(mut top) = self.left.take() else { return self };
        self.left = top.right.take();
        self.update();
        top.right = Some(self);
        top.update();
        top
    }

    fn rotated_left(mut self: Box<Self>) -> Box<Self> {
        let Some(mut top) = self.right.take() else { return self };
        self.right = top.left.take();
        self.update();
        top.left = Some(self);
        top.update();
        top
    }

    fn update(&mut self) {
        self.height = 1 + height(&self.left).max(height(&self.right));
        let own = self.ends.last_key_value().map(|(end, _)| end);
        let below = [&self.left, &self.right].into_iter().flatten().map(|child| &child.max_end);
        if let Some(max) = own.into_iter().chain(below).max() {
            self.max_end = max.clone();
        }
    }
}

fn height<V>(link: &Link<V>) -> u8 {
    link.as_ref().map_or(0, |node| node.height)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Checks order, heights and greatest ends; returns the height.
    fn check<V>(link: &Link<V>, low: Option<&Bytes>, high: Option<&Bytes>) -> u8 {
        let Some(node) = link else { return 0 };
        assert!(low.is_none_or(|low| *low < node.start) && high.is_none_or(|high| node.start < *high));
        let left = check(&node.left, low, Some(&node.start));
        let right = check(&node.right, Some(&node.start), high);
        assert!(left.abs_diff(right) <= 1, "heights {left} and {right}");
        assert_eq!(node.height, 1 + left.max(right));
        node.height
    }

    fn end(number: u8) -> End {
        if number >= 40 { End::Open } else { End::Key(Bytes::copy_from_slice(&[number])) }
    }

    proptest! {
        #[test]
        fn ranges_holding_a_key_are_those_that_a_scan_finds(
            steps in prop::collection::vec((any::<bool>(), 0..40_u8, 1..20_u8), 1..200),
        ) {
            let mut tree = Intervals::default();
            let mut model = BTreeMap::new();
            for (insert, start, length) in steps {
                let (start, end) = (Bytes::copy_from_slice(&[start]), end(start + length));
                if insert {
                    tree.insert(start.clone(), end.clone(), (start.clone(), end.clone()));
                    model.insert((start.clone(), end.clone()), ());
                } else {
                    let was_there = model.remove(&(start.clone(), end.clone())).is_some();
                    prop_assert_eq!(tree.remove(&start, &end).is_some(), was_there);
                }
                check(&tree.root, None, None);
                prop_assert_eq!(tree.get_mut(&start, &end).is_some(), model.contains_key(&(start, end)));
            }
            for key in 0..60_u8 {
                let key = Bytes::copy_from_slice(&[key]);
                let mut found = Vec::new();
                tree.holding(&key, &mut |range: &(Bytes, End)| found.push(range.clone()));
                let point = End::Key(key.clone());
                let expected: Vec<_> =
                    model.keys().filter(|(start, end)| *start <= key && *end > point).cloned().collect();
                prop_assert_eq!(found, expected);
            }
        }
    }

    #[test]
    fn ten_thousand_ascending_starts_stay_shallow() {
        let mut tree = Intervals::default();
        for number in 0..10_000_u32 {
            tree.insert(Bytes::copy_from_slice(&number.to_be_bytes()), End::Open, number);
        }
        assert!(check(&tree.root, None, None) <= 20);
    }
}
