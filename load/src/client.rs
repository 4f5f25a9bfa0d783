//! A client that calls one operation after the other, and keeps some of its leases alive meanwhile.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use registry_checkers::history::Outcome;
use registry_checkers::model::{Answer, Operation};
use registry_proto::etcdserverpb::{LeaseKeepAliveRequest, LeaseLeasesRequest, LeaseRevokeRequest, PutRequest};
use tokio::time::{Instant, sleep, timeout};

use crate::caller::Caller;
use crate::generator::{COUNTER, Generator, Step, read};
use crate::known::Known;
use crate::reach::Members;
use crate::settings::Settings;
use crate::stage::Stage;

/// Between two attempts of a call that must succeed.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// A lease that is renewed for a while.
#[derive(Debug)]
struct Held {
    id: i64,
    ttl: Duration,
    renew_at: Instant,
    /// Then it is given back, or left to expire.
    until: Instant,
}

pub(crate) struct Client {
    pub(crate) caller: Caller,
    pub(crate) generator: Generator,
    known: Known,
    held: Vec<Held>,
    /// Leases that outlive the run.
    pub(crate) kept: Vec<i64>,
    settings: Arc<Settings>,
    stage: Arc<Stage>,
    members: Arc<dyn Members>,
}

impl Client {
    pub(crate) fn new(caller: Caller, members: Arc<dyn Members>, settings: Arc<Settings>, stage: Arc<Stage>) -> Self {
        let generator = Generator::new(caller.client, Arc::clone(&settings));
        Self {
            caller,
            generator,
            known: Known::default(),
            held: Vec::new(),
            kept: Vec::new(),
            settings,
            stage,
            members,
        }
    }

    /// All its calls but the last ones.
    pub(crate) async fn run(&mut self) {
        let end = Instant::now() + self.settings.limit;
        for _ in 0..self.settings.calls {
            sleep(Duration::from_millis(self.generator.think_ms())).await;
            if Instant::now() >= end {
                break;
            }
            self.tend_leases().await;
            self.step().await;
        }
        // What is still held expires.
        self.held.clear();
    }

    /// The last calls, each of which must succeed. Says how many did within the limit.
    pub(crate) async fn finish(&mut self, limit: Duration) -> u64 {
        let mut done = 0;
        let calls = async {
            while done < self.settings.last_calls {
                let operation = self.last(done);
                match self.call(operation).await {
                    Outcome::Answered(_) => done += 1,
                    _ => sleep(RETRY_PAUSE).await,
                }
            }
        };
        drop(timeout(limit, calls).await);
        done
    }

    /// One of the last calls. They leave leases that outlive the run, with keys, so that the members' last states
    /// have some.
    fn last(&mut self, number: u64) -> Operation {
        match number % 4 {
            0 => {
                let grant = self.generator.last_grant();
                self.kept.push(grant.id);
                Operation::LeaseGrant(grant)
            }
            1 => {
                let lease = self.kept.last().copied().unwrap_or(0);
                let key = format!("k/last-{}", self.caller.client).into();
                let value = self.generator.value();
                Operation::Put(PutRequest { key, value, lease, prev_kv: true, ..PutRequest::default() })
            }
            2 => Operation::Range(read(COUNTER)),
            _ => Operation::Txn(self.generator.count(&self.known)),
        }
    }

    /// Waits until no lease is there but those of last calls, so that nothing happens any more.
    pub(crate) async fn wait_for_quiet(&mut self, kept: &BTreeSet<i64>, limit: Duration) {
        let looks = async {
            loop {
                let outcome = self.call(Operation::LeaseLeases(LeaseLeasesRequest {})).await;
                if let Outcome::Answered(Answer::LeaseLeases(answer)) = outcome
                    && answer.leases.iter().all(|lease| kept.contains(&lease.id))
                {
                    return;
                }
                sleep(RETRY_PAUSE * 2).await;
            }
        };
        if timeout(limit, looks).await.is_err() {
            self.caller.recorder.trace(format_args!("there are leases left after {limit:?}"));
        }
    }

    pub(crate) async fn call(&mut self, operation: Operation) -> Outcome {
        let outcome = self.caller.call(operation.clone()).await;
        self.known.learn(&operation, &outcome);
        self.stage.see(self.known.revision);
        outcome
    }

    async fn step(&mut self) {
        let confirmed = self.stage.confirmed(self.members.count());
        match self.generator.next(&self.known, confirmed) {
            Step::Call(operation) => {
                if let Outcome::Answered(Answer::LeaseGrant(granted)) = self.call(operation).await {
                    self.hold(granted.id, granted.ttl);
                }
            }
            Step::Count => {
                self.call(Operation::Range(read(COUNTER))).await;
                let count = self.generator.count(&self.known);
                self.call(Operation::Txn(count)).await;
            }
            Step::Members => self.caller.list_members().await,
            Step::Hash(revision) => self.caller.hash(revision).await,
        }
    }

    /// Keeps a new lease alive for some TTLs, perhaps.
    fn hold(&mut self, id: i64, ttl_seconds: i64) {
        if self.generator.percent(50) {
            return;
        }
        let ttl = Duration::from_secs(ttl_seconds.unsigned_abs());
        let now = Instant::now();
        let lives = if self.generator.percent(50) { 2 } else { 4 };
        self.held.push(Held { id, ttl, renew_at: now + ttl / 3, until: now + ttl * lives });
    }

    /// Renews what is due, and lets go what was held long enough.
    async fn tend_leases(&mut self) {
        for mut held in std::mem::take(&mut self.held) {
            let now = Instant::now();
            if now >= held.until {
                if self.generator.percent(40) {
                    self.call(Operation::LeaseRevoke(LeaseRevokeRequest { id: held.id })).await;
                }
                continue;
            }
            if now >= held.renew_at {
                held.renew_at = now + held.ttl / 3;
                let renewal = Operation::LeaseKeepAlive(LeaseKeepAliveRequest { id: held.id });
                if let Outcome::Answered(Answer::LeaseKeepAlive(answer)) = self.call(renewal).await
                    && answer.ttl <= 0
                {
                    continue;
                }
            }
            self.held.push(held);
        }
    }
}
