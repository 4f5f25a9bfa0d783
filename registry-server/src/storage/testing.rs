//! An executor that runs jobs when a test says so, in any order of lanes.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::types::{Executor, Job, Lane};

/// Lanes whose jobs wait until they are run by hand.
#[derive(Clone, Default)]
pub(super) struct ManualExecutor {
    lanes: Arc<Mutex<Vec<VecDeque<Job>>>>,
}

impl Executor for ManualExecutor {
    fn lane(&self, _name: &str) -> std::io::Result<Lane> {
        let mut lanes = self.lanes.lock();
        let number = lanes.len();
        lanes.push(VecDeque::new());
        let lanes = self.lanes.clone();
        Ok(Lane::new(move |job| {
            lanes.lock()[number].push_back(job);
            Ok(())
        }))
    }

    fn helpers(&self) -> usize {
        0
    }
}

impl ManualExecutor {
    /// Runs one job of a lane; `false` when none waits.
    pub(super) fn run_one(&self, lane: usize) -> bool {
        let job = self.lanes.lock()[lane].pop_front();
        let ran = job.is_some();
        job.into_iter().for_each(|job| job());
        ran
    }

    /// Runs jobs until none waits.
    pub(super) fn run_all(&self) {
        let lanes = self.lanes.lock().len();
        while (0..lanes).any(|lane| self.run_one(lane)) {}
    }

    /// Drops the jobs that wait, as a lane that ends does.
    pub(super) fn drop_all(&self) {
        let jobs: Vec<Job> = self.lanes.lock().iter_mut().flat_map(std::mem::take).collect();
        drop(jobs);
    }
}
