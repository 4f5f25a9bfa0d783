//! The simple tokens that this member knows: whose each is, and until when.
//!
//! Every member learns of a token by an entry of the log, and forgets it by its own clock when nobody has shown it for its
//! TTL. Nothing of them is in a snapshot: whoever gets one forgets all, as it does not know which have ended. And what a start
//! finds in its log is not taken up again. After either a client logs in anew; etcd revives what had ended.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use openraft::AsyncRuntime;
use openraft::async_runtime::Instant;
use parking_lot::Mutex;
use ring::rand::{SecureRandom, SystemRandom};

use crate::types::Runtime;

/// SHA-256 of the secret part of a token.
pub type Digest = [u8; 32];

/// How long a token lives that nobody shows, unless something else is set, as in etcd.
pub const DEFAULT_TTL: Duration = Duration::from_secs(300);
/// A user's tokens; the oldest goes when one more is granted.
const MOST_OF_A_USER: usize = 10_000;
/// The letters of the secret part: 5.7 bits each.
const LETTERS: &[u8; 52] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
/// 182 bits; etcd has 16 letters.
const SECRET_LETTERS: usize = 32;

type InstantOf<R> = <R as AsyncRuntime>::Instant;

/// Hears of what becomes of tokens, as the log says.
pub trait TokenObserver: Send + Sync + 'static {
    /// A user has a token.
    fn granted(&self, user: &str, digest: Digest);
    /// A user has none any more: its password changed, or it is gone.
    fn revoked(&self, user: &str);
    /// Nobody has one any more.
    fn revoked_all(&self);
}

/// The tokens.
pub struct Tokens<R: Runtime> {
    ttl: Duration,
    table: Mutex<Table<InstantOf<R>>>,
}

struct Table<I> {
    /// Whether what the log says is taken up: not while a start reads what it had.
    is_open: bool,
    tokens: HashMap<Digest, Token<I>>,
    /// In the order in which they were granted. Some may have ended.
    by_user: HashMap<Arc<str>, VecDeque<Digest>>,
}

struct Token<I> {
    user: Arc<str>,
    ends: I,
}

impl<R: Runtime> Tokens<R> {
    /// No token yet, and none that the log brings is taken up before [`Tokens::open`].
    #[must_use]
    pub fn new(ttl: Duration) -> Self {
        let table = Table { is_open: false, tokens: HashMap::new(), by_user: HashMap::new() };
        Self { ttl, table: Mutex::new(table) }
    }

    /// From now on.
    pub fn open(&self) {
        self.table.lock().is_open = true;
    }

    /// Whose token this is; it lives for its whole TTL again.
    #[must_use]
    pub fn user_of(&self, secret: &str) -> Option<Arc<str>> {
        let digest = digest(secret);
        let now = InstantOf::<R>::now();
        let mut table = self.table.lock();
        let token = table.tokens.get_mut(&digest)?;
        if token.ends <= now {
            table.tokens.remove(&digest);
            return None;
        }
        token.ends = now + self.ttl;
        Some(token.user.clone())
    }
}

impl<R: Runtime> TokenObserver for Tokens<R> {
    fn granted(&self, user: &str, digest: Digest) {
        let now = InstantOf::<R>::now();
        let mut table = self.table.lock();
        if !table.is_open {
            return;
        }
        let Table { tokens, by_user, .. } = &mut *table;
        let user: Arc<str> = user.into();
        let queue = by_user.entry(user.clone()).or_default();
        let has_ended = |digest: &Digest| tokens.get(digest).is_none_or(|token| token.ends <= now);
        let ended = queue.iter().take_while(|digest| has_ended(digest)).count();
        let over = (queue.len() + 1).saturating_sub(MOST_OF_A_USER);
        for old in queue.drain(..ended.max(over)) {
            tokens.remove(&old);
        }
        queue.push_back(digest);
        tokens.insert(digest, Token { user, ends: now + self.ttl });
    }

    fn revoked(&self, user: &str) {
        let mut table = self.table.lock();
        for digest in table.by_user.remove(user).unwrap_or_default() {
            table.tokens.remove(&digest);
        }
    }

    fn revoked_all(&self) {
        let mut table = self.table.lock();
        table.tokens.clear();
        table.by_user.clear();
    }
}

impl<R: Runtime> std::fmt::Debug for Tokens<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").field("ttl", &self.ttl).finish_non_exhaustive()
    }
}

/// The secret part of a new token.
#[must_use]
pub fn new_secret() -> Option<String> {
    let mut bytes = [0; SECRET_LETTERS * 2];
    SystemRandom::new().fill(&mut bytes).ok()?;
    // Two bytes for a letter: the first letters of the alphabet are more frequent by a thousandth.
    let letter = |pair: &[u8]| char::from(LETTERS[usize::from(u16::from_le_bytes([pair[0], pair[1]])) % LETTERS.len()]);
    Some(bytes.chunks_exact(2).map(letter).collect())
}

/// By which a token is known to the members.
#[must_use]
pub fn digest(secret: &str) -> Digest {
    let digest = ring::digest::digest(&ring::digest::SHA256, secret.as_bytes());
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

#[cfg(test)]
mod tests {
    use openraft::impls::TokioRuntime;

    use super::*;

    const TTL: Duration = Duration::from_secs(300);

    fn opened() -> Tokens<TokioRuntime> {
        let tokens = Tokens::new(TTL);
        tokens.open();
        tokens
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_lives_on_while_it_is_shown_and_ends_when_it_is_not() {
        let tokens = opened();
        tokens.granted("anna", digest("s"));
        for _ in 0..3 {
            tokio::time::advance(TTL - Duration::from_millis(1)).await;
            assert_eq!(tokens.user_of("s").as_deref(), Some("anna"));
        }
        tokio::time::advance(TTL).await;
        assert_eq!(tokens.user_of("s"), None);
        assert_eq!(tokens.user_of("another"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn tokens_end_with_the_password_the_user_and_authentication() {
        let tokens = opened();
        for (user, secret) in [("anna", "a1"), ("anna", "a2"), ("bert", "b")] {
            tokens.granted(user, digest(secret));
        }
        tokens.revoked("anna");
        assert_eq!([tokens.user_of("a1"), tokens.user_of("a2")], [None, None]);
        assert_eq!(tokens.user_of("b").as_deref(), Some("bert"));
        tokens.revoked_all();
        assert_eq!(tokens.user_of("b"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_start_finds_in_its_log_is_no_token_any_more() {
        let tokens = Tokens::<TokioRuntime>::new(TTL);
        tokens.granted("anna", digest("old"));
        tokens.open();
        tokens.granted("anna", digest("new"));
        assert_eq!(tokens.user_of("old"), None);
        assert!(tokens.user_of("new").is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_user_has_no_more_than_so_many_and_the_oldest_goes() {
        let tokens = opened();
        for number in 0..=MOST_OF_A_USER {
            tokens.granted("anna", digest(&number.to_string()));
        }
        assert_eq!(tokens.user_of("0"), None);
        assert!(tokens.user_of("1").is_some());
        assert_eq!(tokens.table.lock().tokens.len(), MOST_OF_A_USER);
        tokio::time::advance(TTL * 2).await;
        tokens.granted("anna", digest("last"));
        assert_eq!(tokens.table.lock().tokens.len(), 1);
    }

    #[test]
    fn secrets_are_letters_and_differ() {
        let (one, other) = (new_secret().unwrap(), new_secret().unwrap());
        assert!(one.len() == SECRET_LETTERS && one.bytes().all(|byte| LETTERS.contains(&byte)));
        assert_ne!(one, other);
    }
}
