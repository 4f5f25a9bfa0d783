//! How many bytes large answers may hold, all of them together.
//!
//! A range can be as large as the store, and its client may read slowly or not at all. So a range takes its share as it
//! grows, before it grows, and the share is given back when its last byte has been handed on, its client is gone, or reads
//! too slowly (`server/patient`). Whoever finds too little left is refused: waiting would keep what it has already. A write
//! that reads is refused before it is done, when nothing is left; what it did is answered. Streamed ranges hold a slice at a
//! time and take nothing.

use std::sync::Arc;

use registry_proto::etcdserverpb::RequestOp;
use registry_proto::etcdserverpb::request_op::Request as Operation;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;

use super::status::WireError;

/// What is counted. Smaller answers are not: as many as there can be streams take less than the streams themselves.
const UNIT_BYTES: usize = 64 * 1024;

/// What large answers may take, and have taken.
#[derive(Debug, Clone)]
pub(super) struct Answers {
    free: Arc<Semaphore>,
    units: usize,
}

/// What one answer has taken, in its growth.
#[derive(Debug)]
pub(super) struct Taken {
    answers: Answers,
    share: Option<OwnedSemaphorePermit>,
    bytes: usize,
}

/// The same when the answer is whole: an extension of it, which its body holds until it was read.
#[derive(Debug, Clone)]
pub struct Share {
    _permit: Arc<OwnedSemaphorePermit>,
}

impl From<OwnedSemaphorePermit> for Share {
    fn from(permit: OwnedSemaphorePermit) -> Self {
        Self { _permit: Arc::new(permit) }
    }
}

impl Answers {
    /// Answers of up to `bytes` altogether.
    pub(super) fn new(bytes: u64) -> Self {
        let units = usize::try_from(bytes).unwrap_or(usize::MAX) / UNIT_BYTES;
        let units = units.min(Semaphore::MAX_PERMITS);
        Self { free: Arc::new(Semaphore::new(units)), units }
    }

    /// An answer that is empty so far.
    pub(super) fn begin(&self) -> Taken {
        Taken { answers: self.clone(), share: None, bytes: 0 }
    }

    /// The answer of a write that is to be done, and reads something. How large it is shows afterwards, when it is too late to
    /// refuse it: so it holds a little before, which also bounds how many there are.
    ///
    /// # Errors
    /// When nothing is left.
    pub(super) fn begin_write(&self) -> Result<Taken, Status> {
        let share = self.free.clone().try_acquire_owned().map_err(|_| WireError::TooManyRequests)?;
        Ok(Taken { share: Some(share), ..self.begin() })
    }
}

impl Taken {
    /// The answer grows by `bytes`.
    ///
    /// # Errors
    /// When that is more than is left; where it would be more than there is at all, the mend is another.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), Status> {
        self.bytes += bytes;
        let wanted = self.bytes / UNIT_BYTES;
        if wanted > self.answers.units {
            let most = self.answers.units * UNIT_BYTES;
            return Err(Status::resource_exhausted(format!(
                "etcdserver: the answer takes more than {most} bytes: ask with a limit, page by page, or with RangeStream"
            )));
        }
        let more = wanted - self.share.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        if more == 0 {
            return Ok(());
        }
        let more = u32::try_from(more).map_err(|_| WireError::TooManyRequests)?;
        let more = self.answers.free.clone().try_acquire_many_owned(more).map_err(|_| WireError::TooManyRequests)?;
        match &mut self.share {
            Some(share) => share.merge(more),
            none => *none = Some(more),
        }
        Ok(())
    }

    /// The answer of a write that was done has so many bytes: it takes what there is for them, and is given all the same.
    pub(super) fn settle(mut self, bytes: usize) -> Option<Share> {
        let wanted = bytes / UNIT_BYTES;
        let free = &self.answers.free;
        let mut share = self.share.take().filter(|_| wanted > 0)?;
        // Others may be quicker; what is not there is not waited for.
        for _ in 0..3 {
            let more = (wanted - share.num_permits().min(wanted)).min(free.available_permits());
            if let Some(more) = u32::try_from(more).ok().and_then(|it| free.clone().try_acquire_many_owned(it).ok()) {
                share.merge(more);
                break;
            }
        }
        Some(Share::from(share))
    }

    /// The answer is whole; none for a small one.
    pub(super) fn share(self) -> Option<Share> {
        self.share.map(Share::from)
    }
}

/// Whether one of these operations, in a transaction, may be answered with more than a header.
pub(super) fn read_something(operations: &[RequestOp]) -> bool {
    operations.iter().any(|operation| match &operation.request {
        Some(Operation::RequestRange(_)) => true,
        Some(Operation::RequestPut(put)) => put.prev_kv,
        Some(Operation::RequestDeleteRange(delete)) => delete.prev_kv,
        Some(Operation::RequestTxn(txn)) => read_something(&txn.success) || read_something(&txn.failure),
        None => false,
    })
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    #[test]
    fn what_is_left_is_given_and_given_back_with_the_last_byte() {
        let answers = Answers::new(10 * UNIT_BYTES as u64);
        let mut first = answers.begin();
        first.grow(UNIT_BYTES - 1).unwrap();
        assert_eq!(answers.free.available_permits(), 10);
        first.grow(6 * UNIT_BYTES).unwrap();
        assert_eq!(answers.free.available_permits(), 4);
        let mut second = answers.begin();
        second.grow(4 * UNIT_BYTES).unwrap();
        assert_eq!(second.grow(UNIT_BYTES).unwrap_err().message(), "etcdserver: too many requests");
        drop(second);
        let share = first.share().unwrap();
        assert_eq!(answers.free.available_permits(), 4);
        drop(share);
        assert_eq!(answers.free.available_permits(), 10);
    }

    #[test]
    fn a_write_is_refused_before_it_is_done_and_answered_when_it_is() {
        let answers = Answers::new(10 * UNIT_BYTES as u64);
        let (one, other, small) =
            (answers.begin_write().unwrap(), answers.begin_write().unwrap(), answers.begin_write().unwrap());
        assert!(small.settle(UNIT_BYTES - 1).is_none());
        let one = one.settle(6 * UNIT_BYTES).unwrap();
        assert_eq!(answers.free.available_permits(), 3);
        let other = other.settle(100 * UNIT_BYTES).unwrap();
        assert_eq!(answers.free.available_permits(), 0);
        assert_eq!(answers.begin_write().unwrap_err().message(), "etcdserver: too many requests");
        drop((one, other));
        assert_eq!(answers.free.available_permits(), 10);
    }

    #[test]
    fn an_answer_that_never_fits_is_told_another_way() {
        let mut taken = Answers::new(10 * UNIT_BYTES as u64).begin();
        let status = taken.grow(11 * UNIT_BYTES).unwrap_err();
        assert!(status.code() == Code::ResourceExhausted && status.message().contains("RangeStream"), "{status}");
    }

    #[test]
    fn a_small_answer_takes_nothing() {
        let mut taken = Answers::new(0).begin();
        taken.grow(UNIT_BYTES - 1).unwrap();
        assert!(taken.share().is_none());
    }
}
