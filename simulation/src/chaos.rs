//! Carries faults out: begins them at their times, and ends them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use registry_server::storage::{Syncs, Unsynced};

use crate::cluster::Cluster;
use crate::growth::Growth;
use crate::network::Site;
use crate::node::Node;
use crate::plan::{Fault, Plan, Planned, Whom};
use crate::process::Process;
use crate::users::Users;
use crate::world::note;

/// What a sync takes at most on a slow disk.
const SLOW_SYNC: Duration = Duration::from_secs(2);

/// What a message takes at most on a slow way.
const SLOW_WAY: Duration = Duration::from_millis(700);

/// Who carries faults out.
pub(crate) struct Chaos {
    /// On whom.
    pub cluster: Arc<Cluster>,
    /// Whom it serves.
    pub users: Arc<Users>,
    /// Who adds and removes members.
    pub growth: Growth,
}

impl Chaos {
    /// Carries out a plan's faults; returns when the last has ended.
    pub(crate) async fn run(self: Arc<Self>, plan: &Plan) {
        let faults = plan.faults.iter().map(|planned| tokio::spawn(self.clone().carry_out(*planned)));
        futures_util::future::join_all(faults.collect::<Vec<_>>()).await;
    }

    async fn carry_out(self: Arc<Self>, planned: Planned) {
        tokio::time::sleep_until(tokio::time::Instant::now() + planned.at).await;
        note(format_args!("fault: {planned}"));
        let dice = Rng::with_seed(planned.dice);
        match planned.fault {
            Fault::PowerLoss(whom, keeps) => self.loses_power(whom, keeps, planned.lasts, dice).await,
            Fault::StopsAfter(whom, changes) => self.stops_after(whom, changes, planned.lasts, dice).await,
            Fault::PowerCut(keeps) => self.power_cut(keeps, planned.lasts, dice).await,
            Fault::Kill(whom) => self.kill(whom, planned.lasts).await,
            Fault::Restart(whom) => self.restart(whom, planned.lasts).await,
            Fault::Pause(whom) => self.pause(self.process_of(whom), planned.lasts).await,
            Fault::PauseClients => self.pause_clients(planned.lasts, dice).await,
            Fault::CutOneWay(..)
            | Fault::HalfDeaf(..)
            | Fault::Isolate(_)
            | Fault::Split
            | Fault::CutClients(_)
            | Fault::Late(_) => self.cut(planned, dice).await,
            Fault::Storm => self.storm(planned.lasts).await,
            Fault::FullDisk(whom) => self.full_disk(whom, planned.lasts, dice).await,
            Fault::FailedSync(whom) => self.failed_sync(whom, planned.lasts, dice).await,
            Fault::SlowDisk(whom) => self.slow_disk(whom, planned.lasts).await,
            Fault::BitFlip(whom) => self.bit_flip(whom, planned.lasts, dice).await,
            Fault::HandOver(to) => self.hand_over(to).await,
            Fault::Grow(learner) => self.growth.grow(&self.cluster, learner).await,
            Fault::Replace(whom) => self.replace(whom, planned.lasts).await,
        }
        note(format_args!("over: {planned}"));
    }

    fn process_of(&self, whom: Whom) -> Option<Arc<Process>> {
        self.cluster.meant(whom)?.process()
    }

    async fn loses_power(&self, whom: Whom, keeps: u8, lasts: Duration, mut dice: Rng) {
        let Some(node) = self.cluster.meant(whom) else { return };
        self.cluster.hold_down(node.number);
        node.kill(Some(&mut |_: Unsynced<'_>| dice.u8(..4) < keeps));
        tokio::time::sleep(lasts).await;
        self.cluster.let_up(node.number);
    }

    /// The machine stops in the middle of writing.
    async fn stops_after(&self, whom: Whom, changes: u8, lasts: Duration, mut dice: Rng) {
        let Some(node) = self.cluster.meant(whom) else { return };
        let disk = node.disk();
        disk.stop_after(u64::from(changes));
        self.cluster.note_harm(node.number, lasts);
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            if node.process().is_none() {
                break;
            }
        }
        self.cluster.hold_down(node.number);
        let keeps = dice.u8(..5);
        node.kill(Some(&mut |_: Unsynced<'_>| dice.u8(..4) < keeps));
        tokio::time::sleep(lasts).await;
        self.cluster.let_up(node.number);
    }

    async fn power_cut(&self, keeps: u8, lasts: Duration, mut dice: Rng) {
        let nodes = self.cluster.nodes();
        for node in &nodes {
            self.cluster.hold_down(node.number);
            node.kill(Some(&mut |_: Unsynced<'_>| dice.u8(..4) < keeps));
        }
        tokio::time::sleep(lasts.min(Duration::from_secs(1))).await;
        nodes.iter().for_each(|node| self.cluster.let_up(node.number));
    }

    async fn kill(&self, whom: Whom, lasts: Duration) {
        let Some(node) = self.cluster.meant(whom) else { return };
        self.cluster.hold_down(node.number);
        node.kill(None);
        tokio::time::sleep(lasts).await;
        self.cluster.let_up(node.number);
    }

    async fn restart(&self, whom: Whom, lasts: Duration) {
        let Some(node) = self.cluster.meant(whom) else { return };
        self.cluster.hold_down(node.number);
        node.stop();
        tokio::time::sleep(lasts).await;
        self.cluster.let_up(node.number);
    }

    async fn pause(&self, process: Option<Arc<Process>>, lasts: Duration) {
        let Some(process) = process else { return };
        process.pause();
        tokio::time::sleep(lasts).await;
        process.resume();
    }

    async fn pause_clients(&self, lasts: Duration, mut dice: Rng) {
        let mut paused = self.users.processes();
        paused.retain(|_| dice.bool());
        paused.iter().for_each(|process| process.pause());
        tokio::time::sleep(lasts).await;
        paused.iter().for_each(|process| process.resume());
    }

    /// Everything that concerns ways between sites.
    async fn cut(&self, planned: Planned, mut dice: Rng) {
        let ways = self.ways(planned.fault, &mut dice);
        let network = &self.cluster.ground.network;
        for (from, to) in &ways {
            match planned.fault {
                Fault::Late(_) => network.slow(*from, *to, SLOW_WAY),
                _ => network.cut(*from, *to),
            }
        }
        tokio::time::sleep(planned.lasts).await;
        ways.iter().for_each(|(from, to)| network.heal(*from, *to));
    }

    /// The ways that a fault cuts, or makes slow.
    fn ways(&self, fault: Fault, dice: &mut Rng) -> Vec<(Site, Site)> {
        let sites = self.cluster.sites();
        let site = |whom| self.cluster.meant(whom).map(|node| Site::Member(node.number));
        let others = |own: Option<Site>| {
            sites.iter().copied().filter_map(move |other| Some((own?, other))).filter(|(own, other)| own != other)
        };
        let clients = Users::sites();
        let back = |(from, to)| (to, from);
        match fault {
            Fault::CutOneWay(from, to) => site(from).map(|from| (from, Site::Member(to))).into_iter().collect(),
            Fault::HalfDeaf(whom, true) | Fault::Late(whom) => others(site(whom)).collect(),
            Fault::HalfDeaf(whom, false) => others(site(whom)).map(back).collect(),
            Fault::Isolate(whom) => others(site(whom)).flat_map(|way| [way, back(way)]).collect(),
            Fault::Split => {
                let (one, other): (Vec<_>, Vec<_>) = sites.iter().partition(|_| dice.bool());
                one.iter().flat_map(|from: &Site| other.iter().flat_map(|to| [(*from, *to), (*to, *from)])).collect()
            }
            Fault::CutClients(whom) => {
                clients.filter_map(|client| Some((client, site(whom)?))).flat_map(|way| [way, back(way)]).collect()
            }
            _ => Vec::new(),
        }
    }

    async fn storm(&self, lasts: Duration) {
        let network = &self.cluster.ground.network;
        let before = network.storm(400);
        tokio::time::sleep(lasts).await;
        network.storm(before);
    }

    async fn full_disk(&self, whom: Whom, lasts: Duration, mut dice: Rng) {
        let Some(node) = self.cluster.meant(whom) else { return };
        let disk = node.disk();
        self.cluster.note_harm(node.number, lasts);
        disk.set_capacity(Some(disk.used_bytes() + dice.u64(..self.cluster.ground.settings.segment_bytes)));
        tokio::time::sleep(lasts).await;
        // It may have another disk by now.
        disk.set_capacity(None);
        node.disk().set_capacity(None);
    }

    async fn failed_sync(&self, whom: Whom, lasts: Duration, mut dice: Rng) {
        let Some(node) = self.cluster.meant(whom) else { return };
        let (disk, dir) = (node.disk(), Node::log_dir());
        self.cluster.note_harm(node.number, lasts);
        let syncs = if dice.u8(..4) == 0 { Syncs::Entries } else { Syncs::Files };
        disk.set_unsyncable(Some((Path::new(&dir), syncs)));
        tokio::time::sleep(lasts.min(Duration::from_secs(2))).await;
        disk.set_unsyncable(None);
    }

    async fn slow_disk(&self, whom: Whom, lasts: Duration) {
        let Some(process) = self.process_of(whom) else { return };
        process.set_sync(SLOW_SYNC);
        tokio::time::sleep(lasts).await;
        process.set_sync(self.cluster.ground.settings.sync);
    }

    async fn bit_flip(&self, whom: Whom, lasts: Duration, mut dice: Rng) {
        let Some(node) = self.cluster.meant(whom) else { return };
        self.cluster.hold_down(node.number);
        node.kill(None);
        if node.flip(&mut dice) {
            // It may be read long after.
            self.cluster.note_harm(node.number, Duration::from_secs(60));
        }
        tokio::time::sleep(lasts).await;
        self.cluster.let_up(node.number);
    }

    async fn hand_over(&self, to: u32) {
        let (Some(leader), Some(to)) = (self.cluster.leader(), self.cluster.node(to)) else { return };
        let (Some(process), Some(member)) = (leader.process(), leader.member()) else { return };
        let done = process.spawn(async move { member.backend.node.hand_over(Some(to.member)).await });
        let outcome = done.await;
        note(format_args!("handed over: {outcome:?}"));
    }

    async fn replace(&self, whom: Whom, lasts: Duration) {
        let Some(node) = self.cluster.meant(whom) else { return };
        self.growth.remove(&self.cluster, node.member).await;
        tokio::time::sleep(lasts).await;
        self.growth.grow(&self.cluster, false).await;
    }
}

impl std::fmt::Debug for Chaos {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chaos").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}
