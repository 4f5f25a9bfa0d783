//! The servers under test, and whether they are still well.

use registry_tests::budget::SOON;
use registry_tests::{Client, Etcd, Footprint, Node, eventually};

use crate::NODE;

/// Our server as a child process, which must come out of a test as it went in.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) node: Node,
    pid: u32,
    before: Footprint,
}

/// Our server and, where one is installed, a real etcd.
pub(super) struct Servers {
    ours: Subject,
    etcd: Option<Etcd>,
}

impl Subject {
    /// Starts the server and lets it reach the size of one that has worked.
    pub(super) async fn start(flags: &[&str]) -> Self {
        let node = Node::start(NODE, flags).await;
        let client = node.client().await;
        for n in 0..200 {
            client.put(&format!("warm/{n}"), "up").await;
        }
        drop(client);
        let pid = node.pid();
        Self { before: Footprint::of(pid), node, pid }
    }

    /// The process is the one that was started, it answers, and it has not panicked.
    pub(super) async fn is_healthy(&self) {
        let client = self.node.client().await;
        let revision = client.put("healthy", "yes").await;
        assert_eq!(client.get("healthy").await.map(|kv| kv.mod_revision), Some(revision));
        assert_eq!(self.node.pid(), self.pid);
        assert!(!self.node.log_contains("panicked"), "the server has panicked");
    }

    /// It holds no more descriptors than before, nor `room_kib` more of memory.
    pub(super) async fn holds_no_more(&self, room_kib: usize) {
        eventually(SOON, "descriptors are given back", async || {
            Footprint::of(self.pid).descriptors <= self.before.descriptors
        })
        .await;
        let after = Footprint::of(self.pid);
        let most = self.before.resident_kib + room_kib;
        assert!(after.resident_kib <= most, "{:?} before, {after:?} after", self.before);
    }
}

impl Servers {
    pub(super) async fn start() -> Self {
        let node = Node::start(NODE, &["--unsafe-no-fsync"]).await;
        let pid = node.pid();
        let ours = Subject { before: Footprint::of(pid), node, pid };
        Self { ours, etcd: Etcd::start().await }
    }

    /// Where they serve, and whether it is etcd.
    pub(super) fn urls(&self) -> impl Iterator<Item = (&str, bool)> {
        std::iter::once((self.ours.node.url(), false)).chain(self.etcd.iter().map(|etcd| (etcd.url(), true)))
    }

    /// Both still answer, and ours has not panicked.
    pub(super) async fn are_healthy(&self) {
        self.ours.is_healthy().await;
        if let Some(etcd) = &self.etcd {
            Client::connect(etcd.url()).await.put("healthy", "yes").await;
        }
    }
}
