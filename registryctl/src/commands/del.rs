//! `del`.

use clap::Args as ClapArgs;
use registry_proto::etcdserverpb::kv_client::KvClient;
use registry_proto::etcdserverpb::{DeleteRangeRequest, DeleteRangeResponse};

use super::span::Span;
use crate::connect;
use crate::error::CtlError;
use crate::global::Global;
use crate::output::{Answer, Text, encoded, json, print};

const EXAMPLES: &str = "\
Examples:
  registryctl del greeting
  registryctl del --prefix /config/old/ --prev-kv";

/// Deletes keys, and says how many.
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Del {
    #[command(flatten)]
    span: Span,
    /// Print what was deleted.
    #[arg(long)]
    prev_kv: bool,
    /// For scripts of etcdctl 3.6, which asks for it with RANGE_END; it changes nothing here.
    #[arg(long, hide = true, conflicts_with_all = ["prefix", "from_key"])]
    range: bool,
}

impl Del {
    pub(crate) async fn run(&self, global: &Global) -> Result<(), CtlError> {
        let request = self.request()?;
        let mut client = KvClient::new(connect::any(global).await?).max_decoding_message_size(usize::MAX);
        print(global, &client.delete_range(request).await?.into_inner())
    }

    /// What is asked of the server.
    pub(super) fn request(&self) -> Result<DeleteRangeRequest, CtlError> {
        let (key, range_end) = self.span.keys()?;
        Ok(DeleteRangeRequest { key, range_end, prev_kv: self.prev_kv })
    }
}

impl Answer for DeleteRangeResponse {
    fn simple(&self, text: &mut Text) {
        text.line(self.deleted.to_string());
        self.prev_kvs.iter().for_each(|kv| text.kv(kv));
    }

    fn fields(&self, text: &mut Text) {
        text.header(self.header.as_ref());
        text.field("Deleted", self.deleted);
        self.prev_kvs.iter().for_each(|kv| text.kv_fields("Prev", kv));
    }

    fn json(&self) -> Result<String, CtlError> {
        json(self, "etcdserverpb.DeleteRangeResponse")
    }

    fn protobuf(&self) -> Option<Vec<u8>> {
        encoded(self)
    }
}
