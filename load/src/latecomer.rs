//! A client that renews a lease in the moment in which it ends, or in which what remains of it is recorded: either the
//! renewal counts or the other does, never half of both.

use std::sync::Arc;
use std::time::Duration;

use registry_checkers::history::Outcome;
use registry_checkers::model::{Answer, Operation};
use registry_proto::etcdserverpb::{LeaseKeepAliveRequest, LeaseTimeToLiveRequest, PutRequest};
use tokio::time::{Instant, sleep, sleep_until};

use crate::client::Client;
use crate::settings::Settings;

/// A renewal is sent so much before the moment at most, in milliseconds: it has a way to go.
const BEFORE_MS: u64 = 80;

/// From the earliest to the latest renewal, in milliseconds.
const AROUND_MS: u64 = 120;

pub(crate) struct Latecomer {
    client: Client,
    settings: Arc<Settings>,
    /// Nothing is begun after it.
    end: Instant,
}

impl Latecomer {
    pub(crate) fn new(client: Client, settings: Arc<Settings>) -> Self {
        let end = Instant::now() + settings.limit;
        Self { client, settings, end }
    }

    pub(crate) async fn run(&mut self) {
        for _ in 0..self.settings.late_renewals {
            sleep(Duration::from_millis(self.client.generator.think_ms())).await;
            if Instant::now() >= self.end {
                return;
            }
            self.be_late().await;
        }
    }

    /// One lease with a key, renewed late; what is left of it is asked for at once, and when it should still be there.
    async fn be_late(&mut self) {
        let grant = self.client.generator.grant();
        let Outcome::Answered(Answer::LeaseGrant(granted)) = self.client.call(Operation::LeaseGrant(grant)).await
        else {
            return;
        };
        let (id, ttl) = (granted.id, Duration::from_secs(granted.ttl.unsigned_abs()));
        let granted_at = Instant::now();
        let (key, value) = (format!("late/{id:x}").into(), self.client.generator.value());
        self.client.call(Operation::Put(PutRequest { key, value, lease: id, ..PutRequest::default() })).await;
        let moment = if self.client.generator.percent(50) { ttl } else { ttl / 2 };
        let around = Duration::from_millis(self.client.generator.draw(0..=AROUND_MS));
        let at = granted_at + moment - Duration::from_millis(BEFORE_MS) + around;
        if at >= self.end {
            return;
        }
        sleep_until(at).await;
        let renewal = Operation::LeaseKeepAlive(LeaseKeepAliveRequest { id });
        if let Outcome::Answered(Answer::LeaseKeepAlive(renewed)) = self.client.call(renewal).await
            && renewed.ttl > 0
        {
            let left = LeaseTimeToLiveRequest { id, keys: true };
            self.client.call(Operation::LeaseTimeToLive(left)).await;
            sleep(ttl * 4 / 5).await;
            self.client.call(Operation::LeaseTimeToLive(left)).await;
        }
    }
}
