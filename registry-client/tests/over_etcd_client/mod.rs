//! A registry over a client that the test has made.

mod logging_in;
mod registering;
mod settings;
mod watching;

use std::time::Duration;

use etcd_client::{Client, ConnectOptions};
use registry_client::Registry;

use crate::kit::Corner;

/// The lowest TTL that etcd grants.
const SHORT: Duration = Duration::from_secs(2);
/// A lease of this outlives the test, so that one that is lost shows.
const HOUR: Duration = Duration::from_secs(3600);

async fn client(endpoint: &str) -> Client {
    let options = ConnectOptions::new().with_require_leader(true);
    Client::connect([endpoint], Some(options)).await.unwrap()
}

/// By another way than to the server itself, as through a proxy.
async fn registry_by(corner: &Corner, endpoint: &str) -> Registry {
    Registry::from_etcd_client(client(endpoint).await).namespace(corner.namespace.clone()).build().unwrap()
}

async fn registry(corner: &Corner) -> Registry {
    registry_by(corner, corner.endpoint()).await
}
