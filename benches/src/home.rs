//! Where a member lives from one start to the next: its name, its data directory, its ports, and who the others are.
//!
//! The ports are chosen once, because a member's peer URL is part of its data. The directory goes when the last
//! of its holders is dropped, so a [`crate::process::ServerProcess`] never loses it while it runs.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;

use crate::BenchError;

/// A data directory and two ports on loopback.
#[derive(Debug)]
pub(crate) struct Home {
    dir: TempDir,
    name: String,
    url: String,
    peer_url: String,
    /// All members of the cluster, as the flag has them.
    initial_cluster: Arc<str>,
}

impl Home {
    /// A home without data, below `parent`, of a server that is alone.
    ///
    /// # Errors
    /// When no directory can be made there, or no port is free.
    pub(crate) fn new(parent: &Path) -> Result<Arc<Self>, BenchError> {
        let [home] = Self::cluster(parent, 1)?.try_into().expect("one home was asked for");
        Ok(home)
    }

    /// Homes without data, below `parent`, for the members of one cluster.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub(crate) fn cluster(parent: &Path, members: usize) -> Result<Vec<Arc<Self>>, BenchError> {
        let urls = free_urls(2 * members).map_err(BenchError::system("a free port"))?;
        let (client_urls, peer_urls) = urls.split_at(members);
        let named = || peer_urls.iter().enumerate().map(|(place, url)| (format!("bench-{place}"), url));
        let all: Vec<String> = named().map(|(name, url)| format!("{name}={url}")).collect();
        let initial_cluster: Arc<str> = all.join(",").into();
        let home = |((name, peer_url), url): ((String, &String), &String)| {
            let dir = tempfile::Builder::new().prefix("registry-bench-").tempdir_in(parent);
            let dir = dir.map_err(BenchError::system(format!("a directory in {}", parent.display())))?;
            let (url, peer_url, initial_cluster) = (url.clone(), peer_url.clone(), Arc::clone(&initial_cluster));
            Ok(Arc::new(Self { dir, name, url, peer_url, initial_cluster }))
        };
        named().zip(client_urls).map(home).collect()
    }

    /// The member's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What every member is given as `--initial-cluster`.
    pub(crate) fn initial_cluster(&self) -> &str {
        &self.initial_cluster
    }

    /// What the server is given as its data directory; it makes it.
    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Where else something of about its size may lie, on the same disk.
    pub(crate) fn parent(&self) -> &Path {
        self.dir.path().parent().unwrap_or(self.dir.path())
    }

    /// Where clients are served.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn peer_url(&self) -> &str {
        &self.peer_url
    }

    /// What the server last started here has written to its standard output and error.
    pub(crate) fn log(&self) -> PathBuf {
        self.dir.path().join("log")
    }
}

/// Ports that nobody listens on now, all different. Somebody could take one before the server does; then the
/// server's log says so.
fn free_urls(count: usize) -> std::io::Result<Vec<String>> {
    // All are held until the last is there, or one could be given out twice.
    let listeners: Vec<_> = (0..count).map(|_| TcpListener::bind(("127.0.0.1", 0))).collect::<Result<_, _>>()?;
    listeners.iter().map(|listener| Ok(format!("http://{}", listener.local_addr()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_stays_until_its_last_holder_is_gone() {
        let parent = tempfile::tempdir().unwrap();
        let home = Home::new(parent.path()).unwrap();
        std::fs::create_dir(home.data()).unwrap();
        let (held, data) = (Arc::clone(&home), home.data());
        drop(home);
        assert!(data.exists());
        drop(held);
        assert!(!data.exists());
    }

    #[test]
    fn members_know_each_other_and_share_no_port() {
        let parent = tempfile::tempdir().unwrap();
        let homes = Home::cluster(parent.path(), 3).unwrap();
        let urls: std::collections::BTreeSet<_> = homes.iter().flat_map(|home| [home.url(), home.peer_url()]).collect();
        assert_eq!(urls.len(), 6);
        for home in &homes {
            assert_eq!(home.initial_cluster(), homes[0].initial_cluster());
            assert!(home.initial_cluster().contains(&format!("{}={}", home.name(), home.peer_url())));
        }
    }
}
