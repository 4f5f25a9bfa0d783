//! `defrag`.

use clap::Args as ClapArgs;
use registry_proto::etcdserverpb::DefragmentRequest;
use registry_proto::etcdserverpb::maintenance_client::MaintenanceClient;
use tokio::time::Instant;

use super::endpoint::{each, members};
use crate::connect;
use crate::error::CtlError;
use crate::global::Global;
use crate::output::say;

/// Has each endpoint give back the memory and disk that garbage takes. It takes as long as it takes.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:\n  registryctl defrag\n  registryctl defrag --cluster")]
pub(crate) struct Defrag {
    /// All members, instead of the endpoints that are given.
    #[arg(long)]
    cluster: bool,
}

impl Defrag {
    pub(crate) async fn run(&self, global: &Global) -> Result<(), CtlError> {
        let endpoints = if self.cluster { members(global).await? } else { global.endpoints.clone() };
        let (_, result) = each(&endpoints, "defragmentation", async |endpoint| {
            let began = Instant::now();
            let mut client = MaintenanceClient::new(connect::to(global, endpoint).await?);
            client.defragment(DefragmentRequest {}).await?;
            say(&format!("Finished defragmenting etcd member[{endpoint}]. took {:?}", began.elapsed()))
        })
        .await;
        result
    }
}
