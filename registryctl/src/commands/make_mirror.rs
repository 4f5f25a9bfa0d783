//! `make-mirror`: copies what is there, then follows.
//!
//! What stood in one transaction is put in one, as long as it fits. Leases are not mirrored: a key whose lease ends goes at
//! the destination when its deletion is seen here.

use std::path::PathBuf;

use bytes::Bytes;
use clap::{ArgAction, Args as ClapArgs};
use registry_proto::etcdserverpb::kv_client::KvClient;
use registry_proto::etcdserverpb::request_op::Request;
use registry_proto::etcdserverpb::watch_client::WatchClient;
use registry_proto::etcdserverpb::watch_request::RequestUnion;
use registry_proto::etcdserverpb::{
    DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest, WatchCreateRequest, WatchRequest,
};
use registry_proto::mvccpb::event::EventType;
use registry_proto::mvccpb::{Event, KeyValue};
use tokio::sync::mpsc;
use tokio::time::{Duration, sleep};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::span::keys_of;
use super::watch::{PAUSE, is_lost};
use crate::connect::{self, Connection};
use crate::error::CtlError;
use crate::global::Global;
use crate::output::{progress, say, tell};

const EXAMPLES: &str = "\
Examples:
  registryctl --endpoints 10.0.0.1:2379 make-mirror 10.1.0.1:2379
  registryctl make-mirror --prefix /config/ --dest-prefix /copy/ 10.1.0.1:2379

It goes on until it is ended, and prints how many keys it has written after each change. Leases are not mirrored: a key
goes when its deletion is seen here.";

/// Keys that are read at a time.
const PAGE: i64 = 1_000;
/// Between attempts to reach a cluster that has been away for long.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Copies keys to another cluster, and every change after that.
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLES)]
pub(crate) struct MakeMirror {
    /// Where to.
    destination: String,
    /// Only keys that begin with this.
    #[arg(long, default_value = "")]
    prefix: String,
    /// What they begin with there instead.
    #[arg(long, default_value = "")]
    dest_prefix: String,
    /// They begin with nothing there.
    #[arg(long, conflicts_with = "dest_prefix")]
    no_dest_prefix: bool,
    /// Copy only the changes of this revision and later, and not what was there before.
    #[arg(long, default_value_t = 0)]
    rev: i64,
    /// Operations that the destination takes in one transaction.
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u16).range(1..))]
    max_txn_ops: u16,
    /// As --cacert, for the destination.
    #[arg(long, value_name = "FILE")]
    dest_cacert: Option<PathBuf>,
    /// As --cert, for the destination.
    #[arg(long, value_name = "FILE", requires = "dest_key")]
    dest_cert: Option<PathBuf>,
    /// As --key, for the destination.
    #[arg(long, value_name = "FILE", requires = "dest_cert")]
    dest_key: Option<PathBuf>,
    /// As --insecure-transport, for the destination.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", action = ArgAction::Set, value_name = "BOOL")]
    dest_insecure_transport: bool,
    /// As --user, for the destination.
    #[arg(long, value_name = "NAME[:PASSWORD]")]
    dest_user: Option<String>,
    /// As --password, for the destination.
    #[arg(long, value_name = "PASSWORD")]
    dest_password: Option<String>,
}

impl MakeMirror {
    pub(crate) async fn run(&self, global: &Global) -> Result<(), CtlError> {
        let there = Global {
            endpoints: vec![self.destination.clone()],
            user: self.dest_user.clone(),
            password: self.dest_password.clone(),
            cacert: self.dest_cacert.clone(),
            cert: self.dest_cert.clone(),
            tls_key: self.dest_key.clone(),
            insecure_transport: self.dest_insecure_transport,
            auth_jwt_token: None,
            ..global.clone()
        };
        let mut mirror = Mirror { settings: self, to: KvClient::new(connect::any(&there).await?), written: 0 };
        let mut from = self.rev;
        // Revision 1 is that of an empty store: all that was ever put comes after it.
        if from <= 1 {
            from = mirror.copy(connect::any(global).await?).await? + 1;
        }
        let mut pause = PAUSE;
        loop {
            let begun = from;
            let followed = async { mirror.follow(connect::any(global).await?, &mut from).await };
            let why = match followed.await {
                Err(CtlError::Status(status)) if is_lost(&status) => status.message().to_owned(),
                Err(CtlError::Unreachable(why)) => why,
                Err(error) => return Err(error),
                Ok(never) => match never {},
            };
            pause = if from > begun { PAUSE } else { pause };
            tell(&format!("the source is lost ({why}): going on from revision {from} in {pause:?}"));
            sleep(pause).await;
            pause = longer(pause);
        }
    }

    fn key(&self, key: &Bytes) -> Bytes {
        let rest = key.strip_prefix(self.prefix.as_bytes()).unwrap_or(key);
        if self.no_dest_prefix || !self.dest_prefix.is_empty() {
            return [self.dest_prefix.as_bytes(), rest].concat().into();
        }
        key.clone()
    }

    fn put(&self, kv: KeyValue) -> RequestOp {
        let put = PutRequest { key: self.key(&kv.key), value: kv.value, ..PutRequest::default() };
        RequestOp { request: Some(Request::RequestPut(put)) }
    }

    fn change(&self, event: Event) -> Option<RequestOp> {
        let (kind, kv) = (event.r#type(), event.kv?);
        Some(match kind {
            EventType::Put => self.put(kv),
            EventType::Delete => {
                let delete = DeleteRangeRequest { key: self.key(&kv.key), ..DeleteRangeRequest::default() };
                RequestOp { request: Some(Request::RequestDeleteRange(delete)) }
            }
        })
    }
}

/// Between attempts that fail one after the other.
fn longer(pause: Duration) -> Duration {
    pause.saturating_mul(2).min(LONGEST_PAUSE)
}

/// A mirror in the making.
struct Mirror<'a> {
    settings: &'a MakeMirror,
    to: KvClient<Connection>,
    written: u64,
}

impl Mirror<'_> {
    /// Copies what is there at one revision, and answers which.
    async fn copy(&mut self, from: Connection) -> Result<i64, CtlError> {
        let mut client = KvClient::new(from).max_decoding_message_size(usize::MAX);
        let (mut key, range_end) = keys_of(&self.settings.prefix, None, true, false)?;
        let (mut revision, mut bar) = (0, None);
        loop {
            let request =
                RangeRequest { key, range_end: range_end.clone(), limit: PAGE, revision, ..RangeRequest::default() };
            let answer = client.range(request).await?.into_inner();
            if revision == 0 {
                revision = answer.header.map_or(0, |header| header.revision);
            }
            let (more, left) = (answer.more, answer.count);
            let kvs = answer.kvs.into_messages().map_err(|error| CtlError::Answer(error.to_string()))?;
            // The first key behind the last one.
            let next = kvs.last().map(|kv| Bytes::from([&kv.key[..], b"\0"].concat()));
            let bar = bar.get_or_insert_with(|| progress::things(left.unsigned_abs(), "keys"));
            let copied = kvs.len() as u64;
            self.write(kvs.into_iter().map(|kv| self.settings.put(kv)).collect()).await?;
            bar.inc(copied);
            match next {
                Some(next) if more => key = next,
                _ => {
                    bar.finish_and_clear();
                    return Ok(revision);
                }
            }
        }
    }

    /// Every change from `from` on, which is moved behind what was written.
    async fn follow(&mut self, connection: Connection, from: &mut i64) -> Result<std::convert::Infallible, CtlError> {
        let mut client = WatchClient::new(connection).max_decoding_message_size(usize::MAX);
        let (requests, outgoing) = mpsc::channel(1);
        let ended = || CtlError::from(Status::unavailable("the server ended the stream"));
        let (key, range_end) = keys_of(&self.settings.prefix, None, true, false)?;
        let create = WatchCreateRequest { key, range_end, start_revision: *from, ..WatchCreateRequest::default() };
        let create = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
        requests.send(create).await.map_err(|_| ended())?;
        let mut answers = client.watch(ReceiverStream::new(outgoing)).await?.into_inner();
        loop {
            let answer = answers.message().await?.ok_or_else(ended)?;
            if answer.canceled {
                let text = "what changed meanwhile is compacted here: begin again, without --rev".to_owned();
                return Err(CtlError::Answer(if answer.compact_revision > 0 { text } else { answer.cancel_reason }));
            }
            let events = answer.events.into_messages().map_err(|error| CtlError::Answer(error.to_string()))?;
            let revision = |event: &Event| event.kv.as_ref().map_or(0, |kv| kv.mod_revision);
            for of_one in events.chunk_by(|a, b| revision(a) == revision(b)) {
                let changes = of_one.iter().filter_map(|event| self.settings.change(event.clone())).collect();
                self.write(changes).await?;
                *from = (*from).max(revision(&of_one[0]) + 1);
            }
            if !events.is_empty() {
                say(&self.written.to_string())?;
            }
        }
    }

    async fn write(&mut self, changes: Vec<RequestOp>) -> Result<(), CtlError> {
        for part in changes.chunks(usize::from(self.settings.max_txn_ops)) {
            let txn = TxnRequest { success: part.to_vec(), ..TxnRequest::default() };
            let mut pause = PAUSE;
            // The same puts and deletions once more leave the destination as they should, if they were done already.
            while let Err(status) = self.to.txn(txn.clone()).await {
                if !is_lost(&status) {
                    return Err(CtlError::failed("the destination refuses")(status));
                }
                tell(&format!("the destination is lost ({}): trying again in {pause:?}", status.message()));
                sleep(pause).await;
                pause = longer(pause);
            }
            self.written += part.len() as u64;
        }
        Ok(())
    }
}
