//! Ranges: the lock is taken anew every few thousand keys, at a pinned revision, so that a big answer does
//! not hold up writers; and as a stream of such slices.

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use futures_util::stream;
use registry_proto::etcdserverpb::{RangeRequest, RangeResponse, RangeStreamResponse};
use registry_proto::stored::Records;
use tonic::Status;

use super::answers::{Answers, Share, Taken};
use super::audit::Wanted;
use super::backend::{SharedBackend, mvcc_status};
use super::caller::{Caller, Permitted};
use super::status::WireError;
use crate::apply::range_query;
use crate::auth::Rights;
use crate::mvcc::{RangeAnswer, RangeCursor};
use crate::storage::Vfs;
use crate::types::Runtime;

/// Keys and bytes read under one lock: about a millisecond at most.
const SLICE_KEYS: usize = 4_000;
const SLICE_BYTES: usize = 1024 * 1024;

/// A range under way.
pub(super) struct Ranges<R: Runtime, V: Vfs> {
    backend: SharedBackend<R, V>,
    cursor: RangeCursor,
    permitted: Permitted,
}

impl<R: Runtime, V: Vfs> Ranges<R, V> {
    /// Confirms a linearizable read and pins its revision.
    pub(super) async fn begin(
        backend: &SharedBackend<R, V>,
        caller: &Caller,
        request: &RangeRequest,
    ) -> Result<Self, Status> {
        if !request.serializable {
            if backend.is_learner() {
                return Err(WireError::NotSupportedForLearner.into());
            }
            backend.read_barrier().await?;
        }
        let check = |rights: &Rights<'_>| rights.read(&request.key, &request.range_end);
        let permitted = backend.permit_read(caller, check).await;
        backend.tell(caller, "range", || Wanted::of_range(&request.key, &request.range_end), &permitted);
        let permitted = permitted?;
        let cursor = backend.state.store.read().range_cursor(range_query(request)).map_err(mvcc_status)?;
        backend.state.counts.ranges.inc();
        Ok(Self { backend: backend.clone(), cursor, permitted })
    }

    fn slice(&mut self) -> Result<RangeAnswer, Status> {
        let store = self.backend.state.store.read();
        let slice = store.range_slice(&mut self.cursor, SLICE_KEYS, SLICE_BYTES).map_err(mvcc_status);
        drop(store);
        self.backend.is_still(self.permitted)?;
        slice
    }

    fn response(&self, kvs: Bytes, last: &RangeAnswer) -> RangeResponse {
        RangeResponse {
            header: Some(self.backend.header(last.revision)),
            kvs: Records::Stored(kvs),
            more: last.more,
            count: last.count,
        }
    }
}

/// The whole answer of a range, and what it takes of what answers may.
pub(super) async fn range<R: Runtime, V: Vfs>(
    backend: &SharedBackend<R, V>,
    answers: &Answers,
    caller: &Caller,
    request: &RangeRequest,
) -> Result<(RangeResponse, Option<Share>), Status> {
    let mut taken = answers.begin();
    let mut ranges = Ranges::begin(backend, caller, request).await?;
    let slice = ranges.slice()?;
    let response = if ranges.cursor.is_sorted() {
        let response = sorted(ranges, slice).await?;
        // Only then it is known; what was collected before shares the store's memory.
        taken.grow(response.kvs.stored_len())?;
        response
    } else {
        joined(ranges, slice, &mut taken).await?
    };
    Ok((response, taken.share()))
}

/// The answer of a range in the order of keys: slices, one behind the other.
async fn joined<R: Runtime, V: Vfs>(
    mut ranges: Ranges<R, V>,
    mut slice: RangeAnswer,
    taken: &mut Taken,
) -> Result<RangeResponse, Status> {
    taken.grow(slice.kvs.len())?;
    if slice.done {
        return Ok(ranges.response(slice.kvs.clone(), &slice));
    }
    let mut kvs = BytesMut::from(&slice.kvs[..]);
    while !slice.done {
        // Other connections of this thread go on in between.
        tokio::task::yield_now().await;
        slice = ranges.slice()?;
        taken.grow(slice.kvs.len())?;
        kvs.extend_from_slice(&slice.kvs);
    }
    Ok(ranges.response(kvs.freeze(), &slice))
}

/// The answer of a sorted range: its records are collected in slices and sorted in the end, without the lock.
async fn sorted<R: Runtime, V: Vfs>(mut ranges: Ranges<R, V>, first: RangeAnswer) -> Result<RangeResponse, Status> {
    let mut last = first;
    let mut slices = 1;
    while !last.done {
        tokio::task::yield_now().await;
        last = ranges.slice()?;
        slices += 1;
    }
    if slices == 1 {
        let answer = ranges.cursor.sorted();
        return Ok(ranges.response(answer.kvs.clone(), &answer));
    }
    // Sorting a big answer takes longer than other connections of this thread should wait.
    let sorted = R::spawn_blocking(move || {
        let answer = ranges.cursor.sorted();
        ranges.response(answer.kvs.clone(), &answer)
    });
    sorted.await.map_err(|_| Status::internal("sorting a range ended without an answer"))
}

/// One answer a slice; header, more and count are on the last one only. It ends at an error.
pub(super) fn range_stream<R: Runtime, V: Vfs>(
    ranges: Ranges<R, V>,
) -> impl Stream<Item = Result<RangeStreamResponse, Status>> + Send {
    stream::unfold(Some(ranges), |ranges| async move {
        match next_part(ranges?).await {
            Ok((part, rest)) => Some((Ok(RangeStreamResponse { range_response: Some(part) }), rest)),
            Err(status) => Some((Err(status), None)),
        }
    })
}

/// The next part of a stream, and what is left then.
async fn next_part<R: Runtime, V: Vfs>(
    mut ranges: Ranges<R, V>,
) -> Result<(RangeResponse, Option<Ranges<R, V>>), Status> {
    let mut slice = ranges.slice()?;
    // A count and a sorted range have nothing to send before all was seen.
    while slice.kvs.is_empty() && !slice.done {
        tokio::task::yield_now().await;
        slice = ranges.slice()?;
    }
    if slice.done && ranges.cursor.is_sorted() {
        slice = ranges.cursor.sorted();
    }
    if slice.done {
        return Ok((ranges.response(slice.kvs.clone(), &slice), None));
    }
    Ok((RangeResponse { kvs: Records::Stored(slice.kvs), ..RangeResponse::default() }, Some(ranges)))
}
