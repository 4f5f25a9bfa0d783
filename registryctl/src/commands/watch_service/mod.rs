//! `watch-service`: a service's instances, and then every change of them.
//!
//! `known` is what stands there as far as it was told, `change` a line. The SDK's watch keeps a list current, and of what
//! happens faster than anybody looks it shows the outcome only; here each event is told, so that keys are watched as they
//! are. What always holds: no event is left out in silence. A connection that broke is made anew, to another member if there
//! is one, and goes on behind the last event; where history is gone by then, that is told, and what differs.

mod change;
mod known;

use std::time::Duration;

use clap::Args as ClapArgs;
use registry_proto::etcdserverpb::kv_client::KvClient;
use registry_proto::etcdserverpb::watch_client::WatchClient;
use registry_proto::etcdserverpb::watch_request::RequestUnion;
use registry_proto::etcdserverpb::{
    RangeRequest, ResponseHeader, WatchCreateRequest, WatchProgressRequest, WatchRequest, WatchResponse,
};
use registry_proto::mvccpb::KeyValue;
use registry_proto::mvccpb::event::EventType;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataValue;
use tonic::{Code, Request, Status, Streaming};

use self::change::{Change, Line};
use self::known::Known;
use super::registry::{Namespace, records};
use super::span::prefix_end;
use super::watch::PAUSE;
use super::within;
use crate::connect::{self, Connection};
use crate::error::CtlError;
use crate::global::{Format, Global};
use crate::output::{data, print, tell};

const EXAMPLES: &str = "\
Examples:
  registryctl watch-service pay
  registryctl watch-service pay -w json | jq -c 'select(.event == \"removed\") | .id'

A line each: the revision, what happened, the instance and what is known of it. First `present` for each instance that is
there, and `synced`; then `added`, `changed`, `replaced` (another registration under the same id), `removed`, `unreadable`.
`gap` says that history was compacted, or the registry replaced, while it could not be reached; the differences follow.";

/// So long a stream may say nothing before it is asked for a sign of life, and so long it has for that.
const SILENCE: Duration = Duration::from_secs(10);
const SIGN: Duration = Duration::from_secs(5);

/// Tells a service's instances, and then each change of them.
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLES)]
pub(crate) struct WatchService {
    /// The service's name.
    service: String,
    #[command(flatten)]
    namespace: Namespace,
}

/// Why a stream is over.
enum End {
    /// Events are missing.
    Compacted,
    Failed(CtlError),
}

impl From<CtlError> for End {
    fn from(error: CtlError) -> Self {
        Self::Failed(error)
    }
}

impl From<Status> for End {
    fn from(status: Status) -> Self {
        Self::Failed(status.into())
    }
}

/// How far it is.
struct Follower<'a> {
    service: &'a str,
    prefix: String,
    /// Its endpoints begin with the one to be asked next.
    global: Global,
    known: Known,
    /// The cluster, and the revision up to which everything was told; none before the first list.
    told: Option<(u64, i64)>,
}

impl WatchService {
    pub(crate) async fn run(&self, global: &Global) -> Result<(), CtlError> {
        if matches!(global.write_out, Format::Table | Format::Protobuf) {
            let text = "-w table and -w protobuf are not possible for a command that goes on: try -w json";
            return Err(CtlError::Arguments(text.to_owned()));
        }
        let prefix = self.namespace.service(&self.service)?;
        let (global, known) = (global.clone(), Known::new(&self.service));
        Follower { service: &self.service, prefix, global, known, told: None }.follow().await
    }
}

impl Follower<'_> {
    /// Until it is refused for good.
    async fn follow(&mut self) -> Result<(), CtlError> {
        loop {
            let failed = match self.once().await {
                Ok(never) => match never {},
                // What differs was told: it goes on behind that.
                Err(End::Compacted) => continue,
                Err(End::Failed(error)) => error,
            };
            // Whoever gave a wrong address waits for nothing.
            if self.told.is_none() || !is_lost(&failed) {
                return Err(failed);
            }
            tell(&format!("the connection is lost ({failed}): trying again"));
            self.global.endpoints.rotate_left(1);
            sleep(PAUSE).await;
        }
    }

    /// One connection and its stream.
    async fn once(&mut self) -> Result<std::convert::Infallible, End> {
        let connection = connect::any(&self.global).await?;
        let from = self.begin(&connection).await?;
        let (requests, outgoing) = mpsc::channel(1);
        let create = WatchCreateRequest {
            key: data(&self.prefix),
            range_end: prefix_end(self.prefix.as_bytes()),
            start_revision: from,
            ..WatchCreateRequest::default()
        };
        send(&requests, RequestUnion::CreateRequest(create)).await?;
        let mut client = WatchClient::new(connection.clone()).max_decoding_message_size(usize::MAX);
        let mut request = Request::new(ReceiverStream::new(outgoing));
        // A member that is cut off from the others ends the stream, instead of saying nothing.
        request.metadata_mut().insert("hasleader", MetadataValue::from_static("true"));
        let begun = within(&self.global, async { Ok(client.watch(request).await?.into_inner()) });
        let mut answers = begun.await?;
        loop {
            let answer = next(&mut answers, &requests).await?;
            match self.take(answer) {
                Err(End::Compacted) => {
                    self.list(&connection, "compacted").await?;
                    return Err(End::Compacted);
                }
                taken => taken?,
            }
        }
    }

    /// From which revision on to watch, with all that was before told.
    async fn begin(&mut self, connection: &Connection) -> Result<i64, CtlError> {
        let Some((cluster, revision)) = self.told else {
            return self.list(connection, "").await;
        };
        let header = header(&self.global, connection, &self.prefix).await?;
        if header.cluster_id != cluster || header.revision < revision {
            self.known.forget_revisions();
            return self.list(connection, "another registry, or an older state of it").await;
        }
        Ok(revision + 1)
    }

    /// Reads all anew, and tells what is not as it was known; the revision behind it.
    async fn list(&mut self, connection: &Connection, why: &'static str) -> Result<i64, CtlError> {
        let add = |kvs: &mut Vec<KeyValue>, kv: KeyValue| kvs.push(kv);
        let (kvs, header) = records::fold(&self.global, connection, &self.prefix, add).await?;
        let mut lines = Vec::new();
        let skip = self.prefix.len();
        match self.told {
            None => lines.extend(kvs.iter().map(|kv| self.known.put(skip, kv, true))),
            Some((_, from)) => {
                lines.push(Change::Gap { from, to: header.revision, why });
                lines.extend(self.known.replace(skip, &kvs, header.revision));
            }
        }
        lines.push(Change::Synced { revision: header.revision, instances: kvs.len() });
        // Told before it counts as told: whoever reads no more has not been told.
        lines.iter().try_for_each(|change| self.tell(change))?;
        self.told = Some((header.cluster_id, header.revision));
        Ok(header.revision + 1)
    }

    fn take(&mut self, answer: WatchResponse) -> Result<(), End> {
        if answer.canceled {
            if answer.compact_revision > 0 {
                return Err(End::Compacted);
            }
            let text = format!("the watch was refused: {}", answer.cancel_reason);
            return Err(Status::new(refusal(&answer.cancel_reason), text).into());
        }
        let events = answer.events.into_messages().map_err(|error| CtlError::Answer(error.to_string()))?;
        for event in &events {
            let Some(kv) = &event.kv else { continue };
            let change = match event.r#type() {
                EventType::Put => self.known.put(self.prefix.len(), kv, false),
                EventType::Delete => self.known.delete(self.prefix.len(), kv),
            };
            self.tell(&change)?;
        }
        if let (Some(last), Some((_, revision))) = (events.last().and_then(|event| event.kv.as_ref()), &mut self.told) {
            *revision = (*revision).max(last.mod_revision);
        }
        Ok(())
    }

    fn tell(&self, change: &Change) -> Result<(), CtlError> {
        print(&self.global, &Line { service: self.service, change })
    }
}

/// The next answer. Where nothing comes for long, the other side is asked whether it is there.
async fn next(
    answers: &mut Streaming<WatchResponse>,
    requests: &mpsc::Sender<WatchRequest>,
) -> Result<WatchResponse, End> {
    let message = match timeout(SILENCE, answers.message()).await {
        Ok(message) => message,
        Err(_) => {
            send(requests, RequestUnion::ProgressRequest(WatchProgressRequest {})).await?;
            let silent = |_| Status::unavailable(format!("the server has said nothing for {:?}", SILENCE + SIGN));
            timeout(SIGN, answers.message()).await.map_err(silent)?
        }
    };
    Ok(message?.ok_or_else(|| Status::unavailable("the server ended the stream"))?)
}

async fn send(requests: &mpsc::Sender<WatchRequest>, request: RequestUnion) -> Result<(), Status> {
    let request = WatchRequest { request_union: Some(request) };
    requests.send(request).await.map_err(|_| Status::unavailable("the server ended the stream"))
}

/// Where the registry is now, which every member knows to be so.
async fn header(global: &Global, connection: &Connection, prefix: &str) -> Result<ResponseHeader, CtlError> {
    let request = RangeRequest { key: data(prefix), count_only: true, ..RangeRequest::default() };
    let mut client = KvClient::new(connection.clone());
    let answer = within(global, async { Ok(client.range(request).await?.into_inner()) }).await?;
    Ok(answer.header.unwrap_or_default())
}

/// What is behind the words with which a watch is cancelled: a token that has ended is given anew, a missing permission is not.
fn refusal(reason: &str) -> Code {
    if reason.contains("permission denied") { Code::PermissionDenied } else { Code::Unavailable }
}

/// It may be better in a moment, or at another member.
fn is_lost(error: &CtlError) -> bool {
    match error {
        CtlError::Unreachable(_) => true,
        CtlError::Status(status) => !matches!(status.code(), Code::PermissionDenied | Code::InvalidArgument),
        _ => false,
    }
}
