//! Expiry: leases whose time has come are revoked through the log.
//!
//! What always holds: a lease counts as being revoked from when it is taken until the outcome is known. One whose
//! outcome stays unknown holds up itself and nobody else.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, FutureExt, select};
use futures_util::stream::{FuturesUnordered, StreamExt};

use crate::apply::{ApplyError, Machine};
use crate::command::{Command, LeaseExpiry};
use crate::consensus::{Node, ProposeError, ReadError};
use crate::lease::Keeper;
use crate::storage::Vfs;
use crate::types::planted::{Bug, planted};
use crate::types::{Grant, Runtime};

/// Revocations under way at once: the batcher makes few entries of them.
const AT_ONCE: usize = 1_000;
/// Between proposals whose outcome is unknown.
const PAUSE: Duration = Duration::from_millis(500);

/// What expiry asks of the node.
trait Revoker {
    /// Returns once this node was seen to lead; says in which term.
    fn confirm(&self) -> impl Future<Output = Result<u64, ReadError>> + Send;
    /// Revokes a lease in the log of a term.
    fn revoke(&self, grant: Grant, term: u64) -> impl Future<Output = Result<Revocation, ProposeError>> + Send;
}

/// What became of a revocation that was applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Revocation {
    /// The lease is gone by it.
    Revoked,
    /// This life of it had ended before, or the term.
    TooLate,
    /// Nothing is revoked while a member is corrupt.
    Refused,
}

impl<R: Runtime, V: Vfs> Revoker for Node<Machine, R, V> {
    fn confirm(&self) -> impl Future<Output = Result<u64, ReadError>> + Send {
        self.confirm_leading()
    }

    async fn revoke(&self, grant: Grant, term: u64) -> Result<Revocation, ProposeError> {
        let reply = self.propose(Command::LeaseExpire(LeaseExpiry::new(grant, term)).encode()).await?;
        Ok(match reply.outcome {
            Ok(_) => Revocation::Revoked,
            Err(ApplyError::Corrupt) => Revocation::Refused,
            Err(_) => Revocation::TooLate,
        })
    }
}

/// Revokes what is due, for as long as the node runs.
pub(super) async fn expire_leases<R: Runtime, V: Vfs>(node: Node<Machine, R, V>, keeper: Arc<Keeper<R>>) {
    node.while_running(expire(&node, &keeper)).await;
}

async fn expire<R: Runtime>(node: &impl Revoker, keeper: &Keeper<R>) {
    let mut running = FuturesUnordered::new();
    loop {
        let room = AT_ONCE - running.len();
        let (term, due) = if running.is_empty() {
            keeper.due(room).await
        } else if room == 0 {
            running.next().await;
            continue;
        } else {
            match select(pin!(keeper.due(room)), running.next()).await {
                Either::Left((due, _)) => due,
                Either::Right(_) => continue,
            }
        };
        running.extend(due.into_iter().map(|grant| revoke(node, keeper, term, grant)));
        // All that have ended by now, so that the deadlines are looked at once for them.
        while let Some(Some(())) = running.next().now_or_never() {}
    }
}

/// Proposes until the outcome is known. While it is not, the lease counts as being revoked: a keep-alive
/// that was answered must never be followed by a revocation that was on its way before it.
///
/// A leader that was stalled must not revoke what a new one has renewed. So leadership is confirmed before, and the
/// command does nothing in the log of another term.
async fn revoke<R: Runtime>(node: &impl Revoker, keeper: &Keeper<R>, term: u64, grant: Grant) {
    let mut may_have_happened = false;
    loop {
        let outcome = match node.confirm().await {
            Ok(confirmed) if confirmed == term => node.revoke(grant, term).await,
            _ if planted(Bug::OldLeaderExpires) => node.revoke(grant, term).await,
            // The deadlines of that term mean nothing any more, and a new leader begins its own.
            Ok(_) => return,
            Err(ReadError::Stopped) => Err(ProposeError::Stopped),
            Err(ReadError::NoLeader | ReadError::TimedOut | ReadError::TooManyRequests) => Err(ProposeError::NoLeader),
        };
        match outcome {
            // Applying it told the keeper. One that is gone already probably went at an earlier attempt.
            Ok(revocation @ (Revocation::Revoked | Revocation::TooLate)) => {
                if revocation == Revocation::Revoked || may_have_happened {
                    keeper.note_expired();
                    tracing::debug!(lease = %grant.id, "lease expired");
                }
                return;
            }
            Err(ProposeError::Stopped) => return,
            Err(ProposeError::TimedOut | ProposeError::LeaderChanged) => may_have_happened = true,
            // Nothing happened now, but an earlier attempt may still come through.
            Ok(Revocation::Refused)
            | Err(
                ProposeError::TooManyRequests | ProposeError::TooLarge | ProposeError::NoLeader | ProposeError::NoSpace,
            ) => {
                if !may_have_happened {
                    return keeper.not_revoked(term, grant);
                }
            }
        }
        R::sleep(PAUSE).await;
    }
}

#[cfg(test)]
#[path = "expiry_tests.rs"]
mod tests;
