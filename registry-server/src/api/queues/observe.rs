//! Following who leads an election, and what leaders proclaim.
//!
//! When a leader's key goes, the next leader is looked for as of that very revision, so that one that leads for
//! a moment only is told as well; etcd's client looks at the newest revision and may skip it. If history was compacted
//! meanwhile, it goes on from the newest.

use std::collections::VecDeque;

use bytes::Bytes;
use futures_core::Stream;
use futures_util::stream;
use registry_proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use registry_proto::etcdserverpb::{RangeRequest, ResponseHeader};
use registry_proto::mvccpb::KeyValue;
use registry_proto::mvccpb::event::EventType;
use registry_proto::v3electionpb::LeaderResponse;
use tonic::Status;

use super::session::{Session, Watching, below};
use crate::api::status::WireError;
use crate::storage::Vfs;
use crate::types::{Revision, Runtime};

/// An election that is followed.
struct Observer<R: Runtime, V: Vfs> {
    session: Session<R, V>,
    name: Bytes,
    watching: Option<Watching>,
    /// Of whom the watched key is; while nobody leads, every key below the name is watched.
    leader: Option<Bytes>,
    /// To be told: no more than came in one answer of the watch.
    ready: VecDeque<LeaderResponse>,
    /// The newest that was told; looking again does not tell it twice.
    told: i64,
}

/// Who leads at a revision, or now.
pub(super) async fn first<R: Runtime, V: Vfs>(
    session: &Session<R, V>,
    name: &Bytes,
    at: Option<Revision>,
) -> Result<(ResponseHeader, Option<KeyValue>), Status> {
    let (key, range_end) = below(name);
    let request = RangeRequest {
        key,
        range_end,
        limit: 1,
        revision: at.map_or(0, |at| at.0),
        sort_order: SortOrder::Ascend.into(),
        sort_target: SortTarget::Create.into(),
        // What was at a revision that this member has applied needs nobody's confirmation.
        serializable: at.is_some(),
        ..RangeRequest::default()
    };
    let (header, kvs) = session.range(request).await?;
    Ok((header, kvs.into_iter().next()))
}

/// Each leader of an election and each of its proclamations, in order.
pub(super) fn observe<R: Runtime, V: Vfs>(
    session: Session<R, V>,
    name: Bytes,
) -> impl Stream<Item = Result<LeaderResponse, Status>> + Send {
    let observer = Observer { session, name, watching: None, leader: None, ready: VecDeque::new(), told: 0 };
    stream::unfold(Some(observer), |observer| async move {
        let mut observer = observer?;
        match observer.next().await {
            Ok(leader) => Some((Ok(leader), Some(observer))),
            Err(status) => Some((Err(status), None)),
        }
    })
}

impl<R: Runtime, V: Vfs> Observer<R, V> {
    async fn next(&mut self) -> Result<LeaderResponse, Status> {
        loop {
            if let Some(leader) = self.ready.pop_front() {
                return Ok(leader);
            }
            let Some(watching) = &mut self.watching else {
                self.look(None).await?;
                continue;
            };
            let Some((header, events)) = watching.next().await? else {
                self.watching = None;
                continue;
            };
            for event in events {
                let kind = event.r#type();
                let kv = event.kv.unwrap_or_default();
                let at = Revision(kv.mod_revision);
                match (kind, &self.leader) {
                    (EventType::Delete, None) => {}
                    (EventType::Delete, Some(_)) => {
                        self.look(Some(at)).await?;
                        break;
                    }
                    (EventType::Put, Some(_)) => self.tell(header, kv),
                    (EventType::Put, None) => {
                        self.follow(kv.key.clone(), at);
                        self.tell(ResponseHeader { revision: at.0, ..header }, kv);
                        break;
                    }
                }
            }
        }
    }

    /// Finds out who leads at a revision, or now, and follows that one.
    async fn look(&mut self, at: Option<Revision>) -> Result<(), Status> {
        let (header, kv) = match first(&self.session, &self.name, at).await {
            Err(status) if status.message() == WireError::Compacted.text() => {
                self.watching = None;
                return Ok(());
            }
            found => found?,
        };
        let seen_at = at.unwrap_or(Revision(header.revision));
        match kv {
            Some(kv) => {
                self.follow(kv.key.clone(), seen_at);
                self.tell(header, kv);
            }
            None => {
                self.leader = None;
                self.watching = Some(self.session.watch([below(&self.name)], seen_at.next()));
            }
        }
        Ok(())
    }

    fn follow(&mut self, key: Bytes, from: Revision) {
        self.watching = Some(self.session.watch([(key.clone(), Bytes::new())], from.next()));
        self.leader = Some(key);
    }

    fn tell(&mut self, header: ResponseHeader, kv: KeyValue) {
        // The next leader's key may be older than the last proclamation of the one before.
        let is_news = kv.mod_revision != self.told;
        self.told = kv.mod_revision;
        if is_news {
            self.ready.push_back(LeaderResponse { header: Some(header), kv: Some(kv) });
        }
    }
}
