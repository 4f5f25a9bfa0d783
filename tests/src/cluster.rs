//! A cluster of server processes on loopback, whose members can be killed, stopped, paused and started again.
//!
//! It is made of the registry's server or of etcd, which take the same flags and speak the same API. A
//! member keeps its ports through all its lives. With [`Network`], what members tell each other goes through
//! proxies, and can be cut.
//!
//! What always holds: no process outlives its cluster, be it that the test panics; each member's log is in
//! its directory, and its end is printed when a test fails. `CLUSTER_KEEP=1` leaves the directory of a
//! failed test behind and says where.

mod member;
mod port;
mod program;

use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use registry_proto::etcdserverpb::{HashKvRequest, StatusRequest};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::timeout;

use self::member::Member;
pub use self::program::Program;
use crate::budget::{SOON, START};
use crate::client::Client;
use crate::etcd;
use crate::proxy::Network;
use crate::wait::eventually;

/// What a member that lives says of itself within this; one that is paused says nothing.
const STATUS: Duration = Duration::from_secs(2);
/// Lines of each member's log that a failed test prints.
const LAST_LINES: usize = 60;

/// What a cluster is to be like.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Which server.
    pub program: Program,
    /// How many members.
    pub members: usize,
    /// Whether members talk through proxies, so that what they say can be cut.
    pub has_proxies: bool,
    /// Flags for every member, in addition.
    pub flags: Vec<String>,
}

/// A cluster. Dropping it kills and reaps all members.
#[derive(Debug)]
pub struct Cluster {
    plan: Plan,
    members: Vec<Member>,
    /// By member; they connect when they are used.
    clients: Vec<Client>,
    /// By member, once it has served.
    ids: Vec<Option<u64>>,
    network: Option<Network>,
    dir: TempDir,
}

/// What one member says of the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Which one says it.
    pub member: usize,
    /// Its id.
    pub id: u64,
    /// The id of the member that it takes for the leader; 0 for none.
    pub leader: u64,
    /// Its term.
    pub term: u64,
    /// Its revision.
    pub revision: i64,
}

impl Plan {
    /// So many members of a program, which talk directly.
    #[must_use]
    pub fn new(program: Program, members: usize) -> Self {
        Self { program, members, has_proxies: false, flags: Vec::new() }
    }

    /// The same with proxies between the members.
    #[must_use]
    pub fn with_proxies(self) -> Self {
        Self { has_proxies: true, ..self }
    }

    /// The same with more flags.
    #[must_use]
    pub fn with_flags(self, flags: &[&str]) -> Self {
        Self { flags: flags.iter().map(ToString::to_string).collect(), ..self }
    }
}

impl Cluster {
    /// Starts all members together, and waits until each serves and they have a leader.
    ///
    /// # Panics
    /// When one does not serve within [`START`].
    pub async fn start(plan: Plan) -> Self {
        let dir = etcd::fast_dir();
        let members: Vec<_> = (0..plan.members).map(|number| Member::new(number, dir.path())).collect();
        let clients = members.iter().map(|member| Client::lazy(&member.client.url())).collect();
        let doors: Vec<_> = members.iter().map(|member| member.peer.address()).collect();
        let network = plan.has_proxies.then(|| Network::start(&doors));
        let ids = vec![None; plan.members];
        let mut cluster = Self { plan, members, clients, ids, network, dir };
        (0..cluster.len()).for_each(|member| cluster.spawn(member));
        for member in 0..cluster.len() {
            cluster.wait_until_it_serves(member).await;
        }
        cluster.wait_for_leader().await;
        cluster
    }

    /// Whether it is made of the registry's server, from which more may be asked than from etcd.
    #[must_use]
    pub fn is_registry(&self) -> bool {
        self.plan.program.is_registry()
    }

    /// How many members it has, dead or alive.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "no cluster is empty")]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Where a member serves clients, in all its lives.
    #[must_use]
    pub fn url(&self, member: usize) -> String {
        self.members[member].client.url()
    }

    /// Where all members serve clients.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        (0..self.len()).map(|member| self.url(member)).collect()
    }

    /// A client of one member. It connects when it is used, and again after the member was away.
    #[must_use]
    pub fn client(&self, member: usize) -> Client {
        self.clients[member].clone()
    }

    /// A client of each member.
    #[must_use]
    pub fn clients(&self) -> Vec<Client> {
        self.clients.clone()
    }

    /// Where a member's data is.
    #[must_use]
    pub fn data_dir(&self, member: usize) -> PathBuf {
        self.members[member].data_dir()
    }

    /// Where a member's log is, of all its lives.
    #[must_use]
    pub fn log_file(&self, member: usize) -> PathBuf {
        self.members[member].log_file()
    }

    /// The process's id, if the member runs.
    #[must_use]
    pub fn pid(&self, member: usize) -> Option<u32> {
        self.members[member].pid()
    }

    /// What the members say to each other goes through here.
    ///
    /// # Panics
    /// When the cluster was planned without proxies.
    #[must_use]
    pub fn network(&self) -> &Network {
        self.network.as_ref().expect("the cluster has proxies")
    }

    /// SIGKILL; returns once the process is gone.
    ///
    /// # Panics
    /// When it had ended by itself before.
    pub fn kill(&mut self, member: usize) {
        self.members[member].kill();
        self.tell_pids();
    }

    /// SIGTERM; returns how the process ended.
    ///
    /// # Panics
    /// When it does not end within [`crate::budget::STOP`].
    pub async fn stop(&mut self, member: usize) -> ExitStatus {
        let status = self.members[member].stop().await;
        self.tell_pids();
        status
    }

    /// Starts a member again on its data, after [`Self::kill`] or [`Self::stop`], without waiting for it.
    pub fn spawn(&mut self, member: usize) {
        let flags = self.flags(member);
        self.members[member].spawn(&self.plan.program, &flags);
        self.tell_pids();
    }

    /// Starts a member again on its data, and waits until it serves.
    ///
    /// # Panics
    /// When it does not serve within [`START`].
    pub async fn restart(&mut self, member: usize) {
        self.spawn(member);
        self.wait_until_it_serves(member).await;
    }

    /// SIGSTOP: the process stands still, and its connections stay.
    pub fn pause(&mut self, member: usize) {
        self.members[member].signal(Signal::STOP);
        self.members[member].is_paused = true;
    }

    /// SIGCONT.
    pub fn resume(&mut self, member: usize) {
        self.members[member].signal(Signal::CONT);
        self.members[member].is_paused = false;
    }

    /// Waits until a member answers.
    ///
    /// # Panics
    /// When it ends instead, and when it does not answer within [`START`].
    pub async fn wait_until_it_serves(&mut self, member: usize) {
        let client = self.client(member);
        let process = parking_lot::Mutex::new(&mut self.members[member]);
        let found = parking_lot::Mutex::new(None);
        eventually(START, "the member serves", async || {
            let ended = process.lock().has_ended();
            assert!(ended.is_none(), "member {member} ended instead of serving: {ended:?}");
            *found.lock() = ask(member, client.clone()).await;
            found.lock().is_some()
        })
        .await;
        let standing = found.into_inner().expect("set when the wait ended");
        let known = self.ids[member].replace(standing.id);
        assert!(known.is_none_or(|known| known == standing.id), "member {member} has changed its id");
    }

    /// The members that run and are not paused.
    #[must_use]
    pub fn alive(&self) -> Vec<usize> {
        (0..self.len()).filter(|member| self.members[*member].runs() && !self.members[*member].is_paused).collect()
    }

    /// All members but one, dead or alive.
    #[must_use]
    pub fn others(&self, member: usize) -> Vec<usize> {
        (0..self.len()).filter(|other| *other != member).collect()
    }

    /// What the members that answer say, in their order.
    pub async fn standings(&self) -> Vec<Standing> {
        let mut asked = JoinSet::new();
        for member in self.alive() {
            asked.spawn(ask(member, self.client(member)));
        }
        let mut standings: Vec<_> = asked.join_all().await.into_iter().flatten().collect();
        standings.sort_unstable_by_key(|standing| standing.member);
        standings
    }

    /// The member that says it leads, in the latest term that anybody knows; none while there is no such one.
    pub async fn leader(&self) -> Option<usize> {
        let standings = self.standings().await;
        let term = standings.iter().map(|standing| standing.term).max()?;
        let leads = |standing: &&Standing| standing.term == term && standing.leader == standing.id;
        standings.iter().find(leads).map(|standing| standing.member)
    }

    /// Waits for a leader on which all members agree that answer.
    ///
    /// # Panics
    /// When there is none within [`SOON`].
    pub async fn wait_for_leader(&self) -> usize {
        self.wait_for_leader_of(&self.alive()).await
    }

    /// Waits for a leader among some members, on which they agree: the others may think what they like.
    ///
    /// # Panics
    /// When there is none within [`SOON`].
    pub async fn wait_for_leader_of(&self, members: &[usize]) -> usize {
        let found = parking_lot::Mutex::new(None);
        eventually(SOON, &format!("members {members:?} agree on a leader among them"), async || {
            let mut standings = self.standings().await;
            standings.retain(|standing| members.contains(&standing.member));
            let Some(first) = standings.first().copied() else { return false };
            let agree = standings.iter().all(|other| (other.leader, other.term) == (first.leader, first.term));
            let leader = standings.iter().find(|standing| standing.id == first.leader);
            *found.lock() = leader.map(|leader| leader.member);
            agree && standings.len() == members.len() && leader.is_some()
        })
        .await;
        found.into_inner().expect("set when the wait ended")
    }

    /// The hash of all members' key-values at one revision, which must be one and the same; members that are
    /// behind are waited for.
    ///
    /// # Panics
    /// When the hashes differ, and when a member has none within [`SOON`].
    pub async fn assert_equal_hashes(&self, revision: i64) -> u32 {
        let hashes = parking_lot::Mutex::new(Vec::new());
        for member in 0..self.len() {
            eventually(SOON, &format!("member {member} has revision {revision}"), async || {
                let mut maintenance = self.client(member).maintenance;
                let Ok(answer) = maintenance.hash_kv(HashKvRequest { revision }).await else { return false };
                let answer = answer.into_inner();
                hashes.lock().push((answer.hash, answer.compact_revision));
                true
            })
            .await;
        }
        let hashes = hashes.into_inner();
        assert!(hashes.iter().all(|hash| *hash == hashes[0]), "at revision {revision}: {hashes:?}");
        hashes[0].0
    }

    /// The flags that a member has in addition to its own addresses.
    fn flags(&self, member: usize) -> Vec<String> {
        let peer_url = |member: usize| match &self.network {
            Some(network) => network.url(member),
            None => self.members[member].peer.url(),
        };
        let cluster: Vec<_> = (0..self.len()).map(|i| format!("{}={}", self.members[i].name, peer_url(i))).collect();
        let mut flags = vec![
            format!("--initial-advertise-peer-urls={}", peer_url(member)),
            format!("--initial-cluster={}", cluster.join(",")),
            "--initial-cluster-state=new".to_owned(),
            "--initial-cluster-token=registry-tests".to_owned(),
        ];
        flags.extend(self.plan.flags.iter().cloned());
        flags
    }

    /// The proxies tell by its process which member connects.
    fn tell_pids(&self) {
        if let Some(network) = &self.network {
            network.set_pids(self.members.iter().map(Member::pid).collect());
        }
    }

    #[expect(clippy::print_stderr, reason = "a failure shows it")]
    fn print_logs(&self) {
        for member in &self.members {
            eprintln!("--- the last of {}'s log ---", member.name);
            member.last_of_log(LAST_LINES).iter().for_each(|line| eprintln!("{line}"));
        }
    }
}

/// Asks a member for its status.
async fn ask(member: usize, client: Client) -> Option<Standing> {
    let mut maintenance = client.maintenance;
    let answer = timeout(STATUS, maintenance.status(StatusRequest {})).await.ok()?.ok()?.into_inner();
    let header = answer.header?;
    let (id, revision) = (header.member_id, header.revision);
    Some(Standing { member, id, leader: answer.leader, term: answer.raft_term, revision })
}

impl Drop for Cluster {
    #[expect(clippy::print_stderr, reason = "a failure shows it")]
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        self.print_logs();
        if std::env::var_os("CLUSTER_KEEP").is_some() {
            self.dir.disable_cleanup(true);
            eprintln!("kept: {}", self.dir.path().display());
        }
    }
}
