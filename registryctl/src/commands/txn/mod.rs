//! `txn`: comparisons, what to do if all of them hold, and what if not; a line each, the three parts ended by empty lines.
//!
//! [`compare`] reads comparisons. Requests are the arguments of `get`, `put` and `del`.

mod compare;

use std::io::IsTerminal as _;

use clap::{Args as ClapArgs, Parser};
use registry_proto::etcdserverpb::kv_client::KvClient;
use registry_proto::etcdserverpb::request_op::Request;
use registry_proto::etcdserverpb::response_op::Response;
use registry_proto::etcdserverpb::{RequestOp, TxnRequest, TxnResponse};

use super::lines::Input;
use super::words::words;
use super::{del, get, put, within};
use crate::args::parsed_line;
use crate::connect;
use crate::error::CtlError;
use crate::global::Global;
use crate::output::{Answer, Text, encoded, json, print, say, tell};

const EXAMPLES: &str = "\
Comparisons: create, mod, version, value or lease of a key, then =, !=, < or >:
  mod(\"key1\") > \"0\"
  value(\"key1\") = \"old\"

Example, which puts a key if it is not there, and reads it if it is:
  registryctl txn <<'TXN'
  create(\"greeting\") = \"0\"

  put greeting hello

  get greeting

  TXN";

/// Does several things at once, or others if comparisons fail. They are read from standard input.
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Txn {
    /// Say what is to be entered next.
    #[arg(short, long)]
    interactive: bool,
}

/// A line of the second and third part.
#[derive(Debug, Parser)]
#[command(no_binary_name = true, disable_help_flag = true)]
enum Line {
    Get(get::Get),
    Put(put::Put),
    Del(del::Del),
}

impl Txn {
    pub(crate) async fn run(&self, global: &Global) -> Result<(), CtlError> {
        // Before anything is connected: whoever types may take long.
        let says = self.interactive || std::io::stdin().is_terminal();
        let read = tokio::task::spawn_blocking(move || read(&mut Input::open(), says)).await;
        let request = read.map_err(|error| CtlError::Answer(error.to_string()))??;
        let answered = within(global, async {
            let mut client = KvClient::new(connect::any(global).await?).max_decoding_message_size(usize::MAX);
            Ok(client.txn(request).await?.into_inner())
        });
        print(global, &Answered(answered.await?))
    }
}

fn read(input: &mut Input, says: bool) -> Result<TxnRequest, CtlError> {
    let say = |text: &str| if says { say(text) } else { Ok(()) };
    say("compares:")?;
    let compare = part(input, |line| compare::parse(line).map_err(CtlError::Arguments))?;
    say("success requests (get, put, del):")?;
    let success = part(input, request)?;
    say("failure requests (get, put, del):")?;
    let failure = part(input, request)?;
    Ok(TxnRequest { compare, success, failure })
}

/// What the lines say up to an empty one, or the end. A mistake is told at once, and can be mended where somebody types.
fn part<T>(input: &mut Input, understand: impl Fn(&str) -> Result<T, CtlError>) -> Result<Vec<T>, CtlError> {
    let mut parts = Vec::new();
    while let Some(line) = input.line("txn> ").map_err(CtlError::io("standard input"))? {
        if line.trim().is_empty() {
            break;
        }
        match understand(&line) {
            Ok(part) => {
                input.remember(&line);
                parts.push(part);
            }
            Err(why) if matches!(input, Input::Edited(..)) => tell(&format!("{why}: enter it anew")),
            Err(why) => return Err(why),
        }
    }
    Ok(parts)
}

fn request(line: &str) -> Result<RequestOp, CtlError> {
    let wrong = |why: String| CtlError::Arguments(format!("invalid txn request: {line}: {}", why.trim()));
    let request = match words(line).and_then(parsed_line).map_err(wrong)? {
        Line::Get(get) => Request::RequestRange(get.request()?),
        Line::Put(put) => Request::RequestPut(put.request().ok_or_else(|| wrong("VALUE is missing".to_owned()))?),
        Line::Del(del) => Request::RequestDeleteRange(del.request()?),
    };
    Ok(RequestOp { request: Some(request) })
}

struct Answered(TxnResponse);

impl Answer for Answered {
    fn simple(&self, text: &mut Text) {
        text.line(if self.0.succeeded { "SUCCESS" } else { "FAILURE" });
        for answer in &self.0.responses {
            text.line("");
            match &answer.response {
                Some(Response::ResponseRange(found)) => {
                    found.kvs.clone().into_messages().unwrap_or_default().iter().for_each(|kv| text.kv(kv));
                }
                Some(Response::ResponsePut(done)) => done.simple(text),
                Some(Response::ResponseDeleteRange(deleted)) => deleted.simple(text),
                // Only a transaction in a transaction has one, and none can be entered.
                Some(Response::ResponseTxn(_)) | None => {}
            }
        }
    }

    fn fields(&self, text: &mut Text) {
        text.header(self.0.header.as_ref());
        text.field("Succeeded", self.0.succeeded);
        for answer in &self.0.responses {
            match &answer.response {
                Some(Response::ResponseRange(found)) => {
                    let kvs = found.kvs.clone().into_messages().unwrap_or_default();
                    kvs.iter().for_each(|kv| text.kv_fields("", kv));
                    text.field("More", found.more);
                    text.field("Count", found.count);
                }
                Some(Response::ResponsePut(done)) => done.fields(text),
                Some(Response::ResponseDeleteRange(deleted)) => deleted.fields(text),
                Some(Response::ResponseTxn(_)) | None => {}
            }
        }
    }

    fn json(&self) -> Result<String, CtlError> {
        json(&self.0, "etcdserverpb.TxnResponse")
    }

    fn protobuf(&self) -> Option<Vec<u8>> {
        encoded(&self.0)
    }
}
