//! `auth`.

use clap::Subcommand;
use registry_proto::etcdserverpb::auth_client::AuthClient;
use registry_proto::etcdserverpb::{AuthDisableRequest, AuthEnableRequest, AuthStatusRequest, AuthStatusResponse};

use crate::connect;
use crate::error::CtlError;
use crate::global::Global;
use crate::output::{Acknowledged, Answer, Text, encoded, json, print};

const EXAMPLES: &str = "\
Examples:
  registryctl auth status
  registryctl user add root && registryctl user grant-role root root && registryctl auth enable
  registryctl --user root auth disable";

/// Switches authentication on and off.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Auth {
    /// From now on who is not logged in may do nothing. The user root, with the role root, must be there.
    Enable,
    /// From now on everybody may do everything.
    Disable,
    /// Whether it is enabled.
    Status,
}

impl Auth {
    pub(crate) async fn run(&self, global: &Global) -> Result<(), CtlError> {
        let mut client = AuthClient::new(connect::any(global).await?);
        match self {
            Self::Enable => {
                let answer = client.auth_enable(AuthEnableRequest {}).await?.into_inner();
                let line = "Authentication Enabled".to_owned();
                print(global, &Acknowledged::new(line, "AuthEnableResponse", answer.header, &answer)?)
            }
            Self::Disable => {
                let answer = client.auth_disable(AuthDisableRequest {}).await?.into_inner();
                let line = "Authentication Disabled".to_owned();
                print(global, &Acknowledged::new(line, "AuthDisableResponse", answer.header, &answer)?)
            }
            Self::Status => print(global, &client.auth_status(AuthStatusRequest {}).await?.into_inner()),
        }
    }
}

impl Answer for AuthStatusResponse {
    fn simple(&self, text: &mut Text) {
        text.line(format!("Authentication Status: {}", self.enabled));
        text.line(format!("AuthRevision: {}", self.auth_revision));
    }

    fn fields(&self, text: &mut Text) {
        text.header(self.header.as_ref());
        text.field("Enabled", self.enabled);
        text.field("AuthRevision", self.auth_revision);
    }

    fn json(&self) -> Result<String, CtlError> {
        json(self, "etcdserverpb.AuthStatusResponse")
    }

    fn protobuf(&self) -> Option<Vec<u8>> {
        encoded(self)
    }
}
