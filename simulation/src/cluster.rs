//! The members of a simulation, and who looks after them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use registry_server::consensus::PeerNode;
use registry_server::types::{ClusterId, MemberId};

use crate::network::{Network, Site};
use crate::node::{Ground, Node, peer_url};
use crate::peers::Ports;
use crate::plan::{Plan, Whom};
use crate::world::{note, now};

/// How often somebody looks whether members run that should.
const ROUND: Duration = Duration::from_millis(400);

/// How long what was done to a disk may show after it has ended.
const AFTERMATH: Duration = Duration::from_secs(5);

/// All members that there ever were.
pub(crate) struct Cluster {
    /// What they are made of.
    pub ground: Arc<Ground>,
    nodes: Mutex<BTreeMap<u32, Arc<Node>>>,
    /// Who is down on purpose, and how often.
    down: Mutex<BTreeMap<u32, u32>>,
    /// Who may stop by itself, or refuse to start, and until when: the disk is harmed.
    harmed: Mutex<BTreeMap<u32, Duration>>,
    /// What went wrong that no fault explains.
    complaints: Mutex<Vec<String>>,
}

impl Cluster {
    /// The founders of a plan, not started yet.
    #[must_use]
    pub(crate) fn new(plan: &Plan) -> Arc<Self> {
        let network = Arc::new(Network::default());
        network.set(plan.weather.delay, plan.weather.breaks, plan.weather.doubles);
        let ports = Arc::new(Ports::default());
        let ground = Arc::new(Ground { network, ports, cluster: ClusterId(0xC1), settings: plan.settings });
        let id = |number: u32| MemberId(u64::from(number) + 0x100);
        let founders: BTreeMap<_, _> =
            (1..=plan.voters).map(|number| (id(number), PeerNode { peer_urls: vec![peer_url(number)] })).collect();
        let node = |number| (number, Node::new(ground.clone(), number, id(number), founders.clone()));
        let nodes = Mutex::new((1..=plan.voters).map(node).collect());
        Arc::new(Self { ground, nodes, down: Mutex::default(), harmed: Mutex::default(), complaints: Mutex::default() })
    }

    /// Every member, by its number.
    #[must_use]
    pub(crate) fn nodes(&self) -> Vec<Arc<Node>> {
        self.nodes.lock().values().cloned().collect()
    }

    /// A member.
    #[must_use]
    pub(crate) fn node(&self, number: u32) -> Option<Arc<Node>> {
        self.nodes.lock().get(&number).cloned()
    }

    /// A number that no member has had.
    #[must_use]
    pub(crate) fn next_number(&self) -> u32 {
        self.nodes.lock().keys().next_back().map_or(1, |last| last + 1)
    }

    /// A member that joins.
    pub(crate) fn add(&self, number: u32, member: MemberId) {
        let node = Node::new(self.ground.clone(), number, member, BTreeMap::new());
        drop(self.nodes.lock().insert(number, node));
    }

    /// Whoever leads, as most of them say.
    #[must_use]
    pub(crate) fn leader(&self) -> Option<Arc<Node>> {
        let leads = |node: &Arc<Node>| {
            let member = node.member()?;
            let status = member.backend.node.status();
            (status.leader == Some(node.member)).then_some((status.term, node.clone()))
        };
        self.nodes().iter().filter_map(leads).max_by_key(|(term, _)| *term).map(|(_, node)| node)
    }

    /// Whom a fault means.
    #[must_use]
    pub(crate) fn meant(&self, whom: Whom) -> Option<Arc<Node>> {
        match whom {
            Whom::Member(number) => self.node(number),
            Whom::Leader => self.leader().or_else(|| self.node(1)),
        }
    }

    /// Keeps a member down until it is let up as often.
    pub(crate) fn hold_down(&self, number: u32) {
        *self.down.lock().entry(number).or_default() += 1;
    }

    /// Lets a member be started again.
    pub(crate) fn let_up(&self, number: u32) {
        if let Some(count) = self.down.lock().get_mut(&number) {
            *count = count.saturating_sub(1);
        }
    }

    /// Lets all be started again.
    pub(crate) fn let_all_up(&self) {
        self.down.lock().clear();
    }

    /// For so long, and a while, a member that stops needs no other reason.
    pub(crate) fn note_harm(&self, number: u32, lasts: Duration) {
        let mut harmed = self.harmed.lock();
        let until = harmed.entry(number).or_default();
        *until = (*until).max(now() + lasts + AFTERMATH);
    }

    /// What went wrong that no fault explains.
    #[must_use]
    pub(crate) fn complaints(&self) -> Vec<String> {
        self.complaints.lock().clone()
    }

    /// Says that something went wrong that no fault explains.
    pub(crate) fn complain(&self, what: String) {
        note(format_args!("WRONG: {what}"));
        self.complaints.lock().push(what);
    }

    /// Starts whoever should run and does not, for as long as it is polled.
    pub(crate) async fn look_after(self: Arc<Self>) {
        loop {
            for node in self.nodes() {
                let is_down = self.down.lock().get(&node.number).is_some_and(|count| *count > 0);
                if !is_down && node.process().is_none() && !node.was_removed() {
                    self.ask_why(&node);
                    node.start();
                }
            }
            tokio::time::sleep(ROUND).await;
        }
    }

    /// A member that stopped by itself must have had a reason.
    fn ask_why(&self, node: &Node) {
        let Some((when, why)) = node.ended() else { return };
        node.repair();
        if self.harmed.lock().get(&node.number).is_none_or(|until| *until < when) {
            self.complain(format!("member {} stopped without a reason: {why}", node.number));
        }
    }

    /// Undoes what was done to network and disks.
    pub(crate) fn heal(&self, delay: Duration) {
        self.ground.network.heal_all(delay);
        for node in self.nodes() {
            node.disk().set_capacity(None);
            node.disk().set_unsyncable(None);
            node.repair();
            if let Some(process) = node.process() {
                process.resume();
                process.set_sync(self.ground.settings.sync);
            }
        }
        self.let_all_up();
    }

    /// Ends it. Without that the members would stay in memory, as each is reached over the ports and reaches the others.
    pub(crate) fn end(&self) {
        self.nodes().iter().for_each(|node| node.kill(None));
    }

    /// All sites of members.
    #[must_use]
    pub(crate) fn sites(&self) -> Vec<Site> {
        self.nodes.lock().keys().map(|number| Site::Member(*number)).collect()
    }
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("nodes", &self.nodes.lock().len()).finish_non_exhaustive()
    }
}
