//! The run, step by step. Each step waits for its condition, with a generous limit.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use registry_client::{Registry, Selector};
use registry_examples::BoxError;
use rustix::process::Signal;
use tokio::time::{Instant, sleep, timeout};
use tower::Layer;
use tower_discovery::{DiscoveryLayer, GrpcChannel, GrpcConnect, Target};

use crate::children::Children;
use crate::display::{Display, Source};
use crate::greeter::{ENDPOINT, SERVICE};
use crate::registry::{EmbeddedRegistry, start_registry};
use crate::report::Report;
use crate::traffic::Traffic;

/// A step that takes longer has failed, on however busy a machine.
const LIMIT: Duration = Duration::from_secs(60);
/// Requests that each instance answers between two changes.
const SETTLED: u64 = 500;
const STEPS: u64 = 7;
/// How often the registry is asked for its leases.
const POLL: Duration = Duration::from_millis(100);

const FIRST: [&str; 3] = ["greeter-1", "greeter-2", "greeter-3"];
const ADDED: &str = "greeter-4";
const TERMINATED: &str = "greeter-1";
const KILLED: &str = "greeter-2";
const LAST: [&str; 2] = ["greeter-3", ADDED];

/// What can be chosen about the run.
pub(crate) struct Plot {
    pub(crate) ttl: Duration,
    pub(crate) callers: usize,
    pub(crate) plain: bool,
}

/// The run.
pub(crate) async fn tell(plot: &Plot) -> Result<Report, BoxError> {
    let display = Display::new(plot.plain, STEPS);
    display.step("starting a registry in this process");
    let server = within("the registry starts", start_registry()).await??;
    display.tell(&format!("a registry listens at {}", server.url()));

    let registry = Registry::builder([server.url()]).build()?;
    let watch = registry.watch(SERVICE).start()?;
    let view = watch.select(Selector::endpoint(ENDPOINT));
    let channel: GrpcChannel = DiscoveryLayer::new(view).served_by(true).layer(GrpcConnect::new());
    let source = Source { watch, channel, tally: Arc::default() };
    let children = Children::new(server.url(), plot.ttl.as_secs());

    let mut story = Story { plot, display: &display, source: &source, server: &server, children };
    let played = tokio::select! {
        played = story.play() => played,
        never = display.keep_drawing(&source) => match never {},
    };
    display.end();
    drop(story);
    drop((source, registry));
    server.stop().await?;
    played
}

/// What the acts share.
struct Story<'a> {
    plot: &'a Plot,
    display: &'a Display,
    source: &'a Source,
    server: &'a EmbeddedRegistry,
    children: Children,
}

impl Story<'_> {
    async fn play(&mut self) -> Result<Report, BoxError> {
        self.display.step("starting three services");
        for id in FIRST {
            self.children.start(id)?;
        }
        self.connected("three services are connected", |ids| FIRST.iter().all(|id| ids.contains(id))).await?;
        let traffic = Traffic::start(&self.source.channel, self.plot.callers, Arc::clone(&self.source.tally));
        self.settle(&traffic, &FIRST).await?;

        let added = self.add(&traffic).await?;
        let (drained, mut unclean) = self.terminate(&traffic).await?;
        let (lost, expired) = self.kill(&traffic).await?;

        self.display.step("ending all services");
        let tally = within("the last requests end", traffic.stop()).await?;
        for id in LAST {
            self.children.signal(id, Signal::TERM)?;
        }
        for id in LAST {
            unclean.extend(self.end_of(id).await?);
        }
        let changes = vec![
            ("process started → gets requests", added),
            ("SIGTERM → gets no new request", drained),
            ("SIGKILL → gets no new request", lost),
        ];
        let (leases, callers) = (self.leases().await?, self.plot.callers as u64);
        Ok(Report { tally, changes, expired, crashed: KILLED, callers, unclean, leases })
    }

    /// An instance more.
    async fn add(&mut self, traffic: &Traffic) -> Result<Duration, BoxError> {
        self.display.step("adding a service");
        let since = Instant::now();
        self.children.start(ADDED)?;
        self.connected("the new service is connected", |ids| ids.contains(&ADDED)).await?;
        let took = since.elapsed();
        self.display.tell(&format!("{ADDED} is connected {took:.1?} after its process was started"));
        self.settle(traffic, &[ADDED]).await?;
        Ok(took)
    }

    /// An instance ends in order.
    async fn terminate(&mut self, traffic: &Traffic) -> Result<(Duration, Vec<String>), BoxError> {
        self.display.step("ending a service with SIGTERM");
        let since = Instant::now();
        self.children.signal(TERMINATED, Signal::TERM)?;
        self.connected("the draining service is left out", |ids| !ids.contains(&TERMINATED)).await?;
        let took = since.elapsed();
        self.display.tell(&format!("{TERMINATED} gets no new request {took:.1?} after SIGTERM"));
        let unclean = self.end_of(TERMINATED).await?;
        self.settle(traffic, &[KILLED]).await?;
        Ok((took, unclean.into_iter().collect()))
    }

    /// An instance crashes: when it got no more requests, and when its key was gone.
    async fn kill(&mut self, traffic: &Traffic) -> Result<(Duration, Duration), BoxError> {
        self.display.step("ending a service with SIGKILL");
        let since = Instant::now();
        self.children.signal(KILLED, Signal::KILL)?;
        self.connected("the killed service is left out", |ids| !ids.contains(&KILLED)).await?;
        let lost = since.elapsed();
        self.display.tell(&format!("{KILLED} gets no new request {lost:.1?} after SIGKILL"));
        within("the process is gone", self.children.wait(KILLED)).await??;
        self.settle(traffic, &LAST).await?;

        self.display.step("waiting for the TTL");
        let mut changes = self.source.watch.changes();
        let expiry = async {
            while let Some(snapshot) = changes.next().await {
                if !snapshot.instances().iter().any(|instance| instance.id() == KILLED) {
                    break;
                }
            }
        };
        within("the killed service's key expires", expiry).await?;
        let expired = since.elapsed();
        self.display.tell(&format!("{KILLED}'s key is gone {expired:.1?} after SIGKILL"));
        Ok((lost, expired))
    }

    /// Waits until the balancer's endpoints are as `condition` wants them.
    async fn connected(&self, what: &str, condition: impl Fn(&[&str]) -> bool) -> Result<(), BoxError> {
        let matches = |targets: &[Target]| {
            let ids: Vec<_> = targets.iter().map(|target| target.key().id()).collect();
            condition(&ids)
        };
        within(what, self.source.channel.wait_until(matches)).await.map(drop)
    }

    /// Lets each of these answer some requests, and shows the table.
    async fn settle(&self, traffic: &Traffic, ids: &[&str]) -> Result<(), BoxError> {
        within("every service gets requests", traffic.served(ids, SETTLED)).await?;
        self.display.table(self.source);
        Ok(())
    }

    /// Waits for the end of a process; says how it ended unless it ended well.
    async fn end_of(&mut self, id: &str) -> Result<Option<String>, BoxError> {
        let status = within("the service ends", self.children.wait(id)).await??;
        Ok((!status.success()).then(|| format!("{id} ({status})")))
    }

    /// Waits until the registry holds no lease; how many it still holds at the limit.
    async fn leases(&self) -> Result<usize, BoxError> {
        let until = Instant::now() + self.plot.ttl + LIMIT;
        loop {
            let leases = self.server.leases().await?;
            if leases == 0 || Instant::now() > until {
                return Ok(leases);
            }
            sleep(POLL).await;
        }
    }
}

/// A promise about time; breaking it ends the run.
async fn within<F: Future>(what: &str, future: F) -> Result<F::Output, BoxError> {
    timeout(LIMIT, future).await.map_err(|_| format!("broken: {what} did not come true within {LIMIT:?}").into())
}
