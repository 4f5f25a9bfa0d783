//! A registry in the test's own process: [`TestRegistry`] is one member or three, [`Line`] the way of a client to
//! them, `calls` what the test does behind the client's back.

mod calls;
mod error;
mod line;
mod member;

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use calls::Calls;
pub use error::TestingError;
use futures_util::future::try_join_all;
pub use line::Line;
pub use member::Member;
use registry_server::server::{Config, InitialMember, MemberUrl};
use tokio::time::{Instant, sleep};

/// How long a new leader may take.
const ELECTION_LIMIT: Duration = Duration::from_secs(15);
/// How often it is looked who leads.
const POLL: Duration = Duration::from_millis(20);
/// How often ports are chosen anew because somebody took one before a member could.
const START_ATTEMPTS: usize = 3;

/// A registry for tests, on loopback and in temporary directories, both of which go with it.
///
/// Time cannot be moved here, as the members live by the machine's clock. What time would do is done on demand:
/// [`TestRegistry::expire`] ends a lease.
///
/// ```
/// use std::time::Duration;
///
/// use registry_client::Instance;
/// use registry_testing::TestRegistry;
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let servers = TestRegistry::start().await?;
/// let line = servers.line()?;
/// let registry = line.client().build()?;
///
/// let instance = Instance::builder("pay").id("a").endpoint("grpc", "http://10.0.0.7:9000").build()?;
/// let _registration = registry.register(instance).await?;
/// let watch = registry.watch("pay").start()?;
/// watch.synced().await?;
///
/// line.cut(); // the client is partitioned: what it knows stays
/// assert_eq!(watch.snapshot().instances().len(), 1);
/// line.open();
///
/// servers.expire("/services/pay/a").await?; // the lease is lost: the SDK registers again by itself
/// while servers.get("/services/pay/a").await?.is_none() {
///     tokio::time::sleep(Duration::from_millis(20)).await;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct TestRegistry {
    members: Vec<Member>,
    urls: Vec<String>,
    calls: Vec<Calls>,
}

impl TestRegistry {
    /// Starts a registry of one member. Dropping the future stops what was started, here and in all other calls.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start() -> Result<Self, TestingError> {
        Self::of(1).await
    }

    /// Starts a registry of three members.
    ///
    /// # Errors
    /// When one does not start.
    pub async fn start_cluster() -> Result<Self, TestingError> {
        Self::of(3).await
    }

    async fn of(count: usize) -> Result<Self, TestingError> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            match Self::try_of(count).await {
                // A port was free when it was chosen, and is not any more.
                Err(TestingError::Start(_)) if attempts < START_ATTEMPTS => {}
                outcome => return outcome,
            }
        }
    }

    async fn try_of(count: usize) -> Result<Self, TestingError> {
        let ports = free_addresses(count * 2).map_err(TestingError::system("no ports for a registry"))?;
        let (clients, peers) = ports.split_at(count);
        let url = |address: &SocketAddr| format!("http://{address}");
        let peer_urls: Vec<MemberUrl> = peers.iter().map(|peer| member_url(&url(peer))).collect();
        let named =
            |(number, peer_url): (usize, &MemberUrl)| InitialMember { name: name(number), peer_url: peer_url.clone() };
        let founders: Vec<_> = peer_urls.iter().enumerate().map(named).collect();
        let settle = |number: usize, config: &mut Config| {
            config.name = name(number);
            config.listen_client_urls = vec![member_url(&url(&clients[number]))];
            config.listen_peer_urls = vec![peer_urls[number].clone()];
            config.initial_advertise_peer_urls = vec![peer_urls[number].clone()];
            config.initial_cluster = founders.clone();
            // Nothing here outlives the machine's power.
            config.unsafe_no_fsync = true;
        };
        let new = |number| Member::new(|config| settle(number, config));
        let mut members: Vec<_> = (0..count).map(new).collect::<Result<_, _>>()?;
        try_join_all(members.iter_mut().map(Member::start_again)).await?;
        let urls: Vec<_> = clients.iter().map(url).collect();
        let calls = urls.iter().cloned().map(Calls::to).collect::<Result<_, _>>()?;
        Ok(Self { members, urls, calls })
    }

    /// Where the members serve clients, for a client that needs no faults on its way. A member that is started again
    /// is at the same address.
    #[must_use]
    pub fn endpoints(&self) -> &[String] {
        &self.urls
    }

    /// A way of its own for a client, which can be cut. Lines know nothing of each other.
    ///
    /// # Errors
    /// When no port or no thread is left.
    pub fn line(&self) -> Result<Line, TestingError> {
        let address = |url: &String| url.trim_start_matches("http://").parse().expect("it was made of an address");
        Line::to(self.urls.iter().map(address).collect())
    }

    /// Forgets all history up to now. Who watches from before has to list again.
    ///
    /// # Errors
    /// When the registry refuses, as when there is no history yet.
    pub async fn compact(&self) -> Result<(), TestingError> {
        let calls = &self.calls[self.leader().await?];
        let (revision, _) = calls.get("\u{1}").await?;
        calls.compact(revision).await
    }

    /// Ends the lease under which a key stands, as its expiry does: all its keys go in one revision, and a keep-alive
    /// of it is answered with a TTL of 0.
    ///
    /// # Errors
    /// When there is no such key, or it is under no lease.
    pub async fn expire(&self, key: &str) -> Result<(), TestingError> {
        let calls = &self.calls[self.leader().await?];
        let (_, found) = calls.get(key).await?;
        let lease = found.map(|kv| kv.lease).filter(|lease| *lease != 0);
        calls.revoke(lease.ok_or_else(|| TestingError::NoLease(key.to_owned()))?).await
    }

    /// Ends all leases, as a registry does that was away for longer than every TTL. Says how many there were.
    ///
    /// # Errors
    /// When the registry refuses.
    pub async fn expire_all(&self) -> Result<usize, TestingError> {
        let calls = &self.calls[self.leader().await?];
        let leases = calls.leases().await?;
        for lease in &leases {
            calls.revoke(*lease).await?;
        }
        Ok(leases.len())
    }

    /// How many leases there are: none, when everything was given back.
    ///
    /// # Errors
    /// When the registry refuses.
    pub async fn leases(&self) -> Result<usize, TestingError> {
        Ok(self.calls[self.leader().await?].leases().await?.len())
    }

    /// Puts a value under a key without a lease, as an operator may: a tombstone, a record that nobody can read.
    ///
    /// # Errors
    /// When the registry refuses.
    pub async fn put(&self, key: &str, value: &str) -> Result<(), TestingError> {
        self.calls[self.leader().await?].put(key, value).await
    }

    /// The value under a key, as text.
    ///
    /// # Errors
    /// When the registry refuses.
    pub async fn get(&self, key: &str) -> Result<Option<String>, TestingError> {
        let (_, found) = self.calls[self.leader().await?].get(key).await?;
        Ok(found.map(|kv| String::from_utf8_lossy(&kv.value).into_owned()))
    }

    /// Deletes a key, and leaves its lease alone.
    ///
    /// # Errors
    /// When the registry refuses.
    pub async fn delete(&self, key: &str) -> Result<(), TestingError> {
        self.calls[self.leader().await?].delete(key).await
    }

    /// The member that leads, as members count from 0; waits for one.
    ///
    /// # Errors
    /// When there is none within 15 s.
    pub async fn leader(&self) -> Result<usize, TestingError> {
        let deadline = Instant::now() + ELECTION_LIMIT;
        loop {
            for (number, member) in self.members.iter().enumerate() {
                if member.url().is_none() {
                    continue;
                }
                if let Ok(standing) = self.calls[number].standing().await
                    && standing.id == standing.leader
                {
                    return Ok(number);
                }
            }
            if Instant::now() >= deadline {
                return Err(TestingError::NoLeader);
            }
            sleep(POLL).await;
        }
    }

    /// Has another member lead, and says which one does.
    ///
    /// # Errors
    /// When there is no other, or none takes over within 15 s.
    pub async fn change_leader(&self) -> Result<usize, TestingError> {
        let old = self.leader().await?;
        let others = (1..self.members.len()).map(|step| (old + step) % self.members.len());
        let next = others.into_iter().find(|other| self.members[*other].url().is_some());
        let next = next.ok_or(TestingError::OneMember)?;
        let target = self.calls[next].standing().await?.id;
        self.calls[old].move_leader(target).await?;
        let deadline = Instant::now() + ELECTION_LIMIT;
        loop {
            let leader = self.leader().await?;
            if leader != old {
                return Ok(leader);
            }
            if Instant::now() >= deadline {
                return Err(TestingError::NoLeader);
            }
            sleep(POLL).await;
        }
    }

    /// Stops a member in order; its data stays.
    ///
    /// # Errors
    /// When there is none of that number, or it had failed.
    pub async fn stop(&mut self, member: usize) -> Result<(), TestingError> {
        self.members.get_mut(member).ok_or(TestingError::NoMember(member))?.stop().await
    }

    /// Starts a stopped member again at its address, and returns when it serves.
    ///
    /// # Errors
    /// When there is none of that number, or it does not start.
    pub async fn start_again(&mut self, member: usize) -> Result<(), TestingError> {
        self.members.get_mut(member).ok_or(TestingError::NoMember(member))?.start_again().await
    }
}

fn name(number: usize) -> String {
    format!("m{number}")
}

fn member_url(url: &str) -> MemberUrl {
    url.parse().expect("it was made of an address")
}

/// Ports of loopback that nobody listens on now.
fn free_addresses(count: usize) -> std::io::Result<Vec<SocketAddr>> {
    let listeners: Vec<_> = (0..count).map(|_| TcpListener::bind(("127.0.0.1", 0))).collect::<Result<_, _>>()?;
    listeners.iter().map(TcpListener::local_addr).collect()
}
