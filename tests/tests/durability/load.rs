//! Concurrent writers that remember what was acknowledged.
//!
//! Each writer has keys of its own and one request under way. After a crash it asks what became of that
//! one, so that every version and revision can be predicted exactly.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use registry_proto::etcdserverpb::compare::{CompareResult, TargetUnion};
use registry_tests::requests::{Operation, compare, put, txn};
use registry_tests::{Acknowledged, Client, History};
use tokio::task::JoinSet;

/// Writers of one key each, put again and again.
const PUTTERS: usize = 4;
/// Writers of two keys each, by transactions.
const PAIRS: usize = 2;
/// Clients that grant leases.
const GRANTERS: usize = 2;

/// What has been written so far, over all crashes.
#[derive(Debug, Default)]
pub(crate) struct Load {
    /// Acknowledged puts.
    pub(crate) history: History,
    leases: Mutex<Granted>,
}

#[derive(Debug, Default)]
struct Granted {
    next: i64,
    acknowledged: Vec<i64>,
}

/// What a writer puts: a key that is only put once, beside the ones that are put again and again.
fn once(key: &str, version: i64) -> String {
    format!("{key}/once/{version:06}")
}

fn value(version: i64) -> Bytes {
    format!("{version:06}/").repeat(40).into()
}

impl Load {
    /// The keys that writers put again and again.
    fn keys() -> Vec<String> {
        let putters = (0..PUTTERS).map(|writer| format!("load/put/{writer}"));
        let pairs = (0..PAIRS).flat_map(|writer| ["left", "right"].map(|side| format!("load/txn/{writer}/{side}")));
        putters.chain(pairs).collect()
    }

    /// Starts all writers; each ends with its first error, which is the crash.
    pub(crate) fn start(self: &Arc<Self>, client: &Client) -> JoinSet<()> {
        let mut writers = JoinSet::new();
        for writer in 0..PUTTERS {
            writers.spawn(self.clone().keep_putting(client.clone(), format!("load/put/{writer}")));
        }
        for writer in 0..PAIRS {
            writers.spawn(self.clone().keep_pairing(client.clone(), format!("load/txn/{writer}")));
        }
        for _ in 0..GRANTERS {
            writers.spawn(self.clone().keep_granting(client.clone()));
        }
        writers
    }

    async fn keep_putting(self: Arc<Self>, client: Client, key: String) {
        for version in self.next_version(&key).. {
            let Ok(answer) = client.try_put(put(&key, value(version))).await else { return };
            self.history.put(key.clone(), value(version), answer.header.expect("a header").revision);
            let single = once(&key, version);
            let Ok(answer) = client.try_put(put(&single, value(version))).await else { return };
            self.history.put(single, value(version), answer.header.expect("a header").revision);
        }
    }

    async fn keep_pairing(self: Arc<Self>, client: Client, name: String) {
        let sides = [format!("{name}/left"), format!("{name}/right")];
        for version in self.next_version(&sides[0]).. {
            let mut request = txn(sides.iter().map(|key| put(key, value(version)).op()).collect());
            let before = TargetUnion::Version(version - 1);
            request.compare = vec![compare(&sides[0], CompareResult::Equal, before)];
            let Ok(answer) = client.txn(request).await else { return };
            assert!(answer.succeeded, "{name} is at another version than {}", version - 1);
            let revision = answer.header.expect("a header").revision;
            sides.iter().for_each(|key| self.history.put(key.clone(), value(version), revision));
        }
    }

    async fn keep_granting(self: Arc<Self>, client: Client) {
        loop {
            let id = {
                let mut leases = self.leases.lock();
                leases.next += 1;
                leases.next
            };
            if client.grant(id, 3_600).await.is_err() {
                return;
            }
            self.leases.lock().acknowledged.push(id);
        }
    }

    fn next_version(&self, key: &str) -> i64 {
        self.history.last().get(key.as_bytes()).map_or(0, |put| put.version) + 1
    }

    /// Compares all that the server has with all that it acknowledged, and takes over what became of the
    /// requests that were under way.
    pub(crate) async fn check(&self, client: &Client) {
        let expected = self.history.last();
        let stored = client.range(registry_tests::requests::prefix("load/")).await;
        let stored = stored
            .into_iter()
            .map(|kv| (kv.key, Acknowledged { value: kv.value, revision: kv.mod_revision, version: kv.version }));
        let stored: std::collections::BTreeMap<_, _> = stored.collect();
        for (key, put) in &expected {
            let found = stored.get(key).unwrap_or_else(|| panic!("{key:?} is lost: {put:?}"));
            // One put may have been under way; it was applied once or not at all.
            let is_next = found.version == put.version + 1 && found.revision > put.revision;
            assert!(found == put || is_next, "{key:?}: acknowledged {put:?}, found {found:?}");
        }
        for (key, found) in stored {
            assert_eq!(found.value, value(found.version.max(single_version(&key))), "{key:?}");
            let is_under_way = !expected.contains_key(&key);
            assert!(!is_under_way || found.version == 1, "{key:?} was applied more than once: {found:?}");
            self.history.found(key, found);
        }
        self.check_pairs();
        self.check_leases(client).await;
    }

    fn check_pairs(&self) {
        let last = self.history.last();
        for writer in 0..PAIRS {
            let side = |side| last.get(format!("load/txn/{writer}/{side}").as_bytes());
            assert_eq!(side("left"), side("right"), "a transaction was applied in part");
        }
    }

    async fn check_leases(&self, client: &Client) {
        let found = client.leases().await;
        let leases = self.leases.lock();
        let lost: Vec<_> = leases.acknowledged.iter().filter(|id| found.binary_search(id).is_err()).collect();
        assert!(lost.is_empty(), "leases are lost: {lost:?}");
        assert!(found.last().is_none_or(|last| *last <= leases.next), "{found:?}");
    }

    /// What was acknowledged in all: puts and leases.
    pub(crate) fn acknowledged(&self) -> usize {
        self.history.count() + self.leases.lock().acknowledged.len()
    }

    /// How often the keys that are put again and again were put, applied but not acknowledged ones included.
    pub(crate) fn versions(&self) -> i64 {
        let last = self.history.last();
        Self::keys().iter().filter_map(|key| last.get(key.as_bytes())).map(|put| put.version).sum()
    }
}

/// The version in the name of a key that is only put once, else 0.
fn single_version(key: &[u8]) -> i64 {
    let name = String::from_utf8_lossy(key);
    name.split_once("/once/").map_or(0, |(_, version)| version.parse().expect("a number"))
}
