//! The answer that each operation owes its caller.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::WalError;

/// Called with the outcome of an operation.
type Callback = Box<dyn FnOnce(Result<(), WalError>) + Send>;

/// A caller who waits for an operation. It is answered once, whatever happens: dropping it answers that the
/// log failed, as only a panic or a lane that ended drops one.
pub(super) struct Done(Option<Callback>);

impl Done {
    pub(super) fn new(callback: impl FnOnce(Result<(), WalError>) + Send + 'static) -> Self {
        Self(Some(Box::new(callback)))
    }

    pub(super) fn answer(mut self, result: Result<(), WalError>) {
        if let Some(callback) = self.0.take() {
            callback(result);
        }
    }
}

impl Drop for Done {
    fn drop(&mut self) {
        let Some(callback) = self.0.take() else { return };
        let error = WalError::Failed(Arc::new(io::Error::other("an operation of the log was dropped")));
        // A panic while another one unwinds would end the process.
        if catch_unwind(AssertUnwindSafe(|| callback(Err(error)))).is_err() {
            tracing::error!("a caller of the write-ahead log panicked at its answer");
        }
    }
}
