//! Automatic compaction over a member whose revision and leadership the test sets, on a clock that it moves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use openraft::impls::TokioRuntime;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

/// Counts a revision a minute, and keeps what was compacted, with the minute of it.
#[derive(Clone)]
struct Scripted {
    begun: Instant,
    leads: Arc<AtomicBool>,
    /// So many compactions fail.
    failures: Arc<AtomicI64>,
    compacted: Arc<Mutex<Vec<(u64, i64)>>>,
}

impl Scripted {
    fn new() -> Self {
        let leads = Arc::new(AtomicBool::new(true));
        Self { begun: Instant::now(), leads, failures: Arc::default(), compacted: Arc::default() }
    }

    fn minute(&self) -> u64 {
        self.begun.elapsed().as_secs() / 60
    }

    /// What was compacted, after so many minutes in all.
    async fn after(&self, minutes: u64) -> Vec<(u64, i64)> {
        sleep(MINUTE * u32::try_from(minutes - self.minute()).unwrap()).await;
        self.compacted.lock().clone()
    }
}

impl Compactable for Scripted {
    fn leads(&self) -> bool {
        self.leads.load(Ordering::Relaxed)
    }

    fn revision(&self) -> Revision {
        Revision(1 + i64::try_from(self.minute()).unwrap())
    }

    async fn compact(&self, at: Revision) -> Result<(), String> {
        if self.failures.fetch_sub(1, Ordering::Relaxed) > 0 {
            return Err("as the test wants it".to_owned());
        }
        self.compacted.lock().push((self.minute(), at.0));
        Ok(())
    }
}

fn run(policy: Policy) -> Scripted {
    let member = Scripted::new();
    let running = member.clone();
    tokio::spawn(async move {
        match policy {
            Policy::Periodic(period) => periodic::<TokioRuntime>(&running, period).await,
            Policy::Revisions(kept) => by_revisions::<TokioRuntime>(&running, kept).await,
        }
    });
    member
}

#[tokio::test(start_paused = true)]
async fn a_short_period_is_compacted_each_period_to_what_was_newest_a_period_ago() {
    let member = run(Policy::Periodic(10 * MINUTE));
    assert_eq!(member.after(9).await, []);
    // Noted each minute, ten minutes and the last one back.
    assert_eq!(member.after(35).await, [(10, 1), (20, 10), (30, 20)]);
}

#[tokio::test(start_paused = true)]
async fn a_long_period_is_waited_for_once_and_then_compacted_each_hour() {
    let member = run(Policy::Periodic(24 * 60 * MINUTE));
    assert_eq!(member.after(24 * 60 - 1).await, []);
    let kept: Vec<_> = member.after(27 * 60 + 1).await;
    assert_eq!(kept.len(), 4, "{kept:?}");
    for (minute, revision) in kept {
        let age = i64::try_from(minute).unwrap() + 1 - revision;
        assert!((24 * 60 - 6..=24 * 60 + 6).contains(&age), "at {minute} up to {revision}");
    }
}

#[tokio::test(start_paused = true)]
async fn revisions_are_counted_every_five_minutes() {
    let member = run(Policy::Revisions(100));
    assert_eq!(member.after(99).await, []);
    assert_eq!(member.after(111).await, [(100, 1), (105, 6), (110, 11)]);
}

#[tokio::test(start_paused = true)]
async fn who_does_not_lead_notes_and_compacts_nothing_and_goes_on_when_it_leads() {
    let member = run(Policy::Periodic(10 * MINUTE));
    // Between two of its looks.
    sleep(MINUTE / 2).await;
    member.leads.store(false, Ordering::Relaxed);
    assert_eq!(member.after(55).await, []);
    member.leads.store(true, Ordering::Relaxed);
    let (minute, revision) = member.after(57).await[0];
    assert_eq!((minute, revision), (56, 46));
}

#[tokio::test(start_paused = true)]
async fn what_failed_is_tried_again_before_the_next_period() {
    let member = run(Policy::Periodic(10 * MINUTE));
    member.failures.store(2, Ordering::Relaxed);
    assert_eq!(member.after(15).await, [(12, 2)]);
    member.failures.store(1, Ordering::Relaxed);
    let by_count = run(Policy::Revisions(1));
    by_count.failures.store(1, Ordering::Relaxed);
    assert_eq!(by_count.after(11).await, [(10, 10)]);
}

#[tokio::test(start_paused = true)]
async fn the_shortest_period_neither_spins_nor_grows() {
    let member = run(Policy::Periodic(Duration::from_nanos(1)));
    let compacted = member.after(3).await;
    assert!(compacted.len() <= 4, "{compacted:?}");
    assert_eq!(Window::new(Duration::from_nanos(1), SHORTEST_LOOK).most, 1);
}
