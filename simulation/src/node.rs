//! One member through all its lives: its disk, how it starts on it, and how a life ends.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use registry_server::consensus::{Admission, PeerNode, Transport};
use registry_server::server::{Calls, Config, Identity, Member, Reach, StartError, node_options};
use registry_server::storage::{DataDir, MemVfs, OpenMode, Unsynced, Vfs, VfsFile, WalOptions};
use registry_server::types::{ClusterId, MemberId};
use registry_server::watch::Limits;
use tokio_util::sync::CancellationToken;
use tonic_health::server::HealthReporter;

use crate::executor::Lanes;
use crate::network::{Network, Site};
use crate::peers::{Exchange, Port, Ports, Wires};
use crate::process::Process;
use crate::runtime::Simulated;
use crate::world::{note, now};

/// Where a member's data is on its disk.
const DATA: &str = "/data";

/// What all members of a simulation are made of.
pub(crate) struct Ground {
    /// Between them.
    pub network: Arc<Network>,
    /// Where they are.
    pub ports: Arc<Ports>,
    /// The cluster's id.
    pub cluster: ClusterId,
    /// How they are set.
    pub settings: Settings,
}

/// What differs from seed to seed.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// The leader's.
    pub heartbeat: Duration,
    /// As etcd's.
    pub election: Duration,
    /// How large a segment of the log is.
    pub segment_bytes: u64,
    /// How much of the log is kept in memory.
    pub cache_bytes: usize,
    /// When a snapshot is due.
    pub snapshot_bytes: u64,
    /// How many entries are kept behind a snapshot.
    pub keep_entries: u64,
    /// One in so many polls is put off.
    pub yields: u64,
    /// What a sync takes at most.
    pub sync: Duration,
    /// Queues, slices and answers of watch streams are so small that they fill up all the time.
    pub narrow_watches: bool,
}

/// A member, whether it runs or not.
pub(crate) struct Node {
    /// Its number, from 1 on.
    pub number: u32,
    /// Its id.
    pub member: MemberId,
    ground: Arc<Ground>,
    /// Who founds the cluster; empty if it joins.
    founders: BTreeMap<MemberId, PeerNode>,
    state: Mutex<State>,
}

struct State {
    disk: MemVfs,
    life: Option<Life>,
    /// How many lives there were.
    lives: u32,
    /// When and why the last life ended by itself.
    ended: Option<(Duration, String)>,
    removed: bool,
    /// Bits that were changed on its disk: file, byte and mask.
    flips: Vec<(PathBuf, u64, u8)>,
}

/// One life.
#[derive(Clone)]
struct Life {
    process: Arc<Process>,
    stop: CancellationToken,
    member: Arc<Mutex<Option<Member<Simulated, MemVfs>>>>,
}

/// A watcher falls behind with every other batch of writes, and catches up in slices of a few events.
fn narrow() -> Limits {
    Limits {
        queue_items: 1,
        slice_items: 2,
        slice_bytes: 100,
        answer_bytes: 200,
        fragment_bytes: 200,
        rest: Duration::from_millis(2),
        ..Limits::default()
    }
}

/// A member's peer URL.
#[must_use]
pub(crate) fn peer_url(number: u32) -> String {
    format!("http://member-{number}:2380")
}

/// Which member a peer URL is of.
#[must_use]
pub(crate) fn number_of(url: &str) -> Option<u32> {
    url.strip_prefix("http://member-")?.strip_suffix(":2380")?.parse().ok()
}

impl Node {
    /// A member that has not lived yet.
    #[must_use]
    pub(crate) fn new(
        ground: Arc<Ground>,
        number: u32,
        member: MemberId,
        founders: BTreeMap<MemberId, PeerNode>,
    ) -> Arc<Self> {
        let state = State { disk: MemVfs::new(), life: None, lives: 0, ended: None, removed: false, flips: Vec::new() };
        Arc::new(Self { number, member, ground, founders, state: Mutex::new(state) })
    }

    /// Where its log is.
    #[must_use]
    pub(crate) fn log_dir() -> PathBuf {
        Path::new(DATA).join("member").join("wal")
    }

    /// Its disk as it is now.
    #[must_use]
    pub(crate) fn disk(&self) -> MemVfs {
        self.state.lock().disk.clone()
    }

    /// The process that runs, if one does.
    #[must_use]
    pub(crate) fn process(&self) -> Option<Arc<Process>> {
        self.state.lock().life.as_ref().map(|life| life.process.clone())
    }

    /// The member that runs, once its log was read.
    #[must_use]
    pub(crate) fn member(&self) -> Option<Member<Simulated, MemVfs>> {
        let life = self.state.lock().life.clone()?;

        life.member.lock().clone()
    }

    /// When and why the last life ended, if it did so by itself.
    #[must_use]
    pub(crate) fn ended(&self) -> Option<(Duration, String)> {
        self.state.lock().ended.clone()
    }

    /// Whether it was told that it was removed.
    #[must_use]
    pub(crate) fn was_removed(&self) -> bool {
        self.state.lock().removed
    }

    /// Starts a life, unless one goes on. What it finds on its disk decides whether it lives.
    pub(crate) fn start(self: &Arc<Self>) {
        let mut state = self.state.lock();
        if state.life.is_some() {
            return;
        }
        state.lives += 1;
        state.ended = None;
        let settings = self.ground.settings;
        // Each life has a clock of its own, as a machine that was started anew.
        let clock = Duration::from_millis(fastrand::u64(..7_200_000));
        let process = Process::new(format!("member {}", self.number), clock, settings.yields);
        process.set_sync(settings.sync);
        let life = Life { process: process.clone(), stop: CancellationToken::new(), member: Arc::default() };
        state.life = Some(life.clone());
        let (this, disk) = (self.clone(), state.disk.clone());
        note(format_args!("member {} starts, life {}", self.number, state.lives));
        drop(state);
        drop(process.spawn(async move {
            let outcome = this.live(&life, disk).await;
            this.end(&life, outcome.err());
        }));
    }

    /// A life that ended by itself.
    fn end(&self, life: &Life, why: Option<String>) {
        note(format_args!("member {} ends: {}", self.number, why.as_deref().unwrap_or("asked to")));
        let mut state = self.state.lock();
        if state.life.as_ref().is_some_and(|current| Arc::ptr_eq(&current.process, &life.process)) {
            state.life = None;
            state.ended = why.map(|why| (now(), why));
            drop(state);
            self.ground.ports.set(self.number, None);
            self.ground.network.hang_up(Site::Member(self.number));
            life.process.kill();
        }
    }

    fn config(&self) -> Config {
        let settings = self.ground.settings;
        Config {
            name: format!("member-{}", self.number),
            heartbeat_interval: settings.heartbeat,
            election_timeout: settings.election,
            snapshot_log_bytes: settings.snapshot_bytes,
            corrupt_check_time: Duration::from_secs(20),
            watch_progress_notify_interval: Duration::from_secs(2),
            watch_limits: settings.narrow_watches.then(narrow),
            // Others to wait for; a cluster of one would give up if it found no leader.
            initial_cluster: self.others(),
            ..Config::default()
        }
    }

    fn others(&self) -> Vec<registry_server::server::InitialMember> {
        let urls = self.founders.values().flat_map(|node| &node.peer_urls);
        let member = |url: &String| {
            let number = number_of(url)?;
            let peer_url = url.parse().ok()?;
            Some(registry_server::server::InitialMember { name: format!("member-{number}"), peer_url })
        };
        let mut known: Vec<_> = urls.filter_map(member).collect();
        if self.founders.is_empty() {
            known.extend(member(&peer_url(1)));
        }
        known
    }

    async fn live(&self, life: &Life, disk: MemVfs) -> Result<(), String> {
        let text = |error: &dyn std::error::Error| error.to_string();
        let data_dir = DataDir::open(&disk, Path::new(DATA), None).map_err(|error| text(&error))?;
        let identity = Identity { member: self.member, cluster: self.ground.cluster };
        let known = Identity::load(&disk, data_dir.root()).map_err(|error| text(&error))?;
        if known.is_none() {
            identity.save(&disk, data_dir.root()).map_err(|error| text(&error))?;
        }
        let (config, settings) = (self.config(), self.ground.settings);
        let mut options = node_options(&config, identity, self.founders.clone(), &data_dir);
        options.wal =
            WalOptions { segment_bytes: settings.segment_bytes, cache_bytes: settings.cache_bytes, ..options.wal };
        options.keep_entries = settings.keep_entries;
        let lanes = Lanes(life.process.clone());
        let wires = |reach| self.wires(reach);
        let member = Member::start(&config, identity, &options, (disk, &lanes), wires, true).await;
        let member = member.map_err(|error| text(&error))?;
        let port = self.open_port(life, &member);
        *life.member.lock() = Some(member.clone());
        let ends = async {
            let removed = async {
                member.removed.cancelled().await;
                "removed".to_owned()
            };
            let ended = futures_util::future::select(Box::pin(member.backend.node.failed()), Box::pin(removed)).await;
            ended.factor_first().0
        };
        let served = async {
            let joined = member.join(&config, vec![peer_url(self.number)], &[]).await;
            if matches!(joined, Err(StartError::Removed)) {
                member.removed.cancel();
            }
            joined.map_err(|error| text(&error))?;
            let calls = Calls::new(config.warning_unary_request_duration);
            let paths = member.paths(&calls);
            let services = member.services(&config, (paths, calls), HealthReporter::new(), &life.stop);
            *port.services.lock() = Some(Arc::new(services));
            member.work(&config);
            note(format_args!("member {} serves", self.number));
            life.stop.cancelled().await;
            Ok(())
        };
        let outcome = match futures_util::future::select(Box::pin(ends), Box::pin(served)).await {
            futures_util::future::Either::Left((why, _)) => Err(why),
            futures_util::future::Either::Right((outcome, _)) => outcome,
        };
        if member.removed.is_cancelled() {
            self.state.lock().removed = true;
        }
        if outcome.is_ok() {
            let outcome = member.backend.node.hand_over(None).await;
            note(format_args!("member {} hands over: {outcome:?}", self.number));
        }
        member.backend.node.shutdown().await;
        drop(data_dir);
        outcome
    }

    fn wires(&self, reach: Reach) -> Arc<dyn Transport> {
        Arc::new(Wires(Arc::new(Exchange {
            own: (self.number, self.member, self.ground.cluster),
            reach,
            network: self.ground.network.clone(),
            ports: self.ground.ports.clone(),
            urls: number_of,
        })))
    }

    fn open_port(&self, life: &Life, member: &Member<Simulated, MemVfs>) -> Arc<Port> {
        let receiver = member.backend.node.receiver();
        let admission = Admission::new(receiver.clone(), member.directory.clone(), self.ground.cluster, self.member);
        let port = Port { process: life.process.clone(), receiver, admission, services: Mutex::default() };
        let port = Arc::new(port);
        self.ground.ports.set(self.number, Some(port.clone()));
        port
    }

    /// Asks the life to end, as SIGTERM does.
    pub(crate) fn stop(&self) {
        if let Some(life) = &self.state.lock().life {
            note(format_args!("member {} is asked to stop", self.number));
            life.stop.cancel();
        }
    }

    /// Ends the life at once. With `loses_power` what was not synced is kept or lost as `keep` says; else the kernel keeps
    /// it all, and the other side of each connection hears of the end.
    pub(crate) fn kill(&self, power: Option<&mut dyn FnMut(Unsynced<'_>) -> bool>) {
        let mut state = self.state.lock();
        if let Some(life) = state.life.take() {
            note(format_args!("member {} is killed", self.number));
            life.process.kill();
        }
        state.disk = match power {
            Some(keep) => state.disk.crash_with(keep),
            None => state.disk.let_go(),
        };
        drop(state);
        self.ground.ports.set(self.number, None);
        self.ground.network.hang_up(Site::Member(self.number));
    }

    /// Changes a bit of an older file of the log, or of a snapshot, whichever `dice` says; none if there is no such file.
    /// The newest two of the log are left out: what is wrong in the last batch cannot be told from what a power loss left.
    pub(crate) fn flip(&self, dice: &mut fastrand::Rng) -> bool {
        let mut state = self.state.lock();
        let in_dir = |name: &str| {
            let dir = Path::new(DATA).join("member").join(name);
            let names = state.disk.list(&dir).unwrap_or_default();
            names.into_iter().map(|name| dir.join(name)).collect::<Vec<_>>()
        };
        let mut files = in_dir("wal");
        files.truncate(files.len().saturating_sub(2));
        files.extend(in_dir("snap"));
        let Some(file) = dice.choice(files) else { return false };
        let Ok(bytes) = state.disk.open(&file, OpenMode::Read).and_then(|file| file.len()) else { return false };
        let (at, mask) = (dice.u64(..bytes.max(1)), 1 << dice.u8(..8));
        let done = state.disk.flip(&file, at, mask).is_ok();
        note(format_args!("member {}: a bit of {} flips at {at}", self.number, file.display()));
        state.flips.push((file, at, mask));
        done
    }

    /// Takes back the bits that were changed.
    pub(crate) fn repair(&self) {
        let mut state = self.state.lock();
        for (file, at, mask) in std::mem::take(&mut state.flips) {
            // The file may be gone.
            if state.disk.flip(&file, at, mask).is_ok() {
                note(format_args!("member {}: {} is repaired", self.number, file.display()));
            }
        }
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("number", &self.number).finish_non_exhaustive()
    }
}
