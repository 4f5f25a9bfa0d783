//! A run: operations out of a seed, done by the model and by a subject, and their answers compared.
//!
//! Writes that stand together are sent together, in order, and so are reads; nothing is read while a write is
//! under way, so that the model knows every answer. A disagreement ends the run with all that is needed to
//! see and to repeat it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::task::Poll;

use registry_proto::etcdserverpb::request_op::Request;
use registry_proto::etcdserverpb::{LeaseLeasesRequest, LeaseTimeToLiveRequest, RangeRequest, WatchCreateRequest};
use tokio::time::Instant;
use tonic::Status;

use super::Model;
use super::Refusal;
use super::agreement::{Answerer, comparable};
use super::generator::Generator;
use super::recent::{Recent, Step};
use super::settings::Settings;
use super::subject::Subject;
use super::watched::{Watched, look_back};
use super::{Answer, Operation};
use crate::requests::everything;

/// So many operations lie between two looks at what watchers got, or fewer: before each compaction, too.
const BETWEEN_WATCHES: usize = 300;
/// Revisions that are read when everything is compared.
const REVISIONS: usize = 40;

/// The kind of an operation, and the text it was refused with, if it was.
pub type Outcome = (&'static str, Option<Cow<'static, str>>);

/// A run that goes on.
#[derive(Debug)]
pub struct Run {
    settings: Settings,
    generator: Generator,
    model: Model,
    /// The operation that begins the next round.
    next: Option<Operation>,
    done: usize,
    recent: Recent,
    answerer: Option<Answerer>,
    outcomes: BTreeMap<Outcome, usize>,
    started: Instant,
}

impl Run {
    /// A run of an empty server.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            generator: Generator::new(settings.seed, settings.mix),
            model: Model::new(settings.mix.dialect),
            settings,
            next: None,
            done: 0,
            recent: Recent::default(),
            answerer: None,
            outcomes: BTreeMap::new(),
            started: Instant::now(),
        }
    }

    /// What the model has come to.
    #[must_use]
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// What it is made of.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// How many operations agreed so far.
    #[must_use]
    pub fn done(&self) -> usize {
        self.done
    }

    /// How often each kind of operation was answered, and refused for each reason.
    #[must_use]
    pub fn outcomes(&self) -> &BTreeMap<Outcome, usize> {
        &self.outcomes
    }

    /// Goes on until `upto` operations are done, watching all the while.
    ///
    /// # Panics
    /// When the subject does not agree with the model.
    pub async fn go(&mut self, subject: &impl Subject, upto: usize) {
        let watched = Watched::from_now(subject, watch_everything(0), &self.model).await;
        let mut watched = watched.unwrap_or_else(|wrong| self.fail(&wrong));
        let mut looked_at = self.done;
        while self.done < upto {
            let first = self.upcoming();
            let compacts = matches!(first, Operation::Compact(_));
            if compacts || self.done - looked_at >= BETWEEN_WATCHES {
                watched.catch_up(&self.model).await.unwrap_or_else(|wrong| self.fail(&wrong));
                looked_at = self.done;
                let request = self.generator.watch(&self.model);
                self.look_back(subject, request).await;
            }
            let steps = self.round(first, upto);
            self.compare(subject, steps).await;
            if compacts {
                // What is left of the revision at which history now begins.
                let request = self.generator.watch_from(self.model.compacted(), &self.model);
                self.look_back(subject, request).await;
            }
        }
        watched.catch_up(&self.model).await.unwrap_or_else(|wrong| self.fail(&wrong));
    }

    /// Compares all that can be read: keys at many revisions, leases with their keys, and history.
    ///
    /// # Panics
    /// When the subject does not agree with the model.
    pub async fn compare_everything(&mut self, subject: &impl Subject) {
        let (oldest, newest) = (self.model.compacted().max(1), self.model.revision());
        let step = usize::try_from(newest - oldest).unwrap_or(0) / REVISIONS + 1;
        let revisions = (oldest..=newest).step_by(step).chain([oldest - 1, newest, newest + 1]);
        let mut reads: Vec<_> =
            revisions.map(|revision| Operation::Range(RangeRequest { revision, ..everything() })).collect();
        reads.push(Operation::LeaseLeases(LeaseLeasesRequest {}));
        let leases = self.model.lease_ids();
        reads.extend(leases.map(|id| Operation::LeaseTimeToLive(LeaseTimeToLiveRequest { id, keys: true })));
        let steps = reads.into_iter().enumerate().map(|(ahead, read)| self.step(ahead, read)).collect();
        self.compare(subject, steps).await;
        let is_lossy = !self.model.dialect().watches_from_the_compacted_revision();
        let request = watch_everything(oldest + i64::from(is_lossy));
        self.look_back(subject, request).await;
    }

    async fn look_back(&self, subject: &impl Subject, request: WatchCreateRequest) {
        let looked = look_back(subject, &request, &self.model).await;
        looked.unwrap_or_else(|wrong| self.fail(&format!("{request:?}\n{wrong}")));
    }

    fn upcoming(&mut self) -> Operation {
        self.next.take().unwrap_or_else(|| self.generator.next(&self.model))
    }

    /// Operations that may be under way together: `first` and those after it of its kind. A compaction
    /// begins a round, so that watchers can be read before it.
    fn round(&mut self, first: Operation, upto: usize) -> Vec<Step> {
        let reads = is_read(&first);
        let mut steps = vec![self.step(0, first)];
        while steps.len() < self.settings.at_once && self.done + steps.len() < upto {
            let operation = self.upcoming();
            if is_read(&operation) != reads || matches!(operation, Operation::Compact(_)) {
                self.next = Some(operation);
                break;
            }
            steps.push(self.step(steps.len(), operation));
        }
        steps
    }

    fn step(&mut self, ahead: usize, operation: Operation) -> Step {
        let expected = self.model.answer(&operation);
        Step { number: self.done + ahead + 1, operation, expected }
    }

    async fn compare(&mut self, subject: &impl Subject, steps: Vec<Step>) {
        let answers = all_in_order(steps.iter().map(|step| subject.answer(&step.operation))).await;
        for (step, got) in steps.into_iter().zip(answers) {
            self.compare_one(&step, got);
            let refused = step.expected.as_ref().err().map(|refusal| refusal.text.clone());
            *self.outcomes.entry((step.operation.kind(), refused)).or_default() += 1;
            self.done += 1;
            self.recent.push(step);
        }
    }

    fn compare_one(&mut self, step: &Step, got: Result<Answer, Status>) {
        let elapsed = self.started.elapsed();
        let got = match (got.map_err(Refusal::from), &step.expected) {
            (Ok(got), Ok(expected)) => {
                let got = comparable(got, expected, &mut self.answerer, elapsed);
                Ok(got.unwrap_or_else(|wrong| self.disagree(step, &wrong)))
            }
            (got, _) => got,
        };
        if got != step.expected {
            self.disagree(step, &format!("{got:?}"));
        }
    }

    fn disagree(&self, step: &Step, got: &str) -> ! {
        self.fail(&self.recent.report(step, got))
    }

    fn fail(&self, what: &str) -> ! {
        let (number, newest, compacted) = (self.done + 1, self.model.revision(), self.model.compacted());
        panic!(
            "the model does not agree at operation {number}, newest revision {newest}, compacted {compacted}; \
             repeat with {}\n{what}",
            self.settings
        );
    }
}

fn watch_everything(start_revision: i64) -> WatchCreateRequest {
    let RangeRequest { key, range_end, .. } = everything();
    WatchCreateRequest { key, range_end, start_revision, prev_kv: true, ..WatchCreateRequest::default() }
}

/// Whether an operation changes nothing and is answered without the log.
fn is_read(operation: &Operation) -> bool {
    match operation {
        Operation::Range(_)
        | Operation::LeaseTimeToLive(_)
        | Operation::LeaseLeases(_)
        | Operation::LeaseKeepAlive(_) => true,
        Operation::Txn(txn) => {
            let mut ops = txn.success.iter().chain(&txn.failure);
            ops.all(|op| matches!(op.request, Some(Request::RequestRange(_))))
        }
        _ => false,
    }
}

/// Polls futures in their order and returns what they came to.
async fn all_in_order<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut under_way: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    poll_fn(|cx| {
        let mut waits = false;
        for (future, output) in &mut under_way {
            if output.is_none() {
                match future.as_mut().poll(cx) {
                    Poll::Ready(done) => *output = Some(done),
                    Poll::Pending => waits = true,
                }
            }
        }
        if waits { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    under_way.into_iter().map(|(_, output)| output.expect("all are done")).collect()
}
