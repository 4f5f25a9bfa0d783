//! Where a server lives from one start to the next: its data directory and its ports.
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
    url: String,
    peer_url: String,
}

impl Home {
    /// A home without data, below `parent`.
    ///
    /// # Errors
    /// When no directory can be made there, or no port is free.
    pub(crate) fn new(parent: &Path) -> Result<Arc<Self>, BenchError> {
        let dir = tempfile::Builder::new().prefix("registry-bench-").tempdir_in(parent);
        let dir = dir.map_err(BenchError::system(format!("a directory in {}", parent.display())))?;
        let [url, peer_url] = free_urls().map_err(BenchError::system("a free port"))?;
        Ok(Arc::new(Self { dir, url, peer_url }))
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

/// Two ports that nobody listens on now. Somebody could take one before the server does; then the server's
/// log says so.
fn free_urls() -> std::io::Result<[String; 2]> {
    let (client, peer) = (TcpListener::bind(("127.0.0.1", 0))?, TcpListener::bind(("127.0.0.1", 0))?);
    Ok([&client, &peer].map(TcpListener::local_addr).map(|address| match address {
        Ok(address) => format!("http://{address}"),
        Err(_) => String::new(),
    }))
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
}
