//! A run: who takes part in it, and its phases.

use std::sync::Arc;
use std::time::Duration;

use registry_checkers::history::History;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use crate::bulk::Bulk;
use crate::caller::Caller;
use crate::client::Client;
use crate::contender::Contender;
use crate::latecomer::Latecomer;
use crate::reach::{Members, Spawn};
use crate::recorder::{Recorder, Trace};
use crate::registrar::{Homes, Registrar};
use crate::settings::Settings;
use crate::stage::Stage;
use crate::watching::{Chronicle, Drawn};

/// How often it is looked whether there is a new member, and whether every watch has reached the end.
const LOOK: Duration = Duration::from_millis(100);

/// The clients of a run and what they saw.
///
/// First [`Load::run`]; when it is over and the caller has ended all faults, [`Load::settle`]; when the caller has
/// read the members' states, [`Load::conclude`]. The history is [`Load::recorder`]'s, or what `conclude` gives.
pub struct Load {
    settings: Arc<Settings>,
    members: Arc<dyn Members>,
    homes: Option<Arc<dyn Homes>>,
    spawn: Spawn,
    recorder: Recorder,
    stage: Arc<Stage>,
    /// The clients after their calls.
    clients: Vec<Client>,
    /// The clients that watch.
    watching: Vec<u32>,
    chronicles: usize,
    next_client: u32,
}

impl Load {
    /// A run over these members, whose tasks run where `spawn` puts them. Times begin now.
    ///
    /// # Errors
    /// When the settings make no sense.
    pub fn new(settings: Settings, members: Arc<dyn Members>, spawn: Spawn) -> Result<Self, String> {
        settings.validate()?;
        let next_client = settings.clients;
        Ok(Self {
            settings: Arc::new(settings),
            members,
            homes: None,
            spawn,
            recorder: Recorder::new(None),
            stage: Arc::default(),
            clients: Vec::new(),
            watching: Vec::new(),
            chronicles: 0,
            next_client,
        })
    }

    /// Also registers instances, with the SDK in these processes.
    #[must_use]
    pub fn registering(mut self, homes: Arc<dyn Homes>) -> Self {
        self.homes = Some(homes);
        self
    }

    /// Tells everything as it happens. Times begin now.
    #[must_use]
    pub fn traced(mut self, trace: Trace) -> Self {
        self.recorder = Recorder::new(Some(trace));
        self
    }

    /// Where everything is written down.
    #[must_use]
    pub fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// Makes all calls but the last ones. Watches stay open.
    pub async fn run(&mut self) {
        self.watch();
        let (sender, mut done) = mpsc::channel(1);
        for number in 0..self.settings.clients {
            let mut client = self.client(number);
            self.work(&sender, async move {
                client.run().await;
                Some(client)
            });
        }
        for _ in 0..self.settings.contenders {
            let mut contender = Contender::new(self.new_client(), Arc::clone(&self.settings));
            self.work(&sender, async move {
                contender.run().await;
                None
            });
        }
        for _ in 0..self.settings.latecomers {
            let mut latecomer = Latecomer::new(self.new_client(), Arc::clone(&self.settings));
            self.work(&sender, async move {
                latecomer.run().await;
                None
            });
        }
        if self.settings.large_bytes > 0 {
            let mut bulk = Bulk::new(self.new_client(), Arc::clone(&self.settings));
            self.work(&sender, async move {
                bulk.run().await;
                None
            });
        }
        let registrars = if self.homes.is_some() { self.settings.registrars } else { 0 };
        for homes in self.homes.clone().into_iter().cycle().take(registrars as usize) {
            let mut registrar = Registrar::new(self.new_client(), homes, Arc::clone(&self.settings));
            self.work(&sender, async move {
                registrar.run().await;
                None
            });
        }
        drop(sender);
        loop {
            match timeout(LOOK, done.recv()).await {
                Ok(Some(client)) => self.clients.extend(client),
                Ok(None) => break,
                // A member may have joined.
                Err(_) => self.chronicle(),
            }
        }
        self.clients.sort_by_key(|client| client.caller.client);
        if self.clients.len() < self.settings.clients as usize {
            self.recorder.complain("a client ended before its calls".to_owned());
        }
    }

    /// After all faults have ended: every client's last calls must succeed within the limit. What does not is a
    /// complaint. Then it waits, for as long again, until all other leases have ended, so that nothing happens any
    /// more. Says the newest revision that anybody was told.
    pub async fn settle(&mut self, limit: Duration) -> i64 {
        self.recorder.heal();
        self.stage.settling.cancel();
        self.chronicle();
        let (sender, mut done) = mpsc::channel(1);
        for mut client in std::mem::take(&mut self.clients) {
            let sender = sender.clone();
            (self.spawn)(Box::pin(async move {
                let calls = client.finish(limit).await;
                drop(sender.send((client, calls)).await);
            }));
        }
        drop(sender);
        while let Some((client, calls)) = done.recv().await {
            if calls < self.settings.last_calls {
                let number = client.caller.client;
                self.recorder.complain(format!("client {number} had {calls} answers within {limit:?} of the healing"));
            }
            self.clients.push(client);
        }
        self.clients.sort_by_key(|client| client.caller.client);
        let kept = self.clients.iter().flat_map(|client| client.kept.iter().copied()).collect();
        if let Some(client) = self.clients.first_mut() {
            client.wait_for_quiet(&kept, limit).await;
        }
        self.stage.revision()
    }

    /// Waits until every open watch has reached `revision`, which should be the newest of the members' states,
    /// and ends all tasks. A watch that does not within the limit is a complaint.
    pub async fn conclude(&mut self, revision: i64, limit: Duration) -> (History, Vec<String>) {
        self.stage.aim(revision);
        let end = Instant::now() + limit;
        while Instant::now() < end && !self.stage.missing(&self.watching).is_empty() {
            sleep(LOOK).await;
        }
        for client in self.stage.missing(&self.watching) {
            self.recorder.complain(format!("watching client {client} did not reach revision {revision} in {limit:?}"));
        }
        let history = self.recorder.finish();
        self.stage.over.cancel();
        (history, self.recorder.complaints())
    }

    /// Puts a task to work that says when it is done.
    fn work(&self, done: &mpsc::Sender<Option<Client>>, task: impl Future<Output = Option<Client>> + Send + 'static) {
        let done = done.clone();
        (self.spawn)(Box::pin(async move { drop(done.send(task.await).await) }));
    }

    fn watch(&mut self) {
        self.chronicle();
        for _ in 0..self.settings.watches {
            let client = self.number();
            self.watching.push(client);
            let (members, settings) = (Arc::clone(&self.members), Arc::clone(&self.settings));
            let drawn = Drawn::new(client, members, self.recorder.clone(), settings, Arc::clone(&self.stage));
            (self.spawn)(Box::pin(drawn.run()));
        }
    }

    /// A chronicle for each member that has none.
    fn chronicle(&mut self) {
        for index in self.chronicles..self.members.count() {
            let client = self.number();
            self.watching.push(client);
            let confirmed = self.stage.confirmed(index);
            self.stage.confirm(index, confirmed);
            let (members, stage) = (Arc::clone(&self.members), Arc::clone(&self.stage));
            let chronicle = Chronicle { client, index, members, recorder: self.recorder.clone(), stage };
            (self.spawn)(Box::pin(chronicle.run(confirmed)));
            self.chronicles = index + 1;
        }
    }

    fn number(&mut self) -> u32 {
        self.next_client += 1;
        self.next_client - 1
    }

    fn new_client(&mut self) -> Client {
        let number = self.number();
        self.client(number)
    }

    fn client(&self, number: u32) -> Client {
        let (members, settings) = (Arc::clone(&self.members), Arc::clone(&self.settings));
        let caller = Caller::new(number, members, self.recorder.clone(), settings);
        Client::new(caller, Arc::clone(&self.members), Arc::clone(&self.settings), Arc::clone(&self.stage))
    }
}

impl Drop for Load {
    /// Whoever gives a run up ends its tasks.
    fn drop(&mut self) {
        self.stage.over.cancel();
    }
}

impl std::fmt::Debug for Load {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Load").field("settings", &self.settings).finish_non_exhaustive()
    }
}
