//! The registry of the run: a node in this process, on a port and in a directory of its own.
//!
//! The only file that knows how a registry is started.

use registry_examples::BoxError;
use registry_proto::etcdserverpb::LeaseLeasesRequest;
use registry_proto::etcdserverpb::lease_client::LeaseClient;
use registry_server::server::{Config, Running, Server};
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};

/// A registry that lives as long as this.
pub(crate) struct EmbeddedRegistry {
    node: Running,
    leases: LeaseClient<Channel>,
    /// Removed after the node has let go of it.
    _data_dir: TempDir,
}

/// Starts a registry in this process and waits until it serves.
pub(crate) async fn start_registry() -> Result<EmbeddedRegistry, BoxError> {
    let data_dir = tempfile::tempdir()?;
    let config = Config {
        data_dir: data_dir.path().join("node"),
        listen_client_urls: vec!["http://127.0.0.1:0".parse()?],
        worker_threads: Some(1),
        ..Config::default()
    };
    let node = Server::start(config).await?;
    let leases = LeaseClient::new(Endpoint::from_shared(node.client_url().to_owned())?.connect_lazy());
    Ok(EmbeddedRegistry { node, leases, _data_dir: data_dir })
}

impl EmbeddedRegistry {
    /// Where it listens.
    pub(crate) fn url(&self) -> &str {
        self.node.client_url()
    }

    /// How many leases it holds now.
    pub(crate) async fn leases(&self) -> Result<usize, BoxError> {
        let answer = self.leases.clone().lease_leases(LeaseLeasesRequest {}).await?;
        Ok(answer.into_inner().leases.len())
    }

    /// Stops the node in order.
    pub(crate) async fn stop(self) -> Result<(), BoxError> {
        Ok(self.node.shutdown().await?)
    }
}
