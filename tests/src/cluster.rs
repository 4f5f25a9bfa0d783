//! A cluster of server processes on loopback, whose members can be killed, stopped, paused and started again.
//!
//! It is made of the registry's server or of etcd, which take the same flags and speak the same API. A
//! member keeps its ports through all its lives. With [`Network`], what members tell each other goes through
//! proxies, and can be cut. Members can be added and removed (`growth`), as long as there are no proxies; what
//! is said of all members leaves out who is not added yet and who was removed. What members say of themselves
//! is in `standing`.
//!
//! What always holds: no process outlives its cluster, be it that the test panics; each member's log is in
//! its directory, and its end is printed when a test fails. `CLUSTER_KEEP=1` leaves the directory of a
//! failed test behind and says where.

mod growth;
mod member;
mod namespaces;
mod port;
mod program;
mod standing;

use std::path::PathBuf;
use std::process::{Command, ExitStatus};

use rustix::process::Signal;
use tempfile::TempDir;

use self::member::{Member, Place};
pub use self::namespaces::{Namespaces, is_inside, run_inside};
pub use self::port::Port;
pub use self::program::Program;
pub use self::standing::Standing;
use self::standing::ask;
use crate::budget::START;
use crate::client::Client;
use crate::etcd;
use crate::proxy::Network;
use crate::wait::eventually;

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
    /// Whether each member has a network namespace of its own, so that the kernel can cut what they say. The suite has to be
    /// inside ([`run_inside`]).
    pub has_namespaces: bool,
    /// Whether members talk over TLS; which certificates they use is said with flags.
    pub has_tls: bool,
    /// Flags for every member, in addition; `{name}` stands for the member's name.
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
    namespaces: Option<Namespaces>,
    dir: TempDir,
}

impl Plan {
    /// So many members of a program, which talk directly.
    #[must_use]
    pub fn new(program: Program, members: usize) -> Self {
        Self { program, members, has_proxies: false, has_namespaces: false, has_tls: false, flags: Vec::new() }
    }

    /// The same with proxies between the members.
    #[must_use]
    pub fn with_proxies(self) -> Self {
        Self { has_proxies: true, ..self }
    }

    /// The same with a network namespace for each member.
    #[must_use]
    pub fn with_namespaces(self) -> Self {
        Self { has_namespaces: true, ..self }
    }

    /// The same with TLS between the members.
    #[must_use]
    pub fn with_tls(self) -> Self {
        Self { has_tls: true, ..self }
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
        let member = |number| match plan.has_namespaces {
            true => Member::in_namespace(number, dir.path()),
            false => Member::new(number, dir.path(), Place::Founder),
        };
        let members: Vec<_> = (0..plan.members).map(member).collect();
        let namespaces = if plan.has_namespaces { Some(Namespaces::make(plan.members).await) } else { None };
        let clients = members.iter().map(|member| Client::lazy(&member.client.url())).collect();
        let doors: Vec<_> = members.iter().map(|member| member.peer.address()).collect();
        let network = plan.has_proxies.then(|| Network::start(&doors));
        let ids = vec![None; plan.members];
        let mut cluster = Self { plan, members, clients, ids, network, namespaces, dir };
        (0..cluster.plan.members).for_each(|member| cluster.spawn(member));
        for member in 0..cluster.plan.members {
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
        self.members().len()
    }

    /// Its members, dead or alive.
    #[must_use]
    pub fn members(&self) -> Vec<usize> {
        (0..self.members.len()).filter(|member| self.members[*member].is_in()).collect()
    }

    /// Where a member serves clients, in all its lives.
    #[must_use]
    pub fn url(&self, member: usize) -> String {
        self.members[member].client.url()
    }

    /// Where all members serve clients.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        self.members().into_iter().map(|member| self.url(member)).collect()
    }

    /// Where a member is to be found by the others.
    #[must_use]
    pub fn peer_url(&self, member: usize) -> String {
        match &self.network {
            Some(network) => network.url(member),
            None if self.plan.has_tls => self.members[member].peer.url().replace("http:", "https:"),
            None => self.members[member].peer.url(),
        }
    }

    /// A client of one member. It connects when it is used, and again after the member was away.
    #[must_use]
    pub fn client(&self, member: usize) -> Client {
        self.clients[member].clone()
    }

    /// A client of each member.
    #[must_use]
    pub fn clients(&self) -> Vec<Client> {
        self.members().into_iter().map(|member| self.client(member)).collect()
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

    /// The networks of the members.
    ///
    /// # Panics
    /// When the plan had none.
    #[must_use]
    pub fn namespaces(&self) -> &Namespaces {
        self.namespaces.as_ref().expect("the members have namespaces")
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
        self.spawn_with(member, &[]);
    }

    /// The same with more flags, which win over those that it has.
    pub fn spawn_with(&mut self, member: usize, more: &[String]) {
        let mut flags = self.flags(member);
        flags.extend_from_slice(more);
        let namespaces = self.namespaces.as_ref();
        let enter = |command: Command| match namespaces {
            Some(namespaces) => namespaces.enter(member, &command),
            None => command,
        };
        self.members[member].spawn(&self.plan.program, &flags, enter);
        self.tell_pids();
    }

    /// Waits until a member's process has ended by itself, and tells how.
    ///
    /// # Panics
    /// When it goes on beyond [`crate::budget::SOON`].
    pub async fn wait_until_it_ends(&mut self, member: usize) -> ExitStatus {
        let status = self.members[member].ended_within(crate::budget::SOON).await;
        self.tell_pids();
        status
    }

    /// A member's log of all its lives.
    #[must_use]
    pub fn log(&self, member: usize) -> Vec<String> {
        self.members[member].last_of_log(usize::MAX)
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
        let mut members = self.members();
        members.retain(|member| self.members[*member].runs() && !self.members[*member].is_paused);
        members
    }

    /// All members but one, dead or alive.
    #[must_use]
    pub fn others(&self, member: usize) -> Vec<usize> {
        self.members().into_iter().filter(|other| *other != member).collect()
    }

    /// The flags that a member has in addition to its own addresses.
    fn flags(&self, member: usize) -> Vec<String> {
        let (state, members) = match &self.members[member].place {
            Place::Founder => ("new", self.listed(0..self.plan.members)),
            Place::Enrolled => ("existing", self.listed(self.members().into_iter().chain([member]))),
            Place::Added(listed) => ("existing", listed.clone()),
        };
        let mut flags = vec![
            format!("--initial-advertise-peer-urls={}", self.peer_url(member)),
            format!("--initial-cluster={members}"),
            format!("--initial-cluster-state={state}"),
            "--initial-cluster-token=registry-tests".to_owned(),
        ];
        if self.plan.has_tls {
            flags.push(format!("--listen-peer-urls={}", self.peer_url(member)));
        }
        let name = &self.members[member].name;
        flags.extend(self.plan.flags.iter().map(|flag| flag.replace("{name}", name)));
        flags
    }

    /// Members as `--initial-cluster` lists them.
    fn listed(&self, members: impl IntoIterator<Item = usize>) -> String {
        let of = |member: usize| format!("{}={}", self.members[member].name, self.peer_url(member));
        members.into_iter().map(of).collect::<Vec<_>>().join(",")
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
