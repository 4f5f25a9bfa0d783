//! One watch: a stream, and the next one from where it broke off.

use std::process::Stdio;

use registry_proto::etcdserverpb::watch_client::WatchClient;
use registry_proto::etcdserverpb::watch_request::RequestUnion;
use registry_proto::etcdserverpb::{WatchCreateRequest, WatchProgressRequest, WatchRequest};
use registry_proto::mvccpb::Event;
use tokio::process::Command;
use tokio::sync::{Notify, mpsc};
use tokio::time::sleep;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::changes::{Changes, kind};
use super::{PAUSE, Watch, is_lost};
use crate::commands::span::keys_of;
use crate::connect;
use crate::error::CtlError;
use crate::global::Global;
use crate::output::{Outlet, print_to, string_of};

impl Watch {
    fn request(&self, start_revision: i64) -> Result<WatchRequest, CtlError> {
        let key = self.key.as_deref().unwrap_or_default();
        let (key, range_end) = keys_of(key, self.range_end.as_deref(), self.prefix, false)?;
        let (prev_kv, progress_notify) = (self.prev_kv, self.progress_notify);
        let create = WatchCreateRequest {
            key,
            range_end,
            start_revision,
            prev_kv,
            progress_notify,
            ..WatchCreateRequest::default()
        };
        Ok(WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) })
    }

    /// Until the server ends it for good. Whoever notifies `progress` has the server tell how far it is.
    pub(super) async fn follow(&self, global: &Global, outlet: &Outlet, progress: &Notify) -> Result<(), CtlError> {
        let mut from = self.rev;
        loop {
            match self.once(global, outlet, progress, &mut from).await {
                Err(CtlError::Status(status)) if is_lost(&status) => {
                    let why = status.message();
                    outlet.tell(&format!("the connection is lost ({why}): watching on from revision {from}"));
                }
                // Not before anything was watched: whoever gave a wrong address waits for nothing.
                Err(CtlError::Unreachable(why)) if from != self.rev => outlet.tell(&format!("{why}: trying again")),
                Err(error) => return Err(error),
                Ok(never) => match never {},
            }
            sleep(PAUSE).await;
        }
    }

    /// One stream, from `from` on, which is moved behind what was printed.
    async fn once(
        &self,
        global: &Global,
        outlet: &Outlet,
        progress: &Notify,
        from: &mut i64,
    ) -> Result<std::convert::Infallible, CtlError> {
        let mut client = WatchClient::new(connect::any(global).await?).max_decoding_message_size(usize::MAX);
        let (requests, outgoing) = mpsc::channel(1);
        let ended = || CtlError::from(Status::unavailable("the server ended the stream"));
        requests.send(self.request(*from)?).await.map_err(|_| ended())?;
        let mut answers = client.watch(ReceiverStream::new(outgoing)).await?.into_inner();
        loop {
            let answer = tokio::select! {
                answer = answers.message() => answer?.ok_or_else(ended)?,
                () = progress.notified() => {
                    let ask = Some(RequestUnion::ProgressRequest(WatchProgressRequest {}));
                    requests.send(WatchRequest { request_union: ask }).await.map_err(|_| ended())?;
                    continue;
                }
            };
            let (header, compact_revision) = (answer.header, answer.compact_revision);
            if answer.canceled {
                let why = if compact_revision > 0 {
                    format!("etcdserver: mvcc: required revision has been compacted, up to {compact_revision}")
                } else {
                    answer.cancel_reason
                };
                return Err(CtlError::Answer(format!("watch was canceled ({why})")));
            }
            let revision = header.as_ref().map_or(0, |header| header.revision);
            if answer.created {
                *from = if *from > 0 { *from } else { revision + 1 };
                continue;
            }
            let unreadable = |error: prost::DecodeError| CtlError::Answer(error.to_string());
            let events = answer.events.into_messages().map_err(unreadable)?;
            print_to(outlet, global, &Changes { header, events: &events, compact_revision })?;
            for event in &events {
                self.execute(event, revision).await?;
            }
            // Of a batch of history the header tells the newest revision, which may be ahead of what was sent.
            let seen = events.iter().filter_map(|event| event.kv.as_ref()).map(|kv| kv.mod_revision).max();
            *from = (*from).max(seen.unwrap_or(revision) + 1);
        }
    }

    /// The program for one event; the next one waits for its end.
    async fn execute(&self, event: &Event, revision: i64) -> Result<(), CtlError> {
        let Some((program, arguments)) = self.command.split_first() else { return Ok(()) };
        let text = |data: &[u8]| string_of(&String::from_utf8_lossy(data));
        let kv = event.kv.as_ref();
        let mut command = Command::new(program);
        command
            .args(arguments)
            .stdin(Stdio::null())
            .env("ETCD_WATCH_REVISION", revision.to_string())
            .env("ETCD_WATCH_EVENT_TYPE", string_of(kind(event)))
            .env("ETCD_WATCH_KEY", kv.map_or_else(String::new, |kv| text(&kv.key)))
            .env("ETCD_WATCH_VALUE", kv.map_or_else(String::new, |kv| text(&kv.value)));
        let status = command.status().await.map_err(CtlError::io(program))?;
        if status.success() { Ok(()) } else { Err(CtlError::Answer(format!("{program} ended with {status}"))) }
    }
}
