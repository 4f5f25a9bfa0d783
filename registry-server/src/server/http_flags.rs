//! The flags of plain HTTP on the client port.

use clap::Args;

use super::go_values;
use crate::http::{Hosts, HttpSettings, Origins};

#[derive(Debug, Args)]
#[command(next_help_heading = "HTTP")]
pub(super) struct HttpFlags {
    /// Serve the API in JSON too, below /v3/.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "true",
          default_missing_value = "true", value_parser = go_values::boolean, action = clap::ArgAction::Set)]
    enable_grpc_gateway: bool,
    /// The origins whose pages may read answers in a browser, as https://app.example; * for all.
    #[arg(long, value_name = "ORIGINS", value_parser = Origins::parse, default_value = "*")]
    cors: Origins,
    /// The names of this host that HTTP requests without TLS may name; * for all.
    #[arg(long, value_name = "HOSTS", value_parser = hosts, default_value = "*")]
    host_whitelist: Hosts,
}

impl HttpFlags {
    pub(super) fn into_settings(self) -> HttpSettings {
        let Self { enable_grpc_gateway, cors, host_whitelist } = self;
        HttpSettings { gateway: enable_grpc_gateway, cors, host_whitelist }
    }
}

#[expect(clippy::unnecessary_wraps, reason = "clap wants a result of a parser")]
fn hosts(text: &str) -> Result<Hosts, String> {
    Ok(Hosts::parse(text))
}
