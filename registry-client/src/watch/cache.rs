//! The last known instances of a service on disk, for a client that starts while the registry is down.
//!
//! One file a service, written whole beside its name, synced and then renamed, so that a reader finds the old one
//! or the new one, after a power loss too. It is a cache: what cannot be read is as good as absent, and what cannot
//! be written is told in the log only. A file has a bound, as others may write into the folder.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tokio::fs::{self, File};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;

use super::Published;
use super::snapshot::{Freshness, Snapshot};
use super::table::{Entry, Table};
use crate::clock::Clock;

/// A change is on disk after this time at the latest, and no file is written oftener.
const WRITE_INTERVAL: Duration = Duration::from_secs(1);
const FORMAT_VERSION: u32 = 1;
/// A larger file is neither written nor read: 10,000 instances take some 4 MB.
const LIMIT_BYTES: u64 = 64 << 20;
/// What was left beside its name for so long belongs to nobody who still writes.
const ABANDONED: Duration = Duration::from_secs(60);
/// What a file is called until it is whole.
const UNFINISHED: &str = "new";

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
        let cached = match self.read().await {
            Ok(cached) => cached?,
            Err(error) => {
                tracing::warn!(path = %self.path.display(), %error, "the cache is not used");
                return None;
            }
        };
        for instance in &cached.instances {
            let (create_revision, mod_revision) = (instance.create_revision, instance.mod_revision);
            let value = instance.record.to_string();
            let id = instance.id.as_bytes();
            table.put(&Entry { id, value: value.as_bytes(), create_revision, mod_revision });
        }
        let since = SystemTime::UNIX_EPOCH + Duration::from_millis(cached.written_ms);
        Some(Loaded { cluster_id: cached.cluster_id, since })
    }

    /// Nothing where there is no file.
    async fn read(&self) -> io::Result<Option<Cached>> {
        let file = match File::open(&self.path).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let mut bytes = Vec::new();
        file.take(LIMIT_BYTES + 1).read_to_end(&mut bytes).await?;
        check_size(bytes.len())?;
        let cached: Cached = serde_json::from_slice(&bytes)?;
        if cached.version != FORMAT_VERSION || cached.prefix != self.prefix {
            return Err(io::Error::other("it is of another format, or of another service"));
        }
        Ok(Some(cached))
    }

    /// Writes what the registry says, as it says it, until the watch has gone.
    pub(super) async fn keep(self, mut published: watch::Receiver<Published>) {
        self.sweep().await;
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

    /// Takes away what processes have left that were killed while they wrote.
    async fn sweep(&self) {
        let Some((folder, name)) = self.path.parent().zip(self.path.file_stem()) else { return };
        let Ok(mut files) = fs::read_dir(folder).await else { return };
        while let Ok(Some(file)) = files.next_entry().await {
            let path = file.path();
            let is_ours = path.extension().is_some_and(|extension| extension == UNFINISHED)
                && path.file_stem().is_some_and(|stem| Path::new(stem).file_stem() == Some(name));
            let age = async {
                self.clock.wall_clock().duration_since(file.metadata().await?.modified()?).map_err(io::Error::other)
            };
            if is_ours && age.await.is_ok_and(|age| age > ABANDONED) {
                // Another process may have been quicker.
                drop(fs::remove_file(path).await);
            }
        }
    }

    async fn write(&self, snapshot: &Snapshot) -> io::Result<()> {
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
        let bytes = serde_json::to_vec(&cached)?;
        check_size(bytes.len())?;
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder).await?;
        }
        // Several processes may share the folder.
        let beside = self.path.with_extension(format!("{:x}.{UNFINISHED}", fastrand::u64(..)));
        let written = async {
            let mut file = File::create(&beside).await?;
            file.write_all(&bytes).await?;
            file.sync_all().await?;
            fs::rename(&beside, &self.path).await
        };
        let outcome = written.await;
        if outcome.is_err() {
            drop(fs::remove_file(&beside).await);
        }
        outcome
    }
}

fn check_size(bytes: usize) -> io::Result<()> {
    if bytes as u64 > LIMIT_BYTES {
        return Err(io::Error::other(format!("it is larger than {LIMIT_BYTES} bytes")));
    }
    Ok(())
}

/// FNV-1a: the same in every build, unlike the standard library's hasher.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Instance;

    fn snapshot(ids: &[&str]) -> Snapshot {
        let mut table = Table::new("pay".into());
        ids.iter().for_each(|id| table.put_instance(Instance::builder("pay").id(*id).build().unwrap(), 7));
        table.set_cluster_id(3);
        table.snapshot(Freshness::Synced)
    }

    fn cache(folder: &Path) -> Cache {
        Cache::new(folder, "/prod/services/pay/", Clock::default())
    }

    async fn loaded(cache: &Cache) -> Option<usize> {
        let mut table = Table::new("pay".into());
        let loaded = cache.load(&mut table).await?;
        assert_eq!(loaded.cluster_id, 3);
        Some(table.snapshot(Freshness::Synced).instances().len())
    }

    #[tokio::test]
    async fn g13_a_written_file_reads_back_and_is_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(folder.path());
        assert_eq!(loaded(&cache).await, None);
        cache.write(&snapshot(&["1", "2", "3"])).await.unwrap();
        assert_eq!(loaded(&cache).await, Some(3));
        cache.write(&snapshot(&["4"])).await.unwrap();
        assert_eq!(loaded(&cache).await, Some(1));
        assert_eq!(folder.path().read_dir().unwrap().count(), 1, "nothing is left beside it");
    }

    #[tokio::test]
    async fn g13_a_file_that_is_broken_of_another_format_or_too_large_is_as_good_as_none() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(folder.path());
        cache.write(&snapshot(&["1"])).await.unwrap();
        let whole = fs::read(&cache.path).await.unwrap();
        let newer = String::from_utf8(whole.clone()).unwrap().replace(r#"{"version":1"#, r#"{"version":2"#);
        for bytes in [&whole[..whole.len() / 2], b"", b"\xff\0", newer.as_bytes()] {
            fs::write(&cache.path, bytes).await.unwrap();
            assert_eq!(loaded(&cache).await, None);
        }
        let large = File::create(&cache.path).await.unwrap();
        large.set_len(LIMIT_BYTES + 1).await.unwrap();
        assert!(cache.read().await.err().unwrap().to_string().contains("larger than"));
        fs::write(&cache.path, &whole).await.unwrap();
        assert_eq!(loaded(&cache).await, Some(1));
    }

    #[tokio::test]
    async fn g13_namespaces_that_look_alike_do_not_share_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(folder.path());
        cache.write(&snapshot(&["1"])).await.unwrap();
        let other = Cache::new(folder.path(), "/prod_services/pay/", Clock::default());
        assert_eq!(loaded(&other).await, None);
        fs::copy(&cache.path, &other.path).await.unwrap();
        assert_eq!(loaded(&other).await, None, "the file says itself whose it is");
    }

    #[tokio::test]
    async fn what_a_killed_process_left_is_taken_away_and_what_another_writes_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(folder.path());
        let old = cache.path.with_extension("1.new");
        let (fresh, foreign) = (cache.path.with_extension("2.new"), folder.path().join("other.3.new"));
        for path in [&old, &fresh, &foreign] {
            fs::write(path, "half").await.unwrap();
        }
        for path in [&old, &foreign] {
            let file = File::options().write(true).open(path).await.unwrap().into_std().await;
            file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        }
        cache.sweep().await;
        assert_eq!([&old, &fresh, &foreign].map(|path| path.exists()), [false, true, true]);
    }
}
