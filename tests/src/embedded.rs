//! A node in this process, for suites that need no crash.

use std::thread;
use std::time::Duration;

use registry_server::server::{Config, Running, Server};
use tempfile::TempDir;

use crate::budget::SEGMENT_BYTES;
use crate::client::Client;

/// What idle connections of tests are given when a node stops.
const GRACE: Duration = Duration::from_millis(100);

/// An embedded node on a directory of its own. Dropping it stops the node and waits for the end of it.
#[derive(Debug)]
pub struct EmbeddedNode {
    config: Config,
    running: Option<Running>,
    _dir: TempDir,
}

impl EmbeddedNode {
    /// Starts a node.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// Starts a node whose settings `change` adapts.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let dir = TempDir::new().expect("temporary directories can be made");
        let mut config = Config {
            data_dir: dir.path().join("data"),
            listen_client_urls: vec!["http://127.0.0.1:0".parse().expect("it is a URL")],
            worker_threads: Some(1),
            shutdown_grace: GRACE,
            wal_segment_bytes: SEGMENT_BYTES,
            ..Config::default()
        };
        change(&mut config);
        let running = Some(Self::run(&config).await);
        Self { config, running, _dir: dir }
    }

    /// Where clients are served. A restart changes the port.
    ///
    /// # Panics
    /// After [`Self::stop`].
    #[must_use]
    pub fn url(&self) -> &str {
        self.running.as_ref().expect("the node runs").client_url()
    }

    /// A client of this node.
    pub async fn client(&self) -> Client {
        Client::connect(self.url()).await
    }

    /// Stops the node and waits for it.
    ///
    /// # Panics
    /// When it had failed.
    pub async fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.shutdown().await.expect("the node had not failed");
        }
    }

    /// Stops the node and starts it again on its data.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn restart(&mut self) {
        self.stop().await;
        self.running = Some(Self::run(&self.config).await);
    }

    async fn run(config: &Config) -> Running {
        Server::start(config.clone()).await.expect("the node starts")
    }
}

impl Drop for EmbeddedNode {
    /// The directory goes after the node: what it still writes would otherwise stay behind.
    fn drop(&mut self) {
        let Some(running) = self.running.take() else { return };
        // A thread of its own, as this one may drive a runtime, inside which nothing may block on another.
        let wait = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build()?;
            // A node that had failed has told its log.
            drop(runtime.block_on(running.shutdown()));
            Ok::<_, std::io::Error>(())
        });
        drop(wait.join());
    }
}
