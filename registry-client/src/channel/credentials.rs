//! Who the client is to the registry: a user with a password, a source of tokens, or what another client knows of that.
//! None of it is ever shown.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

#[cfg(feature = "etcd-client")]
use super::handed_over::HandedOver;

/// What a token's source answers with.
type TokenFuture = Pin<Box<dyn Future<Output = Result<String, Box<dyn StdError + Send + Sync>>> + Send>>;

/// Where tokens come from. Clones share the source.
#[derive(Clone)]
pub(crate) enum Credentials {
    /// Shown to the registry for a token.
    Password { user: String, password: Arc<str> },
    /// Makes tokens elsewhere, as for a registry that takes JWTs of an identity provider.
    Source(Arc<dyn Fn() -> TokenFuture + Send + Sync>),
    /// The client that was handed over, which keeps user and token to itself.
    #[cfg(feature = "etcd-client")]
    HandedOver(HandedOver),
}

impl Credentials {
    pub(crate) fn password(user: String, password: String) -> Self {
        Self::Password { user, password: password.into() }
    }

    pub(crate) fn source<F, R, E>(source: F) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<String, E>> + Send + 'static,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        Self::Source(Arc::new(move || {
            let made = source();
            Box::pin(async move { made.await.map_err(Into::into) })
        }))
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Password { user, .. } => {
                formatter.debug_struct("Password").field("user", user).finish_non_exhaustive()
            }
            Self::Source(_) => formatter.debug_struct("Source").finish_non_exhaustive(),
            #[cfg(feature = "etcd-client")]
            Self::HandedOver(client) => client.fmt(formatter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_shown() {
        let shown = format!("{:?}", Credentials::password("pay".to_owned(), "hunter2".to_owned()));
        assert!(shown.contains("pay") && !shown.contains("hunter2"), "{shown}");
    }
}
