//! Batches under way, without a node: what becomes known of one sending says nothing of another.

use std::sync::Arc;

use bytes::Bytes;
use openraft::impls::TokioRuntime;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::Instant;

use super::List;
use crate::consensus::ProposeError;
use crate::consensus::batcher::{REFUSED_PAUSE, unless_over};
use crate::consensus::pending::{Carried, Outcome, Pending};
use crate::consensus::types::Leadership;

const FIRST: Leadership = Leadership { term: 1, member: 1 };
const SECOND: Leadership = Leadership { term: 2, member: 2 };

struct Scene {
    pending: Pending<List>,
    lost: mpsc::Receiver<Carried<List>>,
    permits: Arc<Semaphore>,
    outcome: oneshot::Receiver<Outcome<List>>,
}

/// One batch of one command, not sent yet.
fn scene() -> (Scene, Carried<List>) {
    let (pending, lost) = Pending::new(9, 8);
    let (waiter, outcome) = oneshot::channel();
    let batch = Carried { number: 1, commands: Bytes::from_static(b"x"), waiters: vec![waiter] };
    (Scene { pending, lost, permits: Arc::new(Semaphore::new(1)), outcome }, batch)
}

impl Scene {
    fn permit(&self) -> OwnedSemaphorePermit {
        self.permits.clone().try_acquire_owned().expect("the one before was given back")
    }
}

#[test]
fn a_refusal_that_comes_late_leaves_the_next_sending_alone() {
    let (mut scene, batch) = scene();
    let first = scene.pending.sending(FIRST, batch, scene.permit()).unwrap();
    // The next leader's entry is applied here: the batch is lost, and sent to it.
    scene.pending.reached(SECOND);
    let batch = scene.lost.try_recv().expect("it is sent again");
    let second = scene.pending.sending(SECOND, batch, scene.permit()).unwrap();
    // Now the first leader's refusal arrives.
    assert!(scene.pending.take(1, first).is_none());
    assert!(scene.lost.try_recv().is_err(), "it must not be sent a third time");
    for waiter in scene.pending.applied(scene.pending.origin(1)) {
        waiter.send(Ok(7)).unwrap();
    }
    assert_eq!(scene.outcome.try_recv().unwrap(), Ok(7));
    assert!(scene.pending.take(1, second).is_none());
}

#[test]
fn what_is_lost_gives_its_permit_back_at_once_and_what_is_open_does_not() {
    let (mut scene, batch) = scene();
    scene.pending.sending(FIRST, batch, scene.permit()).unwrap();
    scene.pending.reached(FIRST);
    assert!(scene.lost.try_recv().is_err() && scene.permits.available_permits() == 0);
    scene.pending.reached(SECOND);
    assert!(scene.lost.try_recv().is_ok() && scene.permits.available_permits() == 1);
}

#[test]
fn a_batch_for_a_leadership_that_is_over_is_not_sent() {
    let (mut scene, batch) = scene();
    scene.pending.reached(SECOND);
    assert!(scene.pending.sending(FIRST, batch, scene.permit()).is_none());
    assert!(scene.lost.try_recv().is_ok());
}

/// It went round without a pause and kept its thread busy.
#[tokio::test(start_paused = true)]
async fn a_batch_for_a_leadership_that_is_over_is_tried_again_after_a_pause() {
    let (mut scene, batch) = scene();
    scene.pending.reached(SECOND);
    let began = Instant::now();
    assert!(unless_over::<List, TokioRuntime>(&scene.pending, FIRST, batch).await.is_none());
    assert_eq!(began.elapsed(), REFUSED_PAUSE);
    let batch = scene.lost.try_recv().expect("it is tried again");
    assert!(unless_over::<List, TokioRuntime>(&scene.pending, SECOND, batch).await.is_some());
    assert_eq!(began.elapsed(), REFUSED_PAUSE, "one that can be sent waits for nothing");
}

#[test]
fn what_a_snapshot_may_have_jumped_over_is_told_as_open() {
    let (mut scene, batch) = scene();
    scene.pending.sending(FIRST, batch, scene.permit()).unwrap();
    scene.pending.skipped(SECOND);
    assert_eq!(scene.outcome.try_recv().unwrap(), Err(ProposeError::LeaderChanged));
    assert!(scene.lost.try_recv().is_err());
}

#[test]
fn a_node_that_stops_answers_everybody() {
    let (mut scene, batch) = scene();
    scene.pending.sending(FIRST, batch, scene.permit()).unwrap();
    scene.pending.close();
    assert_eq!(scene.outcome.try_recv().unwrap(), Err(ProposeError::Stopped));
}
