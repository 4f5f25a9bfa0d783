//! Passwords: hashed and compared with bcrypt, which is slow on purpose, away from the threads that serve clients.
//!
//! So many are worked on at once, and so many wait; others are refused, so that a flood of logins neither takes all cores
//! nor grows. An unknown user costs as much as a known one, so that nobody finds out by the time it takes.

use std::sync::{Arc, OnceLock};

use tokio::sync::Semaphore;

use crate::types::Runtime;

/// bcrypt's cost unless another is set, as in etcd: about 50 ms.
pub const DEFAULT_COST: u32 = 10;
/// How many may wait.
const MOST_WAITING: usize = 64;

/// Works on passwords.
#[derive(Debug)]
pub struct Passwords {
    cost: u32,
    /// One for each who waits or is worked on.
    room: Arc<Semaphore>,
    /// One for each who is worked on.
    working: Arc<Semaphore>,
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
        Self {
            cost,
            room: Arc::new(Semaphore::new(at_once + MOST_WAITING)),
            working: Arc::new(Semaphore::new(at_once)),
            nobodys: Arc::default(),
        }
    }

    /// The hash of a new password.
    ///
    /// # Errors
    /// For one above 72 bytes, of which bcrypt would leave out the rest; and when too many wait.
    pub async fn hash<R: Runtime>(&self, password: String) -> Result<String, PasswordError> {
        let cost = self.cost;
        self.work::<R, _>(move || bcrypt::non_truncating_hash(password, cost)).await
    }

    /// Whether a password is the one of this hash; without a hash it is not, after the same time.
    ///
    /// # Errors
    /// When too many wait.
    pub async fn is_right<R: Runtime>(&self, password: String, hash: Option<String>) -> Result<bool, PasswordError> {
        let (cost, nobodys) = (self.cost, self.nobodys.clone());
        self.work::<R, _>(move || match hash {
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
        job: impl FnOnce() -> bcrypt::BcryptResult<T> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let room = self.room.clone().try_acquire_owned().map_err(|_| PasswordError::TooMany)?;
        let failed = |error: &dyn std::fmt::Display| PasswordError::Failed(error.to_string());
        let turn = self.working.clone().acquire_owned().await.map_err(|error| failed(&error))?;
        // Whoever goes away meanwhile leaves its turn to the next only when the work is done.
        let worked = R::spawn_blocking(move || {
            let answer = job();
            drop((turn, room));
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
    use futures_util::future::join_all;
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
            let is_right = passwords.is_right::<R>(password.to_owned(), hash.cloned()).await;
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
        let answers = join_all((0..200).map(|_| passwords.hash::<R>("p".to_owned()))).await;
        let refused = answers.iter().filter(|answer| **answer == Err(PasswordError::TooMany)).count();
        assert_eq!(refused, 200 - 1 - MOST_WAITING);
        assert!(passwords.hash::<R>("p".to_owned()).await.is_ok(), "there is room again");
    }
}
