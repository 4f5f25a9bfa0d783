//! Which calls of this member share a place in a line.
//!
//! A client that gave up waiting and asks again with the same lease gets the place that it had: the key goes only
//! with the last call that wants it, and a call that comes while it goes waits until it is gone.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// The keys that calls of this member wait with; as many at most as calls are under way or being cleaned up after.
#[derive(Debug, Default)]
pub(super) struct Claims(Mutex<HashMap<Bytes, Claim>>);

#[derive(Debug, Default)]
struct Claim {
    calls: usize,
    /// One of the calls had its turn: the key is its client's now.
    kept: bool,
    /// Nobody wants the key any more; cancelled when it is gone.
    going: Option<CancellationToken>,
}

impl Claims {
    /// Counts a call in, as soon as the key is not being deleted.
    pub(super) async fn claim(&self, key: &Bytes) {
        while let Some(gone) = self.claim_now(key) {
            gone.cancelled().await;
        }
    }

    /// Counts a call in, or tells what to wait for.
    fn claim_now(&self, key: &Bytes) -> Option<CancellationToken> {
        let mut claims = self.0.lock();
        let claim = claims.entry(key.clone()).or_default();
        if claim.going.is_none() {
            claim.calls += 1;
        }
        claim.going.clone()
    }

    /// Counts a call out that keeps the key, or has not put it where it is.
    pub(super) fn release(&self, key: &Bytes, kept: bool) {
        self.end(key, kept, false);
    }

    /// Counts a call out that does not want the key any more. True if nobody does: then the caller deletes it, and
    /// says so with [`Self::gone`].
    pub(super) fn give_up(&self, key: &Bytes) -> bool {
        self.end(key, false, true)
    }

    fn end(&self, key: &Bytes, kept: bool, given_up: bool) -> bool {
        let mut claims = self.0.lock();
        let Entry::Occupied(mut entry) = claims.entry(key.clone()) else { return false };
        let claim = entry.get_mut();
        claim.calls = claim.calls.saturating_sub(1);
        claim.kept |= kept;
        if claim.calls > 0 {
            return false;
        }
        if claim.kept || !given_up {
            entry.remove();
            return false;
        }
        claim.going = Some(CancellationToken::new());
        true
    }

    /// The key was deleted, or cannot be.
    pub(super) fn gone(&self, key: &Bytes) {
        if let Some(gone) = self.0.lock().remove(key).and_then(|claim| claim.going) {
            gone.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const KEY: Bytes = Bytes::from_static(b"k");

    #[test]
    fn only_the_last_call_deletes_the_key_and_none_if_one_had_its_turn() {
        let claims = Claims::default();
        for _ in 0..2 {
            claims.claim(&KEY).now_or_never().unwrap();
        }
        assert!(!claims.give_up(&KEY));
        assert!(claims.give_up(&KEY));
        claims.gone(&KEY);
        for _ in 0..2 {
            claims.claim(&KEY).now_or_never().unwrap();
        }
        claims.release(&KEY, true);
        assert!(!claims.give_up(&KEY));
        assert!(claims.0.lock().is_empty());
    }

    #[tokio::test]
    async fn a_call_that_comes_while_the_key_goes_waits_for_the_end_of_it() {
        let claims = Claims::default();
        claims.claim(&KEY).await;
        assert!(claims.give_up(&KEY));
        let key = KEY;
        let mut later = Box::pin(claims.claim(&key));
        assert!(later.as_mut().now_or_never().is_none());
        claims.gone(&KEY);
        later.await;
        assert!(claims.give_up(&KEY));
    }
}
