//! Keys and values: the same ones for every server that gets the same load.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use crate::load::{KeyOrder, Load};

/// Values need not be told apart, only not be compressible.
const VALUE_SEED: u64 = 0x5eed;

/// The key space and the value; one for all clients of a load.
#[derive(Debug)]
pub(crate) struct Keys {
    key_bytes: usize,
    space: u64,
    order: KeyOrder,
    /// Goes on over warm-up and measurement, so that the measurement does not begin where the warm-up did.
    turn: AtomicU64,
    value: Bytes,
}

impl Keys {
    pub(crate) fn new(load: &Load) -> Self {
        let mut random = fastrand::Rng::with_seed(VALUE_SEED);
        let value = std::iter::repeat_with(|| random.u8(..)).take(load.value_bytes).collect();
        Self { key_bytes: load.key_bytes, space: load.key_space, order: load.key_order, turn: AtomicU64::new(0), value }
    }

    /// The first of `count` neighbouring keys that nobody else takes in this round; they lie within the key
    /// space together.
    pub(crate) fn next_run(&self, count: u64) -> u64 {
        let runs = (self.space / count.max(1)).max(1);
        match self.order {
            KeyOrder::Sequential => (self.turn.fetch_add(1, Ordering::Relaxed) % runs) * count,
            KeyOrder::Random => fastrand::u64(..runs) * count,
        }
    }

    /// The next key.
    pub(crate) fn next(&self) -> Bytes {
        self.key(self.next_run(1))
    }

    /// The number of the key that is taken in turn `turn` when all are taken one after the other, over and over.
    pub(crate) fn number_in(&self, turn: u64) -> u64 {
        turn % self.space
    }

    /// Key number `number`: decimal, so that the order of numbers is the order of keys.
    pub(crate) fn key(&self, number: u64) -> Bytes {
        let mut key = vec![b'0'; self.key_bytes];
        let mut rest = number;
        for digit in key.iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        key.into()
    }

    /// A value that shares its bytes with all others.
    pub(crate) fn value(&self) -> Bytes {
        self.value.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_the_length_asked_for_and_go_around_the_key_space() {
        let keys = Keys::new(&Load { key_space: 3, ..Load::default() });
        let taken: Vec<Bytes> = (0..4).map(|_| keys.next()).collect();
        assert_eq!(taken, ["0000000000000000", "0000000000000001", "0000000000000002", "0000000000000000"]);
        assert_eq!(keys.value().len(), 256);
    }

    #[test]
    fn runs_of_keys_do_not_leave_the_key_space() {
        for key_order in [KeyOrder::Sequential, KeyOrder::Random] {
            let keys = Keys::new(&Load { key_space: 25, key_order, ..Load::default() });
            let firsts: Vec<u64> = (0..20).map(|_| keys.next_run(10)).collect();
            assert!(firsts.iter().all(|first| [0, 10].contains(first)), "{firsts:?}");
        }
    }
}
