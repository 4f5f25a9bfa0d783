//! Waiting at the end of the process.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::registration::outstanding::Outstanding;

/// How long the end of the process waits for revokes.
const LIMIT: Duration = Duration::from_secs(2);

/// Waits, when dropped, until the revokes of dropped registrations are out; see [`super::Registry::guard`].
///
/// It blocks the thread that drops it, at most 2 s: hold it in `main`, outside of async code.
#[must_use = "dropping the guard at once waits for nothing"]
pub struct RegistryGuard {
    outstanding: Arc<Outstanding>,
}

impl RegistryGuard {
    pub(super) fn new(outstanding: Arc<Outstanding>) -> Self {
        Self { outstanding }
    }
}

impl Drop for RegistryGuard {
    fn drop(&mut self) {
        if !self.outstanding.wait(LIMIT) {
            tracing::warn!("the process ends before every lease is revoked; their TTL is the bound");
        }
    }
}

/// How long a panicking thread waits for a lock that it may hold itself.
const PATIENCE: Duration = Duration::from_millis(50);

pub(super) fn revoke_on_abort(outstanding: Arc<Outstanding>) {
    if cfg!(panic = "abort") {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            before(panic);
            revoke_all(&outstanding);
        }));
    }
}

/// Revokes what nobody will drop any more.
fn revoke_all(outstanding: &Outstanding) {
    outstanding.close_all(PATIENCE);
    outstanding.wait(LIMIT);
}

impl fmt::Debug for RegistryGuard {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RegistryGuard").finish_non_exhaustive()
    }
}
