//! `watch`: each event as it comes, from where a broken connection left off.

use std::process::Stdio;

use clap::{Args as ClapArgs, Parser};
use registry_proto::etcdserverpb::watch_client::WatchClient;
use registry_proto::etcdserverpb::watch_request::RequestUnion;
use registry_proto::etcdserverpb::{ResponseHeader, WatchCreateRequest, WatchRequest};
use registry_proto::mvccpb::Event;
use registry_proto::mvccpb::event::EventType;
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Duration, sleep};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};

use super::span::keys_of;
use super::words::words;
use crate::connect;
use crate::error::CtlError;
use crate::global::Global;
use crate::output::{Answer, Text, json, print, string_of};

const EXAMPLES: &str = "\
Examples:
  registryctl watch greeting
  registryctl watch --prefix /services/pay/ --prev-kv
  registryctl watch --rev 1234 greeting -w json
  registryctl watch greeting -- sh -c 'echo $ETCD_WATCH_KEY is now $ETCD_WATCH_VALUE'
  registryctl watch -i      then lines as: watch --prefix /config/";

/// Between a connection that broke and the next attempt.
pub(super) const PAUSE: Duration = Duration::from_millis(500);
/// Lines that were entered and not looked at yet.
const LINES: usize = 16;

/// Prints changes as they come.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Watch {
    /// The key; or the first of the keys.
    #[arg(required_unless_present = "interactive")]
    key: Option<String>,
    /// The key that ends the range, which is not in it.
    range_end: Option<String>,
    /// Read what to watch from standard input, a line each, as often as wanted.
    #[arg(short, long)]
    interactive: bool,
    /// All keys that begin with KEY; an empty one is all keys.
    #[arg(long)]
    prefix: bool,
    /// From this revision on; 0 for what comes from now on.
    #[arg(long, default_value_t = 0)]
    rev: i64,
    /// And what was there before.
    #[arg(long)]
    prev_kv: bool,
    /// Have the server tell how far it is when nothing happens for long.
    #[arg(long)]
    progress_notify: bool,
    /// A program that is run for each event, which it finds in `ETCD_WATCH_*` of its environment.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// A line that was entered.
#[derive(Debug, Parser)]
#[command(no_binary_name = true, disable_help_flag = true)]
enum Line {
    Watch(Watch),
}

impl Watch {
    pub(crate) async fn run(&self, global: &Global) -> Result<(), CtlError> {
        if self.interactive { interactive(global).await } else { self.follow(global).await }
    }

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

    /// Until the server ends it for good.
    async fn follow(&self, global: &Global) -> Result<(), CtlError> {
        let mut from = self.rev;
        loop {
            match self.once(global, &mut from).await {
                Err(CtlError::Status(status)) if is_lost(&status) => {
                    eprintln!("the connection is lost ({}): watching on from revision {from}", status.message());
                }
                // Not before anything was watched: whoever gave a wrong address waits for nothing.
                Err(CtlError::Unreachable(why)) if from != self.rev => eprintln!("{why}: trying again"),
                Err(error) => return Err(error),
                Ok(never) => match never {},
            }
            sleep(PAUSE).await;
        }
    }

    /// One stream, from `from` on, which is moved behind what was printed.
    async fn once(&self, global: &Global, from: &mut i64) -> Result<std::convert::Infallible, CtlError> {
        let mut client = WatchClient::new(connect::any(global).await?).max_decoding_message_size(usize::MAX);
        let (requests, outgoing) = mpsc::channel(1);
        let ended = || CtlError::from(Status::unavailable("the server ended the stream"));
        requests.send(self.request(*from)?).await.map_err(|_| ended())?;
        let mut answers = client.watch(ReceiverStream::new(outgoing)).await?.into_inner();
        loop {
            let answer = answers.message().await?.ok_or_else(ended)?;
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
            print(global, &Changes { header, events: &events, compact_revision })?;
            for event in &events {
                self.execute(event, revision).await?;
            }
            *from = (*from).max(revision + 1);
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

/// The server, or the way to it, is gone: it may come back.
pub(super) fn is_lost(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Internal | Code::Cancelled)
}

fn kind(event: &Event) -> &'static str {
    match event.r#type() {
        EventType::Put => "PUT",
        EventType::Delete => "DELETE",
    }
}

/// Watches what each line says, all at once.
async fn interactive(global: &Global) -> Result<(), CtlError> {
    let (entered, mut lines) = mpsc::channel(LINES);
    // It waits for a line when the program ends, which it cannot hold up.
    std::thread::spawn(move || {
        for line in std::io::stdin().lines() {
            if entered.blocking_send(line).is_err() {
                return;
            }
        }
    });
    let mut watches = JoinSet::new();
    loop {
        tokio::select! {
            line = lines.recv() => match line {
                None => break,
                Some(line) => {
                    let line = line.map_err(CtlError::io("standard input"))?;
                    match parse(&line) {
                        Ok(None) => {}
                        Ok(Some(watch)) => {
                            let global = global.clone();
                            watches.spawn(async move { watch.follow(&global).await });
                        }
                        Err(why) => eprintln!("Invalid command {line} ({why})"),
                    }
                }
            },
            Some(ended) = watches.join_next() => told(ended)?,
        }
    }
    while let Some(ended) = watches.join_next().await {
        told(ended)?;
    }
    Ok(())
}

fn told(ended: Result<Result<(), CtlError>, tokio::task::JoinError>) -> Result<(), CtlError> {
    ended.map_err(|error| CtlError::Answer(error.to_string()))?
}

/// What is to be watched; none if the line is empty.
fn parse(line: &str) -> Result<Option<Watch>, String> {
    let words = words(line)?;
    if words.is_empty() {
        return Ok(None);
    }
    let Line::Watch(watch) = Line::try_parse_from(words).map_err(|error| error.to_string())?;
    Ok(Some(watch))
}

struct Changes<'a> {
    header: Option<ResponseHeader>,
    events: &'a [Event],
    compact_revision: i64,
}

impl Answer for Changes<'_> {
    fn simple(&self, text: &mut Text) {
        for event in self.events {
            text.line(kind(event));
            if let Some(before) = &event.prev_kv {
                text.kv(before);
            }
            if let Some(kv) = &event.kv {
                text.kv(kv);
            }
        }
    }

    fn fields(&self, text: &mut Text) {
        text.header(self.header.as_ref());
        for event in self.events {
            text.line(format!("\"Type\" : {}", string_of(kind(event))));
            if let Some(before) = &event.prev_kv {
                text.kv_fields("Prev", before);
            }
            if let Some(kv) = &event.kv {
                text.kv_fields("", kv);
            }
        }
    }

    /// As etcd's client for Go has it, with its names.
    fn json(&self) -> Result<String, CtlError> {
        let header = json(&self.header.unwrap_or_default(), "etcdserverpb.ResponseHeader")?;
        let events = self.events.iter().map(|event| json(event, "mvccpb.Event"));
        let events = events.collect::<Result<Vec<_>, _>>()?.join(",");
        let compact = self.compact_revision;
        Ok(format!(
            "{{\"Header\":{header},\"Events\":[{events}],\"CompactRevision\":{compact},\"Canceled\":false,\"Created\":false}}"
        ))
    }
}
