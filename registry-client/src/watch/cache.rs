//! The last known instances of a service on disk, for a client that starts while the registry is down.
//!
//! One file a service, written whole beside its name and then renamed, so that a reader finds the old one
//! or the new one. It is a cache: what cannot be read is as good as absent, and what cannot be written is
//! told in the log only.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::Published;
use super::snapshot::{Freshness, Snapshot};
use super::table::{Entry, Table};
use crate::clock::Clock;

/// A change is on disk after this time at the latest, and no file is written oftener.
const WRITE_INTERVAL: Duration = Duration::from_secs(1);
const FORMAT_VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Cached {
    version: u32,
    /// Namespace and service, as the file's name may not tell them apart.
    prefix: String,
    cluster_id: u64,
    /// When it was written, by the wall clock: the instances are as old as that.
    written_ms: u64,
    instances: Vec<CachedInstance>,
}

#[derive(Serialize, Deserialize)]
struct CachedInstance {
    id: String,
    create_revision: i64,
    mod_revision: i64,
    record: serde_json::Value,
}

/// What a cache file gave back.
pub(super) struct Loaded {
    pub(super) cluster_id: u64,
    pub(super) since: SystemTime,
}

/// Where a service's instances are kept.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    path: PathBuf,
    prefix: String,
    clock: Clock,
}

impl Cache {
    pub(crate) fn new(folder: &Path, prefix: &str, clock: Clock) -> Self {
        let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '.') { c } else { '_' };
        let name: String = prefix.trim_matches('/').chars().map(plain).collect();
        // Names may come out alike, or too long for a file.
        let tail: String = name.chars().rev().take(100).collect::<Vec<_>>().into_iter().rev().collect();
        let path = folder.join(format!("{tail}-{:016x}.json", fnv(prefix.as_bytes())));
        Self { path, prefix: prefix.to_owned(), clock }
    }

    /// Fills the table from the file, if there is a readable one.
    pub(super) async fn load(&self, table: &mut Table) -> Option<Loaded> {
        let bytes = tokio::fs::read(&self.path).await.ok()?;
        let cached: Cached = serde_json::from_slice(&bytes).ok()?;
        if cached.version != FORMAT_VERSION || cached.prefix != self.prefix {
            return None;
        }
        for instance in &cached.instances {
            let (create_revision, mod_revision) = (instance.create_revision, instance.mod_revision);
            let value = instance.record.to_string();
            let id = instance.id.as_bytes();
            table.put(&Entry { id, value: value.as_bytes(), create_revision, mod_revision });
        }
        let since = SystemTime::UNIX_EPOCH + Duration::from_millis(cached.written_ms);
        Some(Loaded { cluster_id: cached.cluster_id, since })
    }

    /// Writes what the registry says, as it says it, until the watch has gone.
    pub(super) async fn keep(self, mut published: watch::Receiver<Published>) {
        let mut written: Option<Arc<Snapshot>> = None;
        while published.changed().await.is_ok() {
            let snapshot = Arc::clone(&published.borrow_and_update().snapshot);
            let news = written.as_ref().is_none_or(|written| !written.is_same_as(&snapshot));
            if snapshot.freshness() == Freshness::Synced && news {
                if let Err(error) = self.write(&snapshot).await {
                    tracing::warn!(path = %self.path.display(), %error, "the cache is not written");
                }
                written = Some(snapshot);
            }
            tokio::time::sleep(WRITE_INTERVAL).await;
        }
    }

    async fn write(&self, snapshot: &Snapshot) -> std::io::Result<()> {
        let instances = snapshot.instances().iter().map(|found| {
            Ok(CachedInstance {
                id: found.id().to_owned(),
                create_revision: found.create_revision,
                mod_revision: found.mod_revision,
                record: serde_json::from_slice(&found.instance.to_record())?,
            })
        });
        let age = self.clock.wall_clock().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let cached = Cached {
            version: FORMAT_VERSION,
            prefix: self.prefix.clone(),
            cluster_id: snapshot.cluster_id,
            written_ms: u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
            instances: instances.collect::<Result<_, serde_json::Error>>()?,
        };
        if let Some(folder) = self.path.parent() {
            tokio::fs::create_dir_all(folder).await?;
        }
        // Several processes may share the folder.
        let beside = self.path.with_extension(format!("{:x}.new", fastrand::u64(..)));
        tokio::fs::write(&beside, serde_json::to_vec(&cached)?).await?;
        tokio::fs::rename(&beside, &self.path).await
    }
}

/// FNV-1a: the same in every build, unlike the standard library's hasher.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
