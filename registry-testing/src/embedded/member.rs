//! One member of a registry in this process.

use std::thread;
use std::time::Duration;

use registry_server::server::{Config, Running, Server};
use tempfile::TempDir;

use super::TestingError;

/// What idle connections of tests are given when a member stops.
const GRACE: Duration = Duration::from_millis(100);
/// A small log file: two are made for each member, and making them is most of a start.
const SEGMENT_BYTES: u64 = 16 << 20;

/// A member on a directory of its own. Dropping it stops the member and waits for the end of it.
#[derive(Debug)]
pub struct Member {
    config: Config,
    running: Option<Running>,
    _dir: TempDir,
}

impl Member {
    /// Starts a member that is a registry of its own, at a port of loopback that the system chooses, unless `change`
    /// says otherwise. Dropping the future stops what was started.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start(change: impl FnOnce(&mut Config)) -> Result<Self, TestingError> {
        let mut member = Self::new(change)?;
        member.start_again().await?;
        Ok(member)
    }

    /// One that does not run yet.
    pub(super) fn new(change: impl FnOnce(&mut Config)) -> Result<Self, TestingError> {
        let dir = TempDir::new().map_err(TestingError::system("no directory for a member's data"))?;
        let mut config = Config {
            data_dir: dir.path().join("data"),
            listen_client_urls: vec!["http://127.0.0.1:0".parse().expect("it is a URL")],
            worker_threads: Some(1),
            shutdown_grace: GRACE,
            wal_segment_bytes: SEGMENT_BYTES,
            ..Config::default()
        };
        change(&mut config);
        Ok(Self { config, running: None, _dir: dir })
    }

    /// Where clients are served; nowhere while it does not run.
    #[must_use]
    pub fn url(&self) -> Option<&str> {
        self.running.as_ref().map(Running::client_url)
    }

    /// Stops it in order and waits for it; its data stays. One that does not run is left alone.
    ///
    /// # Errors
    /// When it had failed.
    pub async fn stop(&mut self) -> Result<(), TestingError> {
        match self.running.take() {
            Some(running) => Ok(running.shutdown().await?),
            None => Ok(()),
        }
    }

    /// Starts it on its data, unless it runs. Returns when it serves, for which a member of a cluster needs a majority.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start_again(&mut self) -> Result<(), TestingError> {
        if self.running.is_none() {
            self.running = Some(Server::start(self.config.clone()).await?);
        }
        Ok(())
    }
}

impl Drop for Member {
    /// The directory goes after the member: what it still writes would otherwise stay behind.
    fn drop(&mut self) {
        let Some(running) = self.running.take() else { return };
        // A thread of its own, as this one may drive a runtime, inside which nothing may block on another.
        let wait = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build()?;
            // A member that had failed has told its log.
            drop(runtime.block_on(running.shutdown()));
            Ok::<_, std::io::Error>(())
        });
        drop(wait.join());
    }
}
