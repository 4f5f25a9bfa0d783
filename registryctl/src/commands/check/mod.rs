//! `check`: what the cluster can do, measured by writing to it.
//!
//! [`perf`] writes at a rate, [`datascale`] looks at what so many keys take of memory; both write with [`writers`], and remove
//! what they wrote. Loads and verdicts are those of etcdctl.

mod datascale;
mod perf;
mod writers;

use clap::{Args as ClapArgs, Subcommand, ValueEnum};
use registry_proto::etcdserverpb::kv_client::KvClient;
use registry_proto::etcdserverpb::maintenance_client::MaintenanceClient;
use registry_proto::etcdserverpb::{CompactionRequest, DefragmentRequest, DeleteRangeRequest, RangeRequest};
use tokio::signal::unix::{SignalKind, signal};

use super::span::keys_of;
use crate::connect::{self, Connection};
use crate::error::CtlError;
use crate::global::Global;
use crate::output::{say, tell};

const EXAMPLES: &str = "\
Examples:
  registryctl check perf
  registryctl check perf --load m --auto-compact --auto-defrag
  registryctl check datascale --load s";

/// Measures what the cluster can do.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Check {
    /// Writes at a fixed rate for a minute, and judges throughput and latency.
    Perf(perf::Perf),
    /// Writes many keys, and tells how much memory they take in the server. Asks the first endpoint for its /metrics.
    Datascale(datascale::Datascale),
}

impl Check {
    pub(crate) async fn run(&self, global: &Global) -> Result<(), CtlError> {
        match self {
            Self::Perf(perf) => perf.run(global).await,
            Self::Datascale(datascale) => datascale.run(global).await,
        }
    }
}

/// How heavy the load is.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Load {
    /// Small.
    #[value(alias = "small")]
    S,
    /// Medium.
    #[value(alias = "medium")]
    M,
    /// Large.
    #[value(alias = "large")]
    L,
    /// Extra large.
    #[value(alias = "xLarge", alias = "xlarge")]
    Xl,
}

/// What is done when all is measured.
#[derive(Debug, Clone, Copy, ClapArgs)]
pub(super) struct Afterwards {
    /// Compact the history when the check is over.
    #[arg(long)]
    auto_compact: bool,
    /// Defragment every endpoint when the check is over.
    #[arg(long)]
    auto_defrag: bool,
}

/// The keys that a check writes: those that begin with a prefix of its own.
#[derive(Debug, Clone)]
struct Ground {
    connection: Connection,
    prefix: String,
    afterwards: Afterwards,
}

impl Ground {
    /// Fails if there are such keys, as they would be removed.
    async fn open(global: &Global, prefix: &str, afterwards: Afterwards) -> Result<Self, CtlError> {
        let connection = connect::any(global).await?;
        let (key, range_end) = keys_of(prefix, None, true, false)?;
        let request = RangeRequest { key, range_end, limit: 1, ..RangeRequest::default() };
        let found = KvClient::new(connection.clone()).range(request).await?.into_inner();
        if found.count > 0 {
            let text = format!(
                "prefix {prefix:?} has keys: delete them with `registryctl del --prefix {prefix}`, or give another --prefix"
            );
            return Err(CtlError::Arguments(text));
        }
        Ok(Self { connection, prefix: prefix.to_owned(), afterwards })
    }

    /// Does the work, and removes what it wrote, whether it succeeded, failed or was interrupted. None if it was.
    async fn run<T>(
        &self,
        global: &Global,
        work: impl Future<Output = Result<T, CtlError>>,
    ) -> Result<Option<T>, CtlError> {
        let signals = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
        let (Ok(mut interrupt), Ok(mut terminate)) = signals else {
            return Err(CtlError::io("signals")(std::io::Error::other("they cannot be waited for")));
        };
        let done = tokio::select! {
            done = work => done.map(Some),
            _ = interrupt.recv() => Ok(None),
            _ = terminate.recv() => Ok(None),
        };
        if let Err(error) = self.clear(global).await {
            say(&format!("FAIL: Cleanup failed during key deletion: ERROR({error})"))?;
        }
        if matches!(done, Ok(None)) {
            tell("interrupted: what was written is removed");
        }
        done
    }

    async fn clear(&self, global: &Global) -> Result<(), CtlError> {
        let (key, range_end) = keys_of(&self.prefix, None, true, false)?;
        let mut client = KvClient::new(self.connection.clone());
        let request = DeleteRangeRequest { key, range_end, ..DeleteRangeRequest::default() };
        let revision = client.delete_range(request).await?.into_inner().header.map_or(0, |header| header.revision);
        if self.afterwards.auto_compact {
            client.compact(CompactionRequest { revision, physical: true }).await?;
            say(&format!("Compacted with revision {revision}"))?;
        }
        if self.afterwards.auto_defrag {
            for endpoint in &global.endpoints {
                let mut client = MaintenanceClient::new(connect::to(global, endpoint).await?);
                client.defragment(DefragmentRequest {}).await?;
                say(&format!("Defragmented {endpoint:?}"))?;
            }
        }
        Ok(())
    }
}
