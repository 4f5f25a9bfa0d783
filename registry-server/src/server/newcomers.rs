//! Connections that have not said yet what they want, and a bound for them.
//!
//! A connection is new until its handshake is over and its first bytes are there. Only so many are new at once; one more, and
//! the one that has been silent for longest is closed. So whoever connects and stays silent, a thousand times over, keeps
//! nobody out who speaks.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// The connections that are new.
#[derive(Debug)]
pub(super) struct Newcomers {
    most: usize,
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    next: u64,
    /// By when they came.
    waiting: BTreeMap<u64, CancellationToken>,
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub(super) struct Newcomer {
    newcomers: Arc<Newcomers>,
    number: u64,
    displaced: CancellationToken,
}

impl Newcomers {
    /// So many connections may be new, and at least one.
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most: most.max(1), inside: Mutex::default() })
    }

    /// One more; the oldest has to go if there are too many.
    pub(super) fn enter(self: &Arc<Self>) -> Newcomer {
        let displaced = CancellationToken::new();
        let mut inside = self.inside.lock();
        let number = inside.next;
        inside.next += 1;
        inside.waiting.insert(number, displaced.clone());
        if inside.waiting.len() > self.most
            && let Some((_, oldest)) = inside.waiting.pop_first()
        {
            oldest.cancel();
        }
        Newcomer { newcomers: self.clone(), number, displaced }
    }
}

impl Newcomer {
    /// Waits until it has to go for others.
    pub(super) async fn is_displaced(&self) {
        self.displaced.cancelled().await;
    }
}

impl Drop for Newcomer {
    fn drop(&mut self) {
        drop(self.newcomers.inside.lock().waiting.remove(&self.number));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_makes_room_and_who_has_spoken_does_not_count() {
        let newcomers = Newcomers::new(3);
        let [first, second, third] = [(); 3].map(|()| newcomers.enter());
        drop(second);
        let fourth = newcomers.enter();
        assert!(!first.displaced.is_cancelled());
        let fifth = newcomers.enter();
        assert!(first.displaced.is_cancelled());
        assert!([&third, &fourth, &fifth].iter().all(|newcomer| !newcomer.displaced.is_cancelled()));
        drop((first, third, fourth, fifth));
        assert!(newcomers.inside.lock().waiting.is_empty());
    }
}
