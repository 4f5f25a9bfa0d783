//! Turns at work of which only some can be done at once, shared out by whose it is: names take turns, whatever each has
//! waiting, and nobody's waiting takes all places.
//!
//! A name may have as many waiting as there are places left, so the first one that floods gets half of all places, a second
//! one half of the rest: there is always room for another.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Shares turns out. Clones share the same ones.
#[derive(Debug, Clone)]
pub(super) struct Turns(Arc<Mutex<Queues>>);

/// A turn; dropping it passes it on.
#[derive(Debug)]
pub(super) struct Turn(Option<Turns>);

/// No place is left for this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full;

#[derive(Debug)]
struct Queues {
    /// Turns that nobody has.
    free: usize,
    most_waiting: usize,
    /// Of each name that waits, in the order in which they get turns; none is empty.
    ring: VecDeque<(Arc<str>, VecDeque<oneshot::Sender<Turn>>)>,
}

impl Turns {
    /// So many turns at once, and so many that wait for one.
    pub(super) fn new(at_once: usize, most_waiting: usize) -> Self {
        Self(Arc::new(Mutex::new(Queues { free: at_once, most_waiting, ring: VecDeque::new() })))
    }

    /// Waits for a turn. Dropping the future gives the place back.
    ///
    /// # Errors
    /// When there is no place to wait.
    pub(super) async fn take(&self, name: &str) -> Result<Turn, Full> {
        let turn = {
            let mut queues = self.0.lock();
            if queues.free > 0 {
                queues.free -= 1;
                return Ok(Turn(Some(self.clone())));
            }
            queues.join(name)?
        };
        // Whoever has a turn passes it on, also by a panic.
        turn.await.map_err(|_| Full)
    }

    fn pass_on(&self) {
        loop {
            let next = {
                let mut queues = self.0.lock();
                let Some(next) = queues.next() else {
                    queues.free += 1;
                    return;
                };
                next
            };
            match next.send(Turn(Some(self.clone()))) {
                Ok(()) => return,
                // It did not wait any longer: the next one's, without this turn's being passed on a second time.
                Err(mut turn) => turn.0 = None,
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(turns) = self.0.take() {
            turns.pass_on();
        }
    }
}

impl Queues {
    fn join(&mut self, name: &str) -> Result<oneshot::Receiver<Turn>, Full> {
        // Who has gone away leaves its place.
        self.ring.iter_mut().for_each(|(_, queue)| queue.retain(|waiting| !waiting.is_closed()));
        self.ring.retain(|(_, queue)| !queue.is_empty());
        let waiting: usize = self.ring.iter().map(|(_, queue)| queue.len()).sum();
        let own = self.ring.iter().position(|(other, _)| **other == *name);
        let own_waiting = own.map_or(0, |own| self.ring[own].1.len());
        if own_waiting >= self.most_waiting - waiting {
            return Err(Full);
        }
        let (sender, receiver) = oneshot::channel();
        match own {
            Some(own) => self.ring[own].1.push_back(sender),
            None => self.ring.push_back((name.into(), VecDeque::from([sender]))),
        }
        Ok(receiver)
    }

    /// Who is next; its name then waits behind all others.
    fn next(&mut self) -> Option<oneshot::Sender<Turn>> {
        let (name, mut queue) = self.ring.pop_front()?;
        let next = queue.pop_front();
        if !queue.is_empty() {
            self.ring.push_back((name, queue));
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;

    use futures_util::poll;

    use super::*;

    const MOST: usize = 16;

    type Waiting<'a> = Vec<Pin<Box<dyn Future<Output = Result<Turn, Full>> + 'a>>>;

    /// Has a name ask so many times, and tells who found a place.
    async fn flood<'a>(turns: &'a Turns, name: &'a str, times: usize) -> Waiting<'a> {
        let mut waiting: Waiting<'a> = Vec::new();
        for _ in 0..times {
            let mut turn = Box::pin(turns.take(name));
            if poll!(turn.as_mut()).is_pending() {
                waiting.push(turn);
            }
        }
        waiting
    }

    #[tokio::test]
    async fn whoever_floods_leaves_room_for_all_others() {
        let turns = Turns::new(1, MOST);
        let _held = turns.take("a").await.unwrap();
        let (first, second) = (flood(&turns, "a", 100).await, flood(&turns, "b", 100).await);
        assert_eq!((first.len(), second.len()), (MOST / 2, MOST / 4));
        assert_eq!(flood(&turns, "c", 1).await.len(), 1);
    }

    #[tokio::test]
    async fn names_take_turns_however_many_wait() {
        let turns = Turns::new(1, MOST);
        let held = turns.take("flood").await.unwrap();
        let mut flooding = flood(&turns, "flood", MOST).await;
        let mut patient = flood(&turns, "patient", 1).await.remove(0);
        drop(held);
        assert!(poll!(patient.as_mut()).is_pending(), "the flood was here first");
        drop(flooding.remove(0).await.unwrap());
        drop(patient.await.unwrap());
        for turn in flooding {
            drop(turn.await.unwrap());
        }
        drop(turns.take("last").await.unwrap());
        assert_eq!(turns.0.lock().free, 1);
    }

    #[tokio::test]
    async fn who_goes_away_leaves_its_place_and_its_turn() {
        let turns = Turns::new(1, MOST);
        let held = turns.take("a").await.unwrap();
        let some = flood(&turns, "a", MOST).await;
        assert_eq!(some.len(), MOST / 2);
        drop(some);
        let again = flood(&turns, "a", MOST).await;
        assert_eq!(again.len(), MOST / 2);
        drop(held);
        // One of them has the turn, and does not come for it.
        drop(again);
        let queues = turns.0.lock();
        assert_eq!((queues.free, queues.ring.len()), (1, 0));
    }
}
