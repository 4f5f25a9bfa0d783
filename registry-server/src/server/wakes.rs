//! Wakes that come from other threads, gathered: a worker is woken once for all that is ready.
//!
//! Each wake of a task from another thread costs a system call, and its runtime takes such tasks in one at a time, between
//! others. When a batch of commands is answered, that made one call and one write to a socket for each answer. Here such wakes
//! wait on a list; whoever finds it empty wakes the worker's one task that empties it, there and all at once, so that a
//! connection meets all of its answers at the same time.
//!
//! What always holds: a wake is passed on at the latest when the worker next has nothing else to run; and the list is no longer
//! than there are requests and answers under way.

use std::cell::Cell;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use parking_lot::Mutex;

thread_local! {
    /// Whose thread this is; 0 for none.
    static HERE: Cell<usize> = const { Cell::new(0) };
}

static NUMBERS: AtomicUsize = AtomicUsize::new(1);

/// The wakes that wait for one worker.
#[derive(Debug)]
pub(super) struct Wakes {
    number: usize,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    relays: Vec<Arc<Relay>>,
    /// The task that passes them on.
    postman: Option<Waker>,
}

impl Wakes {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { number: NUMBERS.fetch_add(1, Ordering::Relaxed), waiting: Mutex::default() })
    }

    /// Passes wakes on for as long as it is polled, on the worker's thread and in its runtime.
    pub(super) async fn pass_on(self: Arc<Self>) {
        HERE.set(self.number);
        let mut relays = Vec::new();
        poll_fn(|cx| {
            {
                let mut waiting = self.waiting.lock();
                std::mem::swap(&mut relays, &mut waiting.relays);
                if !waiting.postman.as_ref().is_some_and(|postman| postman.will_wake(cx.waker())) {
                    waiting.postman = Some(cx.waker().clone());
                }
            }
            for relay in relays.drain(..) {
                // Before the wake: who comes after it finds the flag down and waits for the next round.
                relay.is_waiting.store(false, Ordering::Release);
                relay.waker.wake_by_ref();
            }
            Poll::<()>::Pending
        })
        .await;
    }

    fn put(&self, relay: Arc<Relay>) {
        let mut waiting = self.waiting.lock();
        waiting.relays.push(relay);
        let postman = if waiting.relays.len() == 1 { waiting.postman.clone() } else { None };
        drop(waiting);
        if let Some(postman) = postman {
            postman.wake();
        }
    }
}

/// Stands for the waker of one task of the worker.
#[derive(Debug)]
struct Relay {
    wakes: Arc<Wakes>,
    waker: Waker,
    is_waiting: AtomicBool,
}

impl Wake for Relay {
    fn wake(self: Arc<Self>) {
        if HERE.get() == self.wakes.number {
            self.waker.wake_by_ref();
        } else if !self.is_waiting.swap(true, Ordering::AcqRel) {
            self.wakes.clone().put(self);
        }
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if HERE.get() == self.wakes.number {
            self.waker.wake_by_ref();
        } else {
            self.clone().wake();
        }
    }
}

/// Polls with wakers whose wakes are gathered.
#[derive(Debug, Clone)]
pub(super) struct Gathered {
    wakes: Arc<Wakes>,
    /// What stands for the task's waker, and a waker of it.
    relay: Option<(Arc<Relay>, Waker)>,
}

impl Gathered {
    pub(super) fn new(wakes: Arc<Wakes>) -> Self {
        Self { wakes, relay: None }
    }

    /// Calls `poll` with a context of its own in the place of `cx`.
    pub(super) fn poll<T>(&mut self, cx: &Context<'_>, poll: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        if !self.relay.as_ref().is_some_and(|(relay, _)| relay.waker.will_wake(cx.waker())) {
            let (wakes, is_waiting) = (self.wakes.clone(), AtomicBool::new(false));
            let relay = Arc::new(Relay { wakes, waker: cx.waker().clone(), is_waiting });
            let waker = relay.clone().into();
            self.relay = Some((relay, waker));
        }
        let waker = self.relay.as_ref().map_or(cx.waker(), |(_, waker)| waker);
        poll(&mut Context::from_waker(waker))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts how often it is woken.
    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    impl Count {
        fn get(&self) -> usize {
            self.0.load(Ordering::SeqCst)
        }
    }

    /// The waker that a call of `task` sees.
    fn seen(wakes: &Arc<Wakes>, task: &Arc<Count>) -> Waker {
        let (mut gathered, mut seen) = (Gathered::new(wakes.clone()), None);
        let pending: Poll<()> = gathered.poll(&Context::from_waker(&task.clone().into()), |cx| {
            seen = Some(cx.waker().clone());
            Poll::Pending
        });
        assert!(pending.is_pending());
        seen.unwrap()
    }

    fn wake_elsewhere(wakers: Vec<Waker>) {
        std::thread::spawn(move || wakers.iter().for_each(Waker::wake_by_ref)).join().unwrap();
    }

    #[test]
    fn wakes_of_another_thread_wake_the_worker_once_and_each_task_once() {
        let (wakes, postman) = (Wakes::new(), Arc::new(Count::default()));
        let mut passing = Box::pin(wakes.clone().pass_on());
        let waker = postman.clone().into();
        let mut pass = || assert!(passing.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        pass();
        let tasks: Vec<Arc<Count>> = (0..3).map(|_| Arc::default()).collect();
        let wakers: Vec<_> = tasks.iter().map(|task| seen(&wakes, task)).collect();
        let told = || tasks.iter().map(|task| task.get()).collect::<Vec<_>>();
        for round in 1..3 {
            wake_elsewhere([wakers.clone(), wakers.clone()].concat());
            assert_eq!((postman.get(), told()), (round, vec![round - 1; 3]));
            pass();
            assert_eq!((postman.get(), told()), (round, vec![round; 3]));
        }
    }

    #[test]
    fn a_wake_of_the_worker_itself_and_one_before_it_runs_are_not_lost() {
        let (wakes, task) = (Wakes::new(), Arc::new(Count::default()));
        let waker = seen(&wakes, &task);
        wake_elsewhere(vec![waker.clone()]);
        assert_eq!(task.get(), 0);
        let mut passing = Box::pin(wakes.pass_on());
        assert!(passing.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert_eq!(task.get(), 1);
        waker.wake();
        assert_eq!(task.get(), 2);
    }
}
