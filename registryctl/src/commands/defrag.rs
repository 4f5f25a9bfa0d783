//! `defrag`: of members that run, by their endpoints, or of a stopped etcd, by its directory.

use std::path::{Path, PathBuf};

use clap::Args as ClapArgs;
use registry_etcd_files::defrag::defrag;
use registry_proto::etcdserverpb::DefragmentRequest;
use registry_proto::etcdserverpb::maintenance_client::MaintenanceClient;
use tokio::time::Instant;

use super::endpoint::{each, human, members};
use super::snapshot::{beside, tell};
use crate::connect;
use crate::error::CtlError;
use crate::global::Global;
use crate::output::say;

/// Has each endpoint give back the memory and disk that garbage takes. It takes as long as it takes.
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Examples:\n  registryctl defrag\n  registryctl defrag --cluster\n  registryctl defrag --data-dir /var/lib/etcd"
)]
pub(crate) struct Defrag {
    /// All members, instead of the endpoints that are given.
    #[arg(long)]
    cluster: bool,
    /// The directory of an etcd that is stopped, instead of members that run.
    #[arg(long, value_name = "DIR", conflicts_with = "cluster")]
    data_dir: Option<PathBuf>,
}

impl Defrag {
    pub(crate) async fn run(&self, global: &Global) -> Result<(), CtlError> {
        if let Some(data_dir) = &self.data_dir {
            return stopped(data_dir).await;
        }
        let endpoints = if self.cluster { members(global).await? } else { global.endpoints.clone() };
        let (_, result) = each(&endpoints, "defragmentation", 1, async |endpoint| {
            let began = Instant::now();
            let mut client = MaintenanceClient::new(connect::to(global, endpoint).await?);
            client.defragment(DefragmentRequest {}).await?;
            say(&format!("Finished defragmenting etcd member[{endpoint}]. took {:?}", began.elapsed()))
        })
        .await;
        result
    }
}

/// The database of an etcd that is stopped, without free pages.
async fn stopped(data_dir: &Path) -> Result<(), CtlError> {
    let (began, dir) = (Instant::now(), data_dir.to_owned());
    let done = beside(move |bar| {
        defrag(&dir, &mut |written, total| tell(bar, "writing", written, total)).map_err(CtlError::files)
    });
    let (before, after) = done.await?;
    let [before, after] = [before, after].map(|bytes| human(i64::try_from(bytes).unwrap_or(i64::MAX)));
    let (dir, took) = (data_dir.display(), began.elapsed());
    say(&format!("Finished defragmenting etcd data[{dir}]: {before}, now {after}. took {took:?}"))
}
