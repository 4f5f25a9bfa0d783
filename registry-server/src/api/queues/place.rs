//! A place in a line: a key that waits until all older ones are gone.
//!
//! The transaction that takes it runs in a task of its own. If the call ends in the middle, which is how a client
//! that goes away is seen, the place is dropped and the key deleted, whichever came first.

use std::time::Duration;

use bytes::Bytes;
use registry_proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use registry_proto::etcdserverpb::request_op::Request as Operation;
use registry_proto::etcdserverpb::response_op::Response as Answer;
use registry_proto::etcdserverpb::{DeleteRangeRequest, RangeRequest, RequestOp, ResponseHeader};
use registry_proto::mvccpb::KeyValue;
use registry_proto::mvccpb::event::EventType;
use tokio::sync::oneshot;
use tonic::Status;

use super::session::{Session, below, if_created_at, put};
use crate::api::status::WireError;
use crate::storage::Vfs;
use crate::types::{Revision, Runtime};

/// How often a key that nobody wants is to be deleted; its lease ends it if all fail.
const DELETE_TRIES: u32 = 8;
/// Before the second try; twice as long before each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// One call's place in a line. Dropping it gives the place up, unless it was kept.
pub(super) struct Place<R: Runtime, V: Vfs> {
    session: Session<R, V>,
    name: Bytes,
    pub(super) key: Bytes,
    /// When the key was created; none before it is known to be there.
    created: Option<i64>,
    /// The key is to go with this call: it put it there, or waited with it.
    is_ours: bool,
    kept: bool,
}

/// What stood in the place when it was taken.
pub(super) struct Taken {
    /// Of the transaction that took it.
    pub(super) header: ResponseHeader,
    /// The key, if it was there already.
    pub(super) before: Option<KeyValue>,
}

/// Why a turn does not come.
pub(super) enum Lost {
    /// The key is gone: its lease ended, or somebody deleted it.
    Place,
    /// Anything else.
    Call(Status),
}

impl From<Status> for Lost {
    fn from(status: Status) -> Self {
        Self::Call(status)
    }
}

impl<R: Runtime, V: Vfs> Place<R, V> {
    /// Takes a place at the end of the line, or the one that the lease has in it.
    pub(super) async fn take(
        session: &Session<R, V>,
        name: &Bytes,
        lease: i64,
        value: Bytes,
    ) -> Result<(Self, Taken), Status> {
        let (session, name) = (session.clone(), name.clone());
        let (sender, taken) = oneshot::channel();
        drop(R::spawn(async move {
            // Nobody waits for it any more: what is taken is dropped, and given up by that.
            drop(sender.send(Self::take_here(session, name, lease, value).await));
        }));
        taken.await.unwrap_or_else(|_| Err(WireError::Stopped.into()))
    }

    async fn take_here(session: Session<R, V>, name: Bytes, lease: i64, value: Bytes) -> Result<(Self, Taken), Status> {
        let key = key_in(&name, lease);
        session.claims().claim(&key).await;
        let mut place = Self { session, name, key: key.clone(), created: None, is_ours: false, kept: false };
        let mut request = if_created_at(&key, 0, put(&key, value, lease));
        let there = RangeRequest { key, ..RangeRequest::default() };
        request.failure = vec![RequestOp { request: Some(Operation::RequestRange(there)) }];
        let answer = place.session.txn(request).await?;
        let header = answer.header.unwrap_or_default();
        let first = answer.responses.into_iter().next().and_then(|answer| answer.response);
        let before = match first {
            Some(Answer::ResponseRange(range)) => range.kvs.into_messages().unwrap_or_default().pop(),
            _ => None,
        };
        place.is_ours = answer.succeeded;
        place.created = Some(before.as_ref().map_or(header.revision, |kv| kv.create_revision));
        Ok((place, Taken { header, before }))
    }

    /// Waits for the turn. The header of the moment when the place was seen to be there still, if there was anybody
    /// to wait for.
    pub(super) async fn turn(&mut self) -> Result<Option<ResponseHeader>, Lost> {
        let mut waited = false;
        while let Some((key, revision)) = self.ahead().await? {
            waited = true;
            self.is_ours = true;
            self.wait_for(key, revision).await?;
        }
        if !waited {
            return Ok(None);
        }
        // Its own key may have gone at the same time, which only the log as a whole knows.
        let own = RangeRequest { key: self.key.clone(), ..RangeRequest::default() };
        let (header, kvs) = self.session.range(own).await?;
        let is_there = kvs.first().is_some_and(|kv| Some(kv.create_revision) == self.created);
        if is_there { Ok(Some(header)) } else { Err(Lost::Place) }
    }

    /// Who is directly before this place, as of which revision. What this member has applied is enough: it has the own
    /// key, all older ones, and nobody comes between.
    async fn ahead(&self) -> Result<Option<(Bytes, Revision)>, Status> {
        let (key, range_end) = below(&self.name);
        let request = RangeRequest {
            key,
            range_end,
            limit: 1,
            sort_order: SortOrder::Descend.into(),
            sort_target: SortTarget::Create.into(),
            serializable: true,
            keys_only: true,
            // 0 would mean that all are.
            max_create_revision: self.created.unwrap_or_default() - 1,
            ..RangeRequest::default()
        };
        let (header, kvs) = self.session.range(request).await?;
        Ok(kvs.into_iter().next().map(|kv| (kv.key, Revision(header.revision))))
    }

    /// Waits until a key is gone that was there at a revision, or until it has to be looked for again.
    async fn wait_for(&self, key: Bytes, revision: Revision) -> Result<(), Lost> {
        let keys = [(key.clone(), Bytes::new()), (self.key.clone(), Bytes::new())];
        let mut watching = self.session.watch(keys, revision.next());
        while let Some((_, events)) = watching.next().await? {
            for event in events.into_iter().filter(|event| event.r#type() == EventType::Delete) {
                let gone = event.kv.unwrap_or_default().key;
                if gone == self.key {
                    return Err(Lost::Place);
                }
                if gone == key {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Leaves the key where it is, for the client, and tells when it was created.
    pub(super) fn keep(mut self) -> (Bytes, i64) {
        self.kept = true;
        (self.key.clone(), self.created.unwrap_or_default())
    }
}

impl<R: Runtime, V: Vfs> Drop for Place<R, V> {
    fn drop(&mut self) {
        let (session, key) = (self.session.clone(), self.key.clone());
        let Some(created) = self.created.filter(|_| self.is_ours && !self.kept) else {
            session.claims().release(&key, self.kept);
            return;
        };
        if session.claims().give_up(&key) {
            drop(R::spawn(delete(session, key, created)));
        }
    }
}

/// Deletes a key that nobody wants, if it is still the one that was created at a revision.
async fn delete<R: Runtime, V: Vfs>(session: Session<R, V>, key: Bytes, created: i64) {
    let mut pause = FIRST_PAUSE;
    for _ in 0..DELETE_TRIES {
        let delete = DeleteRangeRequest { key: key.clone(), ..DeleteRangeRequest::default() };
        let request = if_created_at(&key, created, Operation::RequestDeleteRange(delete));
        match session.undo(request).await {
            Ok(_) => break,
            Err(status) if status.message() == WireError::Stopped.text() => break,
            Err(status) => tracing::debug!(error = status.message(), "a place in a line could not be given up yet"),
        }
        R::sleep(pause).await;
        pause = (pause * 2).min(session.request_timeout());
    }
    session.claims().gone(&key);
}

/// The key of a lease in a line. Go writes negative numbers in hex with a sign.
fn key_in(name: &Bytes, lease: i64) -> Bytes {
    let sign = if lease < 0 { "-" } else { "" };
    [&name[..], format!("/{sign}{:x}", lease.unsigned_abs()).as_bytes()].concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_etcds() {
        let key = |lease| key_in(&Bytes::from_static(b"a/b"), lease);
        assert_eq!(key(0x390d_a207_f11e_5d06), "a/b/390da207f11e5d06");
        assert_eq!((key(-5), key(i64::MIN)), ("a/b/-5".into(), "a/b/-8000000000000000".into()));
    }
}
