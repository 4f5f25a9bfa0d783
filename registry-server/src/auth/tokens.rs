//! The simple tokens that this member knows: whose each is, and until when.
//!
//! Every member learns of a token by an entry of the log, and forgets it by its own clock when nobody has shown it for its
//! TTL. Nothing of them is in a snapshot: whoever gets one forgets all, as it does not know which have ended. And what a start
//! finds in its log is not taken up again. After either a client logs in anew; etcd revives what had ended.
//!
//! Whoever never comes back leaves its tokens to a sweep, which looks at some of all at a time.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
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
/// What a sweep looks at under one lock: about 50 us.
const SWEPT_AT_ONCE: usize = 256;
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
    /// In an order in which a sweep can go on where it was.
    tokens: BTreeMap<Digest, Token<I>>,
    /// Each user's, by the order in which they were granted; of users who have one.
    by_user: HashMap<Arc<str>, BTreeMap<u64, Digest>>,
    granted: u64,
}

struct Token<I> {
    user: Arc<str>,
    /// Its place among all that were granted.
    number: u64,
    ends: I,
}

impl<I> Table<I> {
    fn remove(&mut self, digest: &Digest) {
        let Some(token) = self.tokens.remove(digest) else { return };
        if let Some(of_user) = self.by_user.get_mut(&token.user) {
            of_user.remove(&token.number);
            if of_user.is_empty() {
                self.by_user.remove(&token.user);
            }
        }
    }
}

impl<R: Runtime> Tokens<R> {
    /// No token yet, and none that the log brings is taken up before [`Tokens::open`].
    #[must_use]
    pub fn new(ttl: Duration) -> Self {
        let table = Table { is_open: false, tokens: BTreeMap::new(), by_user: HashMap::new(), granted: 0 };
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
            table.remove(&digest);
            return None;
        }
        token.ends = now + self.ttl;
        Some(token.user.clone())
    }

    /// Forgets tokens that have ended, once a TTL; never returns.
    pub async fn sweep(&self) {
        loop {
            R::sleep(self.ttl.max(Duration::from_secs(1))).await;
            let mut after = None;
            while let Some(last) = self.sweep_some(after) {
                after = Some(last);
                // Whoever shows a token or gets one comes in between.
                R::sleep(Duration::from_millis(1)).await;
            }
        }
    }

    /// Looks at some tokens behind the one with this digest, and tells the last of them; none when there are no more.
    fn sweep_some(&self, after: Option<Digest>) -> Option<Digest> {
        let now = InstantOf::<R>::now();
        let mut table = self.table.lock();
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let some = || table.tokens.range((from, Bound::Unbounded)).take(SWEPT_AT_ONCE);
        let last = some().last().map(|(digest, _)| *digest);
        let ended: Vec<_> = some().filter(|(_, token)| token.ends <= now).map(|(digest, _)| *digest).collect();
        ended.iter().for_each(|digest| table.remove(digest));
        last
    }
}

impl<R: Runtime> TokenObserver for Tokens<R> {
    fn granted(&self, user: &str, digest: Digest) {
        let now = InstantOf::<R>::now();
        let mut table = self.table.lock();
        if !table.is_open {
            return;
        }
        // The same token twice would be of two users.
        table.remove(&digest);
        let user: Arc<str> = user.into();
        table.granted += 1;
        let number = table.granted;
        let of_user = table.by_user.entry(user.clone()).or_default();
        of_user.insert(number, digest);
        let oldest = if of_user.len() > MOST_OF_A_USER { of_user.first_key_value().map(|(_, it)| *it) } else { None };
        table.tokens.insert(digest, Token { user, number, ends: now + self.ttl });
        if let Some(oldest) = oldest {
            table.remove(&oldest);
        }
    }

    fn revoked(&self, user: &str) {
        let mut table = self.table.lock();
        for digest in table.by_user.remove(user).unwrap_or_default().values() {
            table.tokens.remove(digest);
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
    }

    #[tokio::test(start_paused = true)]
    async fn users_who_never_come_back_leave_nothing() {
        let tokens = Arc::new(opened());
        let sweeping = tokens.clone();
        tokio::spawn(async move { sweeping.sweep().await });
        for number in 0..3 * SWEPT_AT_ONCE {
            tokens.granted(&format!("user {}", number % 7), digest(&number.to_string()));
        }
        tokio::time::sleep(TTL / 2).await;
        tokens.granted("anna", digest("s"));
        let left = || {
            let table = tokens.table.lock();
            (table.tokens.len(), table.by_user.len(), table.by_user.values().map(BTreeMap::len).sum::<usize>())
        };
        assert_eq!(left(), (3 * SWEPT_AT_ONCE + 1, 8, 3 * SWEPT_AT_ONCE + 1));
        tokio::time::sleep(TTL * 3 / 4).await;
        assert_eq!(left(), (1, 1, 1), "who came later has its token still");
        assert!(tokens.user_of("s").is_some());
        tokio::time::sleep(TTL * 2).await;
        assert_eq!(left(), (0, 0, 0));
    }

    #[test]
    fn secrets_are_letters_and_differ() {
        let (one, other) = (new_secret().unwrap(), new_secret().unwrap());
        assert!(one.len() == SECRET_LETTERS && one.bytes().all(|byte| LETTERS.contains(&byte)));
        assert_ne!(one, other);
    }
}
