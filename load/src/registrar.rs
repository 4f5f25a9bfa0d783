//! A user of the SDK: it registers one instance after the other and gives each up in another way.
//!
//! What is checked is what stands in the registry, so a registrar also looks, with calls of its own, under which
//! lease its key stands and what TTL was granted.

use std::sync::Arc;
use std::time::Duration;

use registry_checkers::history::{HowEnded, Outcome};
use registry_checkers::model::{Answer, Operation};
use registry_client::{Error, Instance, LeaseState, Registration, Registry, Shutdown};
use registry_proto::etcdserverpb::LeaseTimeToLiveRequest;
use tokio::time::{Instant, sleep, timeout};

use crate::client::Client;
use crate::generator::read;
use crate::recorder::Recorder;
use crate::settings::Settings;

/// The service that all registrations of the load are of.
const SERVICE: &str = "load";
/// A registration that does not stand by then is given up.
const STAND_LIMIT: Duration = Duration::from_secs(20);

/// The processes in which the SDK runs.
pub trait Homes: Send + Sync {
    /// Starts the process of that number with a client of its own. Numbers are not used twice.
    fn start(&self, process: u32) -> Registry;

    /// Kills the process, so that it says nothing more. Says whether processes can be killed here; if not,
    /// registrations are dropped instead.
    fn kill(&self, process: u32) -> bool;
}

/// One user of the SDK.
pub(crate) struct Registrar {
    client: Client,
    homes: Arc<dyn Homes>,
    settings: Arc<Settings>,
    processes: u32,
}

/// How a registration that stood came to its end.
enum End {
    Shutdown,
    Drop,
    Kill,
    /// It ended by itself.
    Closed(Option<Arc<Error>>),
}

impl Registrar {
    pub(crate) fn new(client: Client, homes: Arc<dyn Homes>, settings: Arc<Settings>) -> Self {
        Self { client, homes, settings, processes: 0 }
    }

    pub(crate) async fn run(&mut self) {
        let end = Instant::now() + self.settings.limit;
        for _ in 0..self.settings.registrations {
            if Instant::now() >= end {
                return;
            }
            sleep(Duration::from_millis(self.client.generator.think_ms())).await;
            self.hold().await;
        }
    }

    fn recorder(&self) -> &Recorder {
        &self.client.caller.recorder
    }

    /// One registration in a process of its own, from beginning to end.
    async fn hold(&mut self) {
        let client = self.client.caller.client;
        self.processes += 1;
        let process = client * 1_000 + self.processes;
        let registry = self.homes.start(process);
        let id = format!("{client}-{}", self.processes);
        let built = Instance::builder(SERVICE).id(&id).endpoint("grpc", "http://10.0.0.1:9000").build();
        let instance = built.expect("the name and the endpoint are right");
        let ttl = Duration::from_secs(self.client.generator.ttl().unsigned_abs());
        let key = format!("{}/services/{SERVICE}/{id}", registry.namespace());
        let granted = ttl.max(Duration::from_secs(self.settings.min_ttl_seconds.unsigned_abs()));
        let number = self.recorder().register(SERVICE, key.clone(), granted);
        let registered = timeout(STAND_LIMIT, registry.register(instance).ttl(ttl).into_future()).await;
        let how = match registered {
            Ok(Ok(registration)) => {
                self.look(number, &key).await;
                self.live(process, &key, registration).await
            }
            Ok(Err(Error::Closed)) => HowEnded::Killed,
            // Dropping the future gives back what was granted.
            Ok(Err(_)) | Err(_) => HowEnded::Dropped,
        };
        self.recorder().end_registration(number, how);
    }

    /// Finds out which TTL was granted.
    async fn look(&mut self, number: usize, key: &str) {
        let request = read(key.to_owned());
        let Outcome::Answered(Answer::Range(found)) = self.client.call(Operation::Range(request)).await else { return };
        let kvs = found.kvs.into_messages().unwrap_or_default();
        let Some(lease) = kvs.first().map(|kv| kv.lease).filter(|lease| *lease != 0) else { return };
        let request = LeaseTimeToLiveRequest { id: lease, keys: true };
        let outcome = self.client.call(Operation::LeaseTimeToLive(request)).await;
        if let Outcome::Answered(Answer::LeaseTimeToLive(answer)) = outcome
            && answer.granted_ttl > 0
        {
            self.recorder().granted(number, Duration::from_secs(answer.granted_ttl.unsigned_abs()));
        }
    }

    /// Holds a registration that stands for a while, and ends it.
    async fn live(&mut self, process: u32, key: &str, registration: Registration) -> HowEnded {
        let held = Duration::from_millis(self.client.generator.draw(self.settings.held_ms.clone()));
        let end = match timeout(held, closed(&registration)).await {
            Ok(error) => End::Closed(error),
            Err(_) => {
                self.comes_back(process, &registration).await;
                self.draw_end()
            }
        };
        match end {
            End::Shutdown => {
                let shutdown = Shutdown::new().drain(Duration::from_millis(300)).deadline(Duration::from_secs(5));
                match registration.shutdown(shutdown).await {
                    Ok(()) => {
                        self.is_gone(process, key).await;
                        HowEnded::Shutdown
                    }
                    Err(Error::Closed) => HowEnded::Killed,
                    // It goes on in the background, as after a drop.
                    Err(_) => HowEnded::Dropped,
                }
            }
            End::Kill if self.homes.kill(process) => HowEnded::Killed,
            End::Kill | End::Drop => {
                drop(registration);
                HowEnded::Dropped
            }
            End::Closed(error) if error.as_deref() == Some(&Error::Closed) => HowEnded::Killed,
            End::Closed(error) => {
                self.recorder().complain(format!("a registration of process {process} ended by itself: {error:?}"));
                HowEnded::Dropped
            }
        }
    }

    /// One that has lost its lease stands again, at the latest when all is healed.
    async fn comes_back(&self, process: u32, registration: &Registration) {
        let stands = |state: &LeaseState| !matches!(state, LeaseState::Lost(_) | LeaseState::Reregistering(_));
        let limit = self.settings.limit + STAND_LIMIT;
        if timeout(limit, registration.state().wait_for(stands)).await.is_err() {
            self.recorder().complain(format!("a registration of process {process} does not come back in {limit:?}"));
        }
    }

    /// A shutdown that was waited for leaves no key.
    async fn is_gone(&mut self, process: u32, key: &str) {
        let outcome = self.client.call(Operation::Range(read(key.to_owned()))).await;
        if let Outcome::Answered(Answer::Range(found)) = outcome
            && found.count > 0
        {
            self.recorder().complain(format!("a registration of process {process} was shut down and its key is there"));
        }
    }

    fn draw_end(&mut self) -> End {
        match self.client.generator.draw(0..=2) {
            0 => End::Shutdown,
            1 => End::Drop,
            _ => End::Kill,
        }
    }
}

/// Waits until the registration is over.
async fn closed(registration: &Registration) -> Option<Arc<Error>> {
    match registration.state().wait_for(|state| matches!(state, LeaseState::Closed(_))).await {
        Ok(LeaseState::Closed(error)) => error,
        _ => None,
    }
}
