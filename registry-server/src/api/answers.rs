//! How many bytes large answers may hold, all of them together.
//!
//! A range can be as large as the store, and its client may read slowly or not at all. So a range takes its share as it
//! grows, before it grows, and the share is given back when its last byte has been sent, or its client is gone. Whoever
//! finds too little left is refused: waiting would keep what it has already. Streamed ranges hold a slice at a time and
//! take nothing.

use std::sync::Arc;

use bytes::Bytes;
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

/// The same when the answer is whole. It rides with the answer's bytes.
#[derive(Debug, Clone)]
pub struct Share {
    _permit: Arc<OwnedSemaphorePermit>,
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

    /// The answer is whole; none for a small one.
    pub(super) fn share(self) -> Option<Share> {
        self.share.map(|share| Share { _permit: Arc::new(share) })
    }
}

impl Share {
    /// The same bytes, which hold the share as long as anybody holds them.
    #[must_use]
    pub fn ride(&self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(Riding { bytes, _share: self.clone() })
    }
}

struct Riding {
    bytes: Bytes,
    _share: Share,
}

impl AsRef<[u8]> for Riding {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
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
        let bytes = first.share().unwrap().ride(Bytes::from_static(b"abc"));
        let part = bytes.slice(1..2);
        drop(bytes);
        assert_eq!((&part[..], answers.free.available_permits()), (&b"b"[..], 4));
        drop(part);
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
