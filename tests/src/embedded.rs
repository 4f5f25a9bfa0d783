//! A node in this process, for suites that need no crash: [`registry_testing::Member`] with what suites want of it.

use registry_server::server::Config;
use registry_testing::Member;

use crate::client::Client;

/// An embedded node on a directory of its own. Dropping it stops the node and waits for the end of it.
#[derive(Debug)]
pub struct EmbeddedNode {
    member: Member,
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
        Self { member: Member::start(change).await.expect("the node starts") }
    }

    /// Where clients are served. A restart changes the port.
    ///
    /// # Panics
    /// After [`Self::stop`].
    #[must_use]
    pub fn url(&self) -> &str {
        self.member.url().expect("the node runs")
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
        self.member.stop().await.expect("the node had not failed");
    }

    /// Stops the node and starts it again on its data.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn restart(&mut self) {
        self.stop().await;
        self.member.start_again().await.expect("the node starts");
    }
}
