//! Passwords: hashed and compared with bcrypt, which is slow on purpose, away from the threads that serve clients.
//!
//! So many are worked on at once, and so many wait; others are refused, so that a flood of logins neither takes all cores
//! nor grows. Users take `turns`, so that a flood under one name leaves the others alone. An unknown user costs as much as a
//! known one, so that nobody finds out by the time it takes; only while names that nobody has flood this member, one that
//! somebody has can be told from them, as those share one user's turns: else whoever makes up names would keep all others out.

use std::sync::{Arc, OnceLock};

use super::turns::Turns;
use crate::types::Runtime;

/// bcrypt's cost unless another is set, as in etcd: about 50 ms.
pub const DEFAULT_COST: u32 = 10;
/// How many may wait; of one user half of them at most.
const MOST_WAITING: usize = 128;
/// Whose work the hashing of new passwords is: that of whoever may set them. No user has this name.
const SETTING: &str = "\0set";
/// Whose work it is when somebody names a user that is not there. All such names take one user's turns.
const NOBODYS: &str = "\0nobody";

/// Works on passwords.
#[derive(Debug)]
pub struct Passwords {
    cost: u32,
    turns: Turns,
    /// The hash that is compared for users who have none.
    nobodys: Arc<OnceLock<String>>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the texts say what each means")]
pub enum PasswordError {
    #[error("too many passwords wait to be looked at")]
    TooMany,
    #[error("a password has at most 72 bytes")]
    TooLong,
    #[error("the password could not be worked on: {0}")]
    Failed(String),
}

impl Passwords {
    /// With bcrypt's cost, from 4 to 31, and on so many threads at once.
    #[must_use]
    pub fn new(cost: u32, at_once: usize) -> Self {
        let at_once = at_once.max(1);
        Self { cost, turns: Turns::new(at_once, MOST_WAITING), nobodys: Arc::default() }
    }

    /// The hash of a new password.
    ///
    /// # Errors
    /// For one above 72 bytes, of which bcrypt would leave out the rest; and when too many wait.
    pub async fn hash<R: Runtime>(&self, password: String) -> Result<String, PasswordError> {
        let cost = self.cost;
        self.work::<R, _>(SETTING, move || bcrypt::non_truncating_hash(password, cost)).await
    }

    /// Whether a password is the one of a user's hash; without a hash it is not, after the same time. Users take turns.
    ///
    /// # Errors
    /// When too many wait.
    pub async fn is_right<R: Runtime>(
        &self,
        user: &str,
        password: String,
        hash: Option<String>,
    ) -> Result<bool, PasswordError> {
        let user = if hash.is_some() { user } else { NOBODYS };
        let (cost, nobodys) = (self.cost, self.nobodys.clone());
        self.work::<R, _>(user, move || match hash {
            Some(hash) => bcrypt::verify(password, &hash),
            None => {
                let hash = nobodys.get_or_init(|| bcrypt::hash("", cost).unwrap_or_default());
                bcrypt::verify(password, hash).map(|_| false)
            }
        })
        .await
    }

    async fn work<R: Runtime, T: Send + 'static>(
        &self,
        whose: &str,
        job: impl FnOnce() -> bcrypt::BcryptResult<T> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let turn = self.turns.take(whose).await.map_err(|_| PasswordError::TooMany)?;
        let failed = |error: &dyn std::fmt::Display| PasswordError::Failed(error.to_string());
        // Whoever goes away meanwhile leaves its turn to the next only when the work is done.
        let worked = R::spawn_blocking(move || {
            let answer = job();
            drop(turn);
            answer
        });
        match worked.await.map_err(|error| failed(&error))? {
            Ok(answer) => Ok(answer),
            Err(bcrypt::BcryptError::Truncation(_)) => Err(PasswordError::TooLong),
            Err(error) => Err(failed(&error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use futures_util::future::join_all;
    use futures_util::stream::FuturesUnordered;
    use openraft::impls::TokioRuntime as R;

    use super::*;

    #[tokio::test]
    async fn a_password_is_known_by_its_hash_and_nobody_has_one() {
        let passwords = Passwords::new(4, 1);
        let hash = passwords.hash::<R>("secret".to_owned()).await.unwrap();
        assert!(hash.starts_with("$2b$04$") && !hash.contains("secret"), "{hash}");
        for (password, hash, expected) in
            [("secret", Some(&hash), true), ("other", Some(&hash), false), ("", None, false), ("secret", None, false)]
        {
            let is_right = passwords.is_right::<R>("anna", password.to_owned(), hash.cloned()).await;
            assert_eq!(is_right, Ok(expected), "{password:?} {hash:?}");
        }
    }

    #[tokio::test]
    async fn what_bcrypt_would_leave_out_is_refused() {
        let passwords = Passwords::new(4, 1);
        assert!(passwords.hash::<R>("x".repeat(71)).await.is_ok());
        assert_eq!(passwords.hash::<R>("x".repeat(100)).await, Err(PasswordError::TooLong));
    }

    #[tokio::test]
    async fn a_flood_is_refused_and_not_kept_waiting() {
        let passwords = Passwords::new(4, 1);
        // The one at work is not done before all others have come.
        let (release, released) = std::sync::mpsc::channel::<()>();
        let at_work = passwords.work::<R, _>(SETTING, move || {
            released.recv().ok();
            Ok(())
        });
        let mut at_work = Box::pin(at_work);
        assert!(futures_util::poll!(&mut at_work).is_pending());
        let mut others: FuturesUnordered<_> = (0..199).map(|_| passwords.hash::<R>("p".to_owned())).collect();
        for _ in 0..199 - MOST_WAITING / 2 {
            assert_eq!(others.next().await, Some(Err(PasswordError::TooMany)));
        }
        release.send(()).unwrap();
        assert_eq!(at_work.await, Ok(()));
        let waited: Vec<_> = others.collect().await;
        assert_eq!(waited.len(), MOST_WAITING / 2);
        assert!(waited.iter().all(Result::is_ok), "{waited:?}");
        assert!(passwords.hash::<R>("p".to_owned()).await.is_ok(), "there is room again");
    }

    /// At bcrypt's cost here a wrong login takes a millisecond or so: the right one must not wait for 64 of them.
    #[tokio::test]
    async fn a_flood_of_logins_under_one_name_neither_refuses_nor_holds_up_another() {
        let passwords = Passwords::new(4, 1);
        let hash = passwords.hash::<R>("secret".to_owned()).await.unwrap();
        let ended = std::sync::atomic::AtomicUsize::new(0);
        let wrong = |name: &'static str| {
            let (passwords, hash, ended) = (&passwords, hash.clone(), &ended);
            async move {
                // A name that exists, and any number that do not.
                let hash = (name == "root").then_some(hash);
                let answer = passwords.is_right::<R>(name, "guess".to_owned(), hash).await;
                ended.fetch_add(usize::from(answer.is_ok()), std::sync::atomic::Ordering::Relaxed);
            }
        };
        let names = ["root", "a", "b", "c"];
        let flood = join_all((0..400).map(|number| wrong(names[number % names.len()])));
        let right = async {
            let answer = passwords.is_right::<R>("anna", "secret".to_owned(), Some(hash.clone())).await;
            (answer, ended.load(std::sync::atomic::Ordering::Relaxed))
        };
        let (_, (answer, before)) = futures_util::join!(flood, right);
        assert_eq!(answer, Ok(true));
        assert!(before <= 5, "{before} wrong logins came first");
    }
}
