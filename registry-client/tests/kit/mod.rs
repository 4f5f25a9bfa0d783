//! The server under test and what the tests ask it behind the SDK's back.
//!
//! Its calls go over plain connections of the kit's own, so that a fault of the SDK's channel cannot hide
//! what it left behind.

mod calls;
mod child;
mod proxy;
mod users;

use std::future::{Future, IntoFuture};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, LazyLock, Mutex, Weak};
use std::time::Duration;

pub(crate) use calls::Calls;
pub(crate) use child::{End, Holder};
pub(crate) use proxy::Proxy;
use registry_client::{Instance, Registry};
use tempfile::TempDir;
use tokio::time::Instant;
pub(crate) use users::PASSWORD;

/// How long a test waits for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A server; one that the kit started, with the program that `REGISTRY_TEST_ETCD` names or else the installed etcd, ends
/// with it.
pub(crate) struct Server {
    pub(crate) endpoint: String,
    process: Option<(Child, TempDir)>,
    flags: Vec<String>,
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some((child, _)) = &mut self.process {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

static SHARED: LazyLock<Mutex<Weak<Server>>> = LazyLock::new(Mutex::default);

/// The server that tests share, each in a namespace of its own; nothing where there is none.
pub(crate) fn shared_server() -> Option<Arc<Server>> {
    let mut shared = SHARED.lock().unwrap();
    if let Some(server) = shared.upgrade() {
        return Some(server);
    }
    let server = match std::env::var("REGISTRY_TEST_ENDPOINT") {
        Ok(endpoint) => Server { endpoint, process: None, flags: Vec::new() },
        Err(_) => own_server()?,
    };
    let server = Arc::new(server);
    *shared = Arc::downgrade(&server);
    Some(server)
}

/// A server that the test may stop, or nothing where etcd is not installed.
pub(crate) fn own_server() -> Option<Server> {
    own_server_with(&[])
}

/// The same with further flags.
#[expect(clippy::print_stdout, reason = "who runs the tests should see what was not tested")]
pub(crate) fn own_server_with(flags: &[&str]) -> Option<Server> {
    let folder = tempfile::tempdir().unwrap();
    let flags = flags.iter().map(ToString::to_string).collect();
    let server = start_at(folder, free_port(), free_port(), flags);
    if server.is_none() {
        println!("skipped: there is no etcd to test against");
    }
    server
}

fn start_at(folder: TempDir, client: u16, peer: u16, flags: Vec<String>) -> Option<Server> {
    let scheme = if flags.iter().any(|flag| flag.starts_with("--cert-file")) { "https" } else { "http" };
    let (client, peer) = (format!("{scheme}://127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
    let named = std::env::var("REGISTRY_TEST_ETCD").ok();
    let started = Command::new(named.as_deref().unwrap_or("etcd"))
        .args(["--data-dir".as_ref(), folder.path().as_os_str()])
        .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
        .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
        .args(["--initial-cluster", &format!("default={peer}"), "--unsafe-no-fsync"])
        .args(&flags)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    if let (Err(error), Some(named)) = (&started, &named) {
        panic!("REGISTRY_TEST_ETCD names {named:?}, which does not start: {error}");
    }
    Some(Server { endpoint: client, process: Some((started.ok()?, folder)), flags })
}

impl Server {
    /// Stops the server hard and keeps its data.
    pub(crate) fn stop(mut self) -> Stopped {
        let (mut child, folder) = self.process.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        Stopped { endpoint: self.endpoint.clone(), folder, flags: std::mem::take(&mut self.flags) }
    }
}

/// A server that is down.
pub(crate) struct Stopped {
    pub(crate) endpoint: String,
    folder: TempDir,
    flags: Vec<String>,
}

impl Stopped {
    /// Brings it back at the same address, with its data or as a new cluster.
    pub(crate) fn start(self, keep_data: bool) -> Server {
        let folder = if keep_data { self.folder } else { tempfile::tempdir().unwrap() };
        let port = self.endpoint.rsplit(':').next().unwrap().parse().unwrap();
        start_at(folder, port, free_port(), self.flags).unwrap()
    }

    /// Brings it back with its data, with these flags in the place of those that it had.
    #[cfg(feature = "tls")]
    pub(crate) fn start_with(mut self, flags: Vec<String>) -> (Server, Vec<String>) {
        let before = std::mem::replace(&mut self.flags, flags);
        (self.start(true), before)
    }
}

/// A test's own corner of the shared server.
pub(crate) struct Corner {
    pub(crate) namespace: String,
    pub(crate) calls: Calls,
    server: Arc<Server>,
}

impl Corner {
    /// Nothing where there is no server to test against.
    pub(crate) async fn new(test: &str) -> Option<Self> {
        let server = shared_server()?;
        let calls = Calls::connect(&server.endpoint).await;
        Some(Self { namespace: format!("/{test}-{:x}", fastrand::u64(..)), calls, server })
    }

    /// With a server on which nobody else makes leases, unless one was named; then tests run one by one.
    pub(crate) async fn alone(test: &str) -> Option<Self> {
        let server = match std::env::var("REGISTRY_TEST_ENDPOINT") {
            Ok(endpoint) => Server { endpoint, process: None, flags: Vec::new() },
            Err(_) => own_server()?,
        };
        let calls = Calls::connect(&server.endpoint).await;
        Some(Self { namespace: format!("/{test}-{:x}", fastrand::u64(..)), calls, server: Arc::new(server) })
    }

    pub(crate) async fn no_lease_is_left(&self) {
        let calls = &self.calls;
        eventually("no lease is left", || {
            let mut calls = calls.clone();
            async move { calls.leases().await.is_empty() }
        })
        .await;
    }

    /// A client that comes by another way, as through a [`Proxy`].
    pub(crate) fn registry_by(&self, endpoint: &str) -> Registry {
        Registry::builder([endpoint]).namespace(self.namespace.clone()).build().unwrap()
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.server.endpoint
    }

    pub(crate) fn registry(&self) -> Registry {
        Registry::builder([self.server.endpoint.clone()]).namespace(self.namespace.clone()).build().unwrap()
    }

    pub(crate) fn key(&self, instance: &Instance) -> String {
        format!("{}/services/{}/{}", self.namespace, instance.service(), instance.id())
    }

    /// The lease under which the key stands.
    pub(crate) async fn lease_of(&mut self, key: &str) -> Option<i64> {
        self.calls.get(key).await.map(|kv| kv.lease)
    }
}

pub(crate) fn instance(id: &str) -> Instance {
    Instance::builder("pay").id(id).endpoint("grpc", "http://10.0.0.7:9000").build().unwrap()
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Asks again and again until the answer is yes.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut ask: impl FnMut() -> F) {
    let deadline = Instant::now() + PATIENCE;
    while !ask().await {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Gives a future that is expected to complete its time.
pub(crate) async fn soon<F: IntoFuture>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what}: not in time"))
}
