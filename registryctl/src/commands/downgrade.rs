//! `downgrade`: of etcd's clusters. The registry keeps no older format, and says so.

use clap::Subcommand;
use registry_proto::etcdserverpb::downgrade_request::DowngradeAction;
use registry_proto::etcdserverpb::maintenance_client::MaintenanceClient;
use registry_proto::etcdserverpb::{DowngradeRequest, DowngradeResponse};

use crate::connect;
use crate::error::CtlError;
use crate::global::Global;
use crate::output::{Answer, Text, encoded, json, print};

const EXAMPLES: &str = "\
Examples:
  registryctl downgrade validate 3.5
  registryctl downgrade enable 3.5
  registryctl downgrade cancel";

/// Prepares an etcd cluster for servers of the version before.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Downgrade {
    /// Tells whether the cluster can be downgraded.
    #[command(after_help = "Example:\n  registryctl downgrade validate 3.5")]
    Validate {
        /// Version to go back to, such as 3.5.
        version: String,
    },
    /// Starts the downgrade.
    #[command(after_help = "Example:\n  registryctl downgrade enable 3.5")]
    Enable {
        /// Version to go back to, such as 3.5.
        version: String,
    },
    /// Cancels the downgrade that was started.
    #[command(after_help = "Example:\n  registryctl downgrade cancel")]
    Cancel,
}

impl Downgrade {
    pub(crate) async fn run(&self, global: &Global) -> Result<(), CtlError> {
        let (name, action, version) = match self {
            Self::Validate { version } => ("validate", DowngradeAction::Validate, version.as_str()),
            Self::Enable { version } => ("enable", DowngradeAction::Enable, version.as_str()),
            Self::Cancel => ("cancel", DowngradeAction::Cancel, ""),
        };
        let request = DowngradeRequest { action: action.into(), version: version.to_owned() };
        let mut client = MaintenanceClient::new(connect::any(global).await?);
        print(global, &Downgraded { name, answer: client.downgrade(request).await?.into_inner() })
    }
}

struct Downgraded {
    name: &'static str,
    answer: DowngradeResponse,
}

impl Answer for Downgraded {
    fn simple(&self, text: &mut Text) {
        text.line(format!("Downgrade {} success, cluster version {}", self.name, self.answer.version));
    }

    fn fields(&self, text: &mut Text) {
        text.header(self.answer.header.as_ref());
        text.quoted("Version", self.answer.version.as_bytes());
    }

    fn json(&self) -> Result<String, CtlError> {
        json(&self.answer, "etcdserverpb.DowngradeResponse")
    }

    fn protobuf(&self) -> Option<Vec<u8>> {
        encoded(&self.answer)
    }
}
