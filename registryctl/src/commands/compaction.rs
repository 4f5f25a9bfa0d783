//! `compaction`.

use clap::Args as ClapArgs;
use registry_proto::etcdserverpb::CompactionRequest;
use registry_proto::etcdserverpb::kv_client::KvClient;

use crate::connect;
use crate::error::CtlError;
use crate::global::Global;
use crate::output::say;

/// Forgets history before a revision: reads and watches from before it fail from then on.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:\n  registryctl compaction 1234\n  registryctl compaction --physical 1234")]
pub(crate) struct Compaction {
    /// The oldest revision that is kept.
    revision: i64,
    /// Wait until the memory is free.
    #[arg(long)]
    physical: bool,
}

impl Compaction {
    pub(crate) async fn run(&self, global: &Global) -> Result<(), CtlError> {
        let request = CompactionRequest { revision: self.revision, physical: self.physical };
        KvClient::new(connect::any(global).await?).compact(request).await?;
        say(&format!("compacted revision {}", self.revision))
    }
}
