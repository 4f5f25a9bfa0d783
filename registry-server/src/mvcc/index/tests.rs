//! Claims about the index: it is a map of keys with counts, whatever its leaves look like.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn change(revision: i64, tombstone: bool) -> Change {
    Change { revision: Revision(revision), address: Address::new(0, 0, tombstone) }
}

/// The index, the same as a plain map of (revision, deletion) lists, and the last revision.
#[derive(Default)]
struct Pair {
    index: Index,
    model: BTreeMap<Vec<u8>, Vec<(i64, bool)>>,
    revision: i64,
}

impl Pair {
    fn push(&mut self, key: &[u8], tombstone: bool) {
        self.revision += 1;
        let pushed = change(self.revision, tombstone);
        let changes = self.model.entry(key.into()).or_default();
        let replaced = self.index.push(key, |newest| {
            let newest = newest.map(|newest| (newest.revision.0, newest.is_tombstone()));
            assert_eq!(newest.as_ref(), changes.last());
            pushed
        });
        assert_eq!(replaced, None);
        changes.push((self.revision, tombstone));
    }

    /// Deletes a key and all that is known of it.
    fn forget(&mut self, key: &[u8]) {
        self.push(key, true);
        let changes = self.model.remove(key).unwrap();
        let dropped = self.index.trim(key, Revision(self.revision + 1));
        assert_eq!(dropped.len(), changes.len());
        assert!(self.index.trim(key, Revision(self.revision + 1)).is_empty());
    }

    fn check(&self, start: Bound<&[u8]>, end: Bound<&[u8]>) {
        let found: Vec<_> = self.index.range((start, end)).map(|(key, history)| (key.to_vec(), of(history))).collect();
        let expected: Vec<_> =
            self.model.range::<[u8], _>((start, end)).map(|(key, changes)| (key.clone(), changes.clone())).collect();
        assert_eq!(found, expected);
        let live = expected.iter().filter(|(_, changes)| !changes.last().unwrap().1).count();
        assert_eq!(self.index.count_live((start, end)), live);
    }

    fn leaves(&self) -> usize {
        self.index.leaves_from(Bound::Unbounded).count()
    }

    fn check_all(&self) {
        self.check(Bound::Unbounded, Bound::Unbounded);
        let live = self.index.count_live((Bound::Unbounded, Bound::Unbounded));
        assert_eq!(self.index.live(), live);
        let bytes = |(key, changes): (&Vec<u8>, &Vec<_>)| {
            key.len() as u64 + BYTES_PER_KEY + (changes.len() * size_of::<Change>()) as u64
        };
        assert_eq!(self.index.bytes(), self.model.iter().map(bytes).sum::<u64>());
        let leaves: Vec<_> = self.index.leaves_from(Bound::Unbounded).collect();
        assert!(leaves.iter().all(|(below, leaf)| leaf.len() > 0 && *below <= leaf.key(0)));
        assert!(leaves.windows(2).all(|pair| pair[0].1.key(pair[0].1.len() - 1) < pair[1].0));
        assert!(self.index.directories.iter().all(|(below, directory)| below.as_slice() == directory.key(0)));
    }
}

fn of(history: &KeyHistory) -> Vec<(i64, bool)> {
    history.changes_from(Revision(0)).map(|change| (change.revision.0, change.is_tombstone())).collect()
}

/// Keys of many lengths: some begin with others, some end with zeros, and many have more in common than a head.
fn key(number: u32) -> Vec<u8> {
    let digits = number.to_string().into_bytes();
    match number % 4 {
        0 => [b"services/payments/".as_slice(), &digits].concat(),
        1 => [b"services/payments/".as_slice(), &digits, &vec![0; number as usize % 11]].concat(),
        2 => vec![0; number as usize],
        _ => digits,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_index_is_a_map_that_counts(
        steps in proptest::collection::vec((0..10_u8, 0..600_u32), 0..4_000),
        bounds in proptest::collection::vec((0..600_u32, 0..600_u32, 0..3_u8), 20),
    ) {
        let mut pair = Pair::default();
        for (kind, number) in steps {
            match kind {
                0..=5 => pair.push(&key(number), false),
                6 => pair.push(&key(number), true),
                _ => pair.forget(&key(number)),
            }
        }
        pair.check_all();
        for (a, b, kind) in bounds {
            let (start, end) = (key(a).min(key(b)), key(a).max(key(b)));
            match kind {
                0 => pair.check(Bound::Included(&start), Bound::Included(&end)),
                1 => pair.check(Bound::Included(&start), Bound::Excluded(&end)),
                _ => pair.check(Bound::Excluded(&start), Bound::Unbounded),
            }
        }
    }
}

#[test]
fn keys_in_order_fill_their_leaves() {
    let mut pair = Pair::default();
    (0..100_000_u32).for_each(|number| pair.push(&number.to_be_bytes(), false));
    assert_eq!(pair.leaves(), 100_000_usize.div_ceil(MAX_KEYS));
    pair.check_all();
}

#[test]
fn leaves_go_with_their_keys() {
    let mut pair = Pair::default();
    (0..10_000_u32).for_each(|number| pair.push(&number.to_be_bytes(), false));
    (0..10_000_u32).filter(|number| number % 50 != 0).for_each(|number| pair.forget(&number.to_be_bytes()));
    pair.check_all();
    assert!(pair.leaves() <= 200 / FEW_KEYS, "{} leaves for 200 keys", pair.leaves());
    assert!(pair.index.directories.len() <= 200 / FEW_KEYS / FEW_KEYS + 1);
    (0..10_000_u32).filter(|number| number % 50 == 0).for_each(|number| pair.forget(&number.to_be_bytes()));
    assert_eq!((pair.leaves(), pair.index.bytes()), (0, 0));
    pair.push(b"again", false);
    pair.check_all();
}

#[test]
fn long_keys_are_split_by_their_bytes() {
    let mut pair = Pair::default();
    let long = |number: u32| [vec![b'k'; 10_000], number.to_be_bytes().to_vec()].concat();
    (0..100).rev().for_each(|number| pair.push(&long(number), false));
    assert!(pair.leaves() > 10);
    pair.check_all();
    (0..90).for_each(|number| pair.forget(&long(number)));
    pair.check_all();
}
