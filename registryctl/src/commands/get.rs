//! `get`.

use clap::{Args as ClapArgs, ValueEnum};
use registry_proto::etcdserverpb::kv_client::KvClient;
use registry_proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use registry_proto::etcdserverpb::{RangeRequest, ResponseHeader};
use registry_proto::mvccpb::KeyValue;

use super::span::Span;
use crate::connect;
use crate::error::CtlError;
use crate::global::{Format, Global};
use crate::output::{Answer, Text, encoded, json, print};

const EXAMPLES: &str = "\
Examples:
  registryctl get greeting
  registryctl get --prefix /services/pay/ --keys-only
  registryctl get a m --limit 10 -w json
  registryctl get --prefix '' --sort-by MODIFY --order DESCEND --limit 5";

/// Reads keys.
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Get {
    #[command(flatten)]
    span: Span,
    /// At most so many keys; 0 for all.
    #[arg(long, default_value_t = 0)]
    limit: i64,
    /// As of this revision; 0 for the newest.
    #[arg(long, default_value_t = 0)]
    rev: i64,
    /// `l`: what is acknowledged everywhere. `s`: what the endpoint has, at once.
    #[arg(long, default_value = "l", value_parser = ["l", "s"])]
    consistency: String,
    /// In which order.
    #[arg(long, value_enum, ignore_case = true)]
    order: Option<Order>,
    /// By what.
    #[arg(long, value_enum, ignore_case = true)]
    sort_by: Option<SortBy>,
    /// Keys without values.
    #[arg(long)]
    keys_only: bool,
    /// How many there are, and none of them.
    #[arg(long)]
    count_only: bool,
    /// Values without keys.
    #[arg(long, conflicts_with = "keys_only")]
    print_value_only: bool,
    /// Only keys changed at this revision or later.
    #[arg(long, default_value_t = 0, value_name = "REVISION")]
    min_mod_rev: i64,
    /// Only keys changed at this revision or before.
    #[arg(long, default_value_t = 0, value_name = "REVISION")]
    max_mod_rev: i64,
    /// Only keys created at this revision or later.
    #[arg(long, default_value_t = 0, value_name = "REVISION")]
    min_create_rev: i64,
    /// Only keys created at this revision or before.
    #[arg(long, default_value_t = 0, value_name = "REVISION")]
    max_create_rev: i64,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "UPPER")]
enum Order {
    Ascend,
    Descend,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "UPPER")]
enum SortBy {
    Key,
    Version,
    Create,
    Modify,
    Value,
}

impl Get {
    pub(crate) async fn run(&self, global: &Global) -> Result<(), CtlError> {
        let request = self.request()?;
        let mut client = KvClient::new(connect::any(global).await?).max_decoding_message_size(usize::MAX);
        let answer = client.range(request).await?.into_inner();
        let message = answer.clone();
        let unreadable = |error: prost::DecodeError| CtlError::Answer(error.to_string());
        let kvs = answer.kvs.into_messages().map_err(unreadable)?;
        let (header, count, more) = (answer.header, answer.count, answer.more);
        let whole = if global.write_out == Format::Protobuf { encoded(&message) } else { None };
        let line = if global.write_out == Format::Json {
            json(&message, "etcdserverpb.RangeResponse")?
        } else {
            String::new()
        };
        print(global, &Found { header, kvs, count, more, get: self, whole, line })
    }

    /// What is asked of the server.
    pub(super) fn request(&self) -> Result<RangeRequest, CtlError> {
        let (key, range_end) = self.span.keys()?;
        let order = match (self.order, self.sort_by) {
            (Some(Order::Ascend), _) | (None, Some(_)) => SortOrder::Ascend,
            (Some(Order::Descend), _) => SortOrder::Descend,
            (None, None) => SortOrder::None,
        };
        let target = match self.sort_by {
            None | Some(SortBy::Key) => SortTarget::Key,
            Some(SortBy::Version) => SortTarget::Version,
            Some(SortBy::Create) => SortTarget::Create,
            Some(SortBy::Modify) => SortTarget::Mod,
            Some(SortBy::Value) => SortTarget::Value,
        };
        Ok(RangeRequest {
            key,
            range_end,
            limit: self.limit,
            revision: self.rev,
            sort_order: order.into(),
            sort_target: target.into(),
            serializable: self.consistency == "s",
            keys_only: self.keys_only,
            count_only: self.count_only,
            min_mod_revision: self.min_mod_rev,
            max_mod_revision: self.max_mod_rev,
            min_create_revision: self.min_create_rev,
            max_create_revision: self.max_create_rev,
        })
    }
}

struct Found<'a> {
    header: Option<ResponseHeader>,
    kvs: Vec<KeyValue>,
    count: i64,
    more: bool,
    get: &'a Get,
    /// The message, for the form that asked for it.
    whole: Option<Vec<u8>>,
    line: String,
}

impl Answer for Found<'_> {
    fn simple(&self, text: &mut Text) {
        if self.get.count_only {
            text.line(self.count.to_string());
        }
        for kv in &self.kvs {
            if self.get.print_value_only { text.data(&kv.value) } else { text.kv(kv) }
        }
    }

    fn fields(&self, text: &mut Text) {
        text.header(self.header.as_ref());
        self.kvs.iter().for_each(|kv| text.kv_fields("", kv));
        text.field("More", self.more);
        text.field("Count", self.count);
    }

    fn json(&self) -> Result<String, CtlError> {
        Ok(self.line.clone())
    }

    fn protobuf(&self) -> Option<Vec<u8>> {
        self.whole.clone()
    }
}
