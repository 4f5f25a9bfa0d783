//! `put`.

use std::io::Read as _;

use clap::Args as ClapArgs;
use registry_proto::etcdserverpb::kv_client::KvClient;
use registry_proto::etcdserverpb::{PutRequest, PutResponse};

use super::lease::lease_id;
use super::within;
use crate::connect;
use crate::error::CtlError;
use crate::global::Global;
use crate::output::{Answer, Text, data, encoded, json, print};

const EXAMPLES: &str = "\
Examples:
  registryctl put greeting hello
  registryctl put greeting < file
  registryctl put --lease 32695410dcc0ca06 /locks/me taken
  registryctl put dash -- -value";

/// Sets a key. Without VALUE it is read from standard input.
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Put {
    key: String,
    value: Option<String>,
    /// The lease that the key lives under, in hexadecimal.
    #[arg(long, default_value = "0", value_parser = lease_id)]
    lease: i64,
    /// Print what was there before.
    #[arg(long)]
    prev_kv: bool,
    /// Keep the value, and change the lease only.
    #[arg(long, conflicts_with = "value")]
    ignore_value: bool,
    /// Keep the lease, and change the value only.
    #[arg(long)]
    ignore_lease: bool,
}

impl Put {
    pub(crate) async fn run(&self, global: &Global) -> Result<(), CtlError> {
        // However long that takes: whoever writes it may be at work.
        let request = match self.request() {
            Some(request) => request,
            None => self.with(from_stdin().await?),
        };
        let answer =
            within(global, async { Ok(KvClient::new(connect::any(global).await?).put(request).await?.into_inner()) });
        print(global, &answer.await?)
    }

    /// What is asked of the server, if the value was given.
    pub(super) fn request(&self) -> Option<PutRequest> {
        match &self.value {
            _ if self.ignore_value => Some(self.with(Vec::new())),
            Some(value) => Some(self.with(value.clone().into_bytes())),
            None => None,
        }
    }

    fn with(&self, value: Vec<u8>) -> PutRequest {
        PutRequest {
            key: data(&self.key),
            value: value.into(),
            lease: self.lease,
            prev_kv: self.prev_kv,
            ignore_value: self.ignore_value,
            ignore_lease: self.ignore_lease,
        }
    }
}

/// All of standard input, read where it holds nobody up.
async fn from_stdin() -> Result<Vec<u8>, CtlError> {
    let read = || {
        let mut bytes = Vec::new();
        std::io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
    };
    let read = tokio::task::spawn_blocking(read).await.map_err(|error| CtlError::Answer(error.to_string()))?;
    read.map_err(CtlError::io("standard input"))
}

impl Answer for PutResponse {
    fn simple(&self, text: &mut Text) {
        text.line("OK");
        if let Some(kv) = &self.prev_kv {
            text.kv(kv);
        }
    }

    fn fields(&self, text: &mut Text) {
        text.header(self.header.as_ref());
        if let Some(kv) = &self.prev_kv {
            text.kv_fields("Prev", kv);
        }
    }

    fn json(&self) -> Result<String, CtlError> {
        json(self, "etcdserverpb.PutResponse")
    }

    fn protobuf(&self) -> Option<Vec<u8>> {
        encoded(self)
    }
}
