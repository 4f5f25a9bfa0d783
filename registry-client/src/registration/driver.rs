//! Carries out on the SDK's thread what a registration's machine wants, and tells it how that went.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, watch};

use super::health::{PlacedCheck, monitor};
use super::keepalive::KeepAlives;
use super::machine::{Action, Event, Keys, LeaseId, Machine, Moment, Progress, PutOutcome, Settings};
use super::ownkeys::{self, Run};
use super::rpc;
use super::slot::Slot;
use super::state::LeaseState;
use crate::channel::Channel;
use crate::clock::Clock;
use crate::error::Error;
use crate::instance::Instance;
use crate::meters::StateMeter;
use crate::watch::hub::WatchHub;

/// Answers of the keep-alive stream that wait for one registration.
const ROUTE_LIMIT: usize = 16;
/// What watches and health checks have told and one registration has not taken yet; they wait. Keep-alives have a way of
/// their own, as ten thousand keys have much to tell.
const KEYS_LIMIT: usize = 16;

/// What all registrations of a client share.
#[derive(Debug, Clone)]
pub(crate) struct Tools {
    pub(crate) clock: Clock,
    pub(crate) channel: Channel,
    pub(crate) keepalives: KeepAlives,
    pub(crate) watches: WatchHub,
    /// Changes when the machine wakes from suspend.
    pub(crate) resumed: watch::Receiver<u64>,
}

/// One registration on the SDK's thread. Its calls are part of its own task: nothing of it is left behind
/// when it is dropped.
pub(crate) struct Driver {
    slot: Arc<Slot>,
    machine: Machine,
    tools: Tools,
    calls: FuturesUnordered<BoxFuture<'static, Event>>,
    route: mpsc::Sender<Event>,
    routed: mpsc::Receiver<Event>,
    /// The lease whose keep-alives come to our route.
    kept: Option<LeaseId>,
    /// What is to be watched from the first put's answer on.
    own_keys: Vec<Run>,
    keys: mpsc::Sender<Event>,
    seen: mpsc::Receiver<Event>,
    /// Watches of the own keys, and the health check. None ends as long as somebody takes what it says.
    side: FuturesUnordered<BoxFuture<'static, ()>>,
    meter: StateMeter,
}

impl Driver {
    pub(crate) fn new(
        slot: Arc<Slot>,
        instances: Vec<(Keys, Arc<Instance>)>,
        settings: Settings,
        health: Option<PlacedCheck>,
        tools: Tools,
    ) -> Self {
        let (route, routed) = mpsc::channel(ROUTE_LIMIT);
        let (keys, seen) = mpsc::channel(KEYS_LIMIT);
        let own_keys = ownkeys::runs(instances.iter().map(|(keys, _)| keys.instance.clone()));
        let machine = Machine::new(instances, settings);
        let calls = FuturesUnordered::new();
        let mut side: FuturesUnordered<BoxFuture<'static, ()>> = FuturesUnordered::new();
        side.extend(health.map(|check| Box::pin(monitor(check, keys.clone())) as BoxFuture<'static, ()>));
        Self {
            slot,
            machine,
            tools,
            calls,
            route,
            routed,
            kept: None,
            own_keys,
            keys,
            seen,
            side,
            meter: StateMeter::default(),
        }
    }

    pub(crate) async fn run(mut self) {
        let mut finished = self.step(Event::Tick);
        while !finished {
            let clock = self.tools.clock;
            let wake = self.machine.next_wake(clock.boot_time());
            tokio::select! {
                biased;
                () = self.slot.woken() => finished = self.wish(),
                Some(event) = self.calls.next() => finished = self.called(event),
                Some(event) = self.routed.recv() => finished = self.step(event),
                Some(event) = self.seen.recv() => finished = self.step(event),
                () = sleep_until(wake, clock) => finished = self.step(Event::Tick),
                Ok(()) = self.tools.resumed.changed() => finished = self.step(Event::Tick),
                Some(()) = self.side.next() => {}
            }
        }
    }

    /// Takes what the holder wants.
    fn wish(&mut self) -> bool {
        let wishes = self.slot.take_wishes();
        let mut finished = false;
        if let Some((changes, number)) = wishes.update {
            finished |= self.step(Event::Update { changes, number });
        }
        if let Some((drain, deadline)) = wishes.shutdown {
            finished |= self.step(Event::Shutdown { drain, deadline });
        } else if wishes.closed {
            finished |= self.step(Event::Dropped);
        }
        finished
    }

    fn called(&mut self, event: Event) -> bool {
        if let Event::Put(PutOutcome::Stored { revision } | PutOutcome::Conflict { revision, .. }) = &event {
            for run in std::mem::take(&mut self.own_keys) {
                let (channel, hub) = (self.tools.channel.clone(), self.tools.watches.clone());
                self.side.push(Box::pin(ownkeys::watch(channel, hub, run, *revision, self.keys.clone())));
            }
        }
        self.step(event)
    }

    /// Says whether it was the last step.
    fn step(&mut self, event: Event) -> bool {
        let actions = self.machine.step(event, self.tools.clock.boot_time());
        let mut finished = false;
        for action in actions {
            finished |= matches!(action, Action::Finished);
            self.carry_out(action);
        }
        finished
    }

    fn report(&mut self, progress: Progress) {
        // An error that changes while the state stays is not told again.
        if let Some(state) = self.meter.show(&progress.state) {
            let error = progress.state.error().map(tracing::field::display);
            match &progress.state {
                LeaseState::Suspect(_) | LeaseState::Lost(_) | LeaseState::Reregistering(Some(_)) => {
                    tracing::warn!(state, error, "the registration is in doubt");
                }
                _ => tracing::debug!(state, error, "the registration's state has changed"),
            }
        }
        self.slot.publish(progress);
    }

    fn carry_out(&mut self, action: Action) {
        let channel = self.tools.channel.clone();
        match action {
            Action::Grant { id, ttl } => self.calls.push(Box::pin(rpc::grant(channel, id, ttl))),
            Action::Put { lease, puts } => self.calls.push(Box::pin(rpc::put(channel, lease, puts))),
            Action::Revoke { id } => {
                if self.kept.take_if(|kept| *kept == id).is_some() {
                    self.tools.keepalives.forget(id);
                }
                self.calls.push(Box::pin(rpc::revoke(channel, id)));
            }
            Action::KeepAlive { id } => {
                self.kept = Some(id);
                self.tools.keepalives.ask(id, &self.route);
            }
            Action::Reconnect => self.tools.keepalives.restart(),
            Action::Report(progress) => self.report(progress),
            Action::Finished => self.side.clear(),
        }
    }
}

impl Drop for Driver {
    /// Also when the thread ends or a step panics: nobody waits for a driver that has gone.
    fn drop(&mut self) {
        if let Some(id) = self.kept.take() {
            self.tools.keepalives.forget(id);
        }
        self.slot.end(Progress {
            state: LeaseState::Closed(Some(Arc::new(Error::Closed))),
            stored: 0,
            health: None,
            refused: None,
            released: true,
        });
    }
}

async fn sleep_until(wake: Option<Moment>, clock: Clock) {
    match wake {
        Some(wake) => tokio::time::sleep(wake.saturating_sub(clock.boot_time())).await,
        None => std::future::pending().await,
    }
}
