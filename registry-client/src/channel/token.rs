//! The token that calls carry: one task asks for it, however many calls wait, and asks again when one was refused.
//!
//! [`Tokens`] is the calls' side. What they carry has a number, so that a token which was replaced meanwhile is not
//! refused twice. A registry may also say nothing: etcd waits for the revision at which a token was made, for ever if it
//! is another cluster now, or one that was restored. So a token is given up, too, when a call with it has no answer on a
//! connection on which none had. While the registry knows no users, calls carry none. A user whom the registry refuses makes calls fail at
//! once; it is asked again with growing pauses, as operators mend that without telling anybody.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use http::HeaderValue;
use registry_proto::etcdserverpb::AuthenticateRequest;
use registry_proto::etcdserverpb::auth_client::AuthClient;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};
use tonic::{Code, Status};

use super::credentials::Credentials;
use super::refusal::{is_not_enabled, refuses_password};
use super::{Channel, ChannelError, Untokened, failure};
use crate::backoff::Delays;
use crate::error::Error;
use crate::meters;

/// Passwords are hashed slowly on purpose, and many clients may ask at once.
const ASK_LIMIT: Duration = Duration::from_secs(10);
/// What is given up earlier was not given up for want of an answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// A token that served for this long was not refused because it never was any good.
const LONG_LIVED: Duration = Duration::from_secs(10);

/// What calls carry from some moment on.
#[derive(Debug, Clone)]
pub(super) struct Token {
    /// Grows with each answer of the registry, 1 for the first.
    pub(super) number: u64,
    /// None while the registry knows no users.
    pub(super) value: Option<HeaderValue>,
}

/// In the answers to calls: which token they carried.
#[derive(Debug, Clone, Copy)]
pub(super) struct TokenNumber(pub(super) u64);

#[derive(Debug, Default)]
struct Standing {
    held: Option<Token>,
    /// When the connection was opened on which a call with the token was last answered.
    accepted_on: Option<Instant>,
    /// How often it was asked for a token.
    asked: u64,
    /// How the last time went, unless there was a token.
    failure: Option<Error>,
    /// It is not asked again yet.
    pausing: bool,
}

/// The calls' side of the one task. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Tokens {
    standing: Arc<watch::Sender<Standing>>,
    wanted: Arc<Notify>,
}

impl Tokens {
    pub(super) fn new() -> Self {
        Self { standing: Arc::new(watch::Sender::new(Standing::default())), wanted: Arc::default() }
    }

    /// The token, asked for if there is none. Dropping the future takes nothing back.
    pub(super) async fn current(&self) -> Result<Token, ChannelError> {
        let mut standing = self.standing.subscribe();
        let before = {
            let now = standing.borrow_and_update();
            match (&now.held, &now.failure) {
                (Some(token), _) => return Ok(token.clone()),
                (None, Some(error)) if now.pausing => return Err(ChannelError::NotLoggedIn(error.clone())),
                (None, _) => now.asked,
            }
        };
        self.wanted.notify_one();
        let answered = standing.wait_for(|now| now.held.is_some() || now.asked > before).await;
        let now = answered.map_err(|_| ChannelError::NotSent("the client is closed".to_owned()))?;
        match (&now.held, &now.failure) {
            (Some(token), _) => Ok(token.clone()),
            (None, Some(error)) => Err(ChannelError::NotLoggedIn(error.clone())),
            // It was refused again before this task looked.
            (None, None) => Err(ChannelError::TokenRefused("by the time it could be used".to_owned())),
        }
    }

    /// The token of that number is no good; the next call asks for another.
    pub(super) fn refuse(&self, number: u64) {
        self.standing.send_if_modified(|now| now.held.take_if(|held| held.number == number).is_some());
    }

    /// A call with the token goes out on a connection of that time.
    pub(super) fn send_on(&self, number: u64, opened_at: Instant) -> Unanswered<'_> {
        Unanswered { tokens: self, number, opened_at, sent_at: Instant::now(), answered: false }
    }

    fn accept(&self, number: u64, opened_at: Instant) {
        self.standing.send_if_modified(|now| {
            if now.held.as_ref().is_some_and(|held| held.number == number) {
                now.accepted_on = Some(opened_at);
            }
            // Nobody waits for that.
            false
        });
    }

    /// Calls carry another token now than the one of that number, or will.
    pub(super) fn is_replaced(&self, number: u64) -> bool {
        self.standing.borrow().held.as_ref().is_none_or(|held| held.number != number)
    }
}

/// A call with a token that has no answer yet. Dropped without one, after some time, it may have been the token's fault.
pub(super) struct Unanswered<'a> {
    tokens: &'a Tokens,
    number: u64,
    opened_at: Instant,
    sent_at: Instant,
    answered: bool,
}

impl Unanswered<'_> {
    /// The connection broke, or there is an answer; with whether it took the token.
    pub(super) fn answered(mut self, accepted: bool) {
        self.answered = true;
        if accepted {
            self.tokens.accept(self.number, self.opened_at);
        }
    }
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        let worked_before = self.tokens.standing.borrow().accepted_on == Some(self.opened_at);
        if !self.answered && !worked_before && self.sent_at.elapsed() > PATIENCE {
            self.tokens.refuse(self.number);
        }
    }
}

/// Asks for tokens as long as it is polled.
pub(super) async fn provide(tokens: Tokens, credentials: Credentials, channel: Channel) {
    let (mut pauses, mut number) = (Delays::random(), 0);
    // Whoever refuses each new token at once must not be asked in a circle.
    let mut not_before = Instant::now();
    loop {
        tokens.wanted.notified().await;
        if tokens.standing.borrow().held.is_some() {
            continue;
        }
        if not_before.elapsed() > LONG_LIVED {
            pauses = Delays::random();
        }
        tokio::time::sleep_until(not_before).await;
        let answer = ask_unharmed(&credentials, &channel).await;
        not_before = Instant::now() + pauses.next();
        meters::logged_in(&answer);
        let failed = answer.as_ref().err().cloned();
        number += u64::from(failed.is_none());
        tokens.standing.send_modify(|now| {
            now.asked += 1;
            now.pausing = failed.is_some();
            now.failure.clone_from(&failed);
            now.held = answer.ok().map(|value| Token { number, value });
        });
        match failed {
            Some(error) => {
                tracing::warn!(%error, "no token; trying again");
                tokio::time::sleep_until(not_before).await;
                tokens.standing.send_modify(|now| now.pausing = false);
            }
            None => tracing::debug!(number, "calls carry a new token"),
        }
    }
}

/// As `ask`, also where the user's source of tokens panics: the one task that asks for tokens has to go on. What is
/// dropped for want of time may panic, too.
async fn ask_unharmed(credentials: &Credentials, channel: &Channel) -> Result<Option<HeaderValue>, Error> {
    let asked = AssertUnwindSafe(ask(credentials, channel)).catch_unwind().await;
    asked.unwrap_or_else(|_| Err(Error::Unavailable { message: "the source of tokens has panicked".to_owned() }))
}

/// A token, or none when the registry knows no users.
async fn ask(credentials: &Credentials, channel: &Channel) -> Result<Option<HeaderValue>, Error> {
    let asked = async {
        match credentials {
            Credentials::Password { user, password } => authenticate(channel, user, password).await,
            Credentials::Source(source) => source()
                .await
                .map(Some)
                .map_err(|error| Error::Unavailable { message: format!("the source of tokens has none: {error}") }),
            #[cfg(feature = "etcd-client")]
            Credentials::HandedOver(client) => client.log_in().await,
        }
    };
    let called_at = Instant::now();
    let Ok(answer) = timeout(ASK_LIMIT, asked).await else {
        channel.condemn(called_at);
        return Err(Error::Unavailable { message: format!("no token within {ASK_LIMIT:?}") });
    };
    answer?.map(header).transpose()
}

async fn authenticate(channel: &Channel, user: &str, password: &str) -> Result<Option<String>, Error> {
    let called_at = Instant::now();
    let request = AuthenticateRequest { name: user.to_owned(), password: password.to_owned() };
    match AuthClient::new(Untokened(channel.clone())).authenticate(request).await {
        Ok(answer) => Ok(Some(answer.into_inner().token)),
        Err(status) if is_not_enabled(&status) => Ok(None),
        Err(status) if refuses_password(&status) => Err(refused(user, &status)),
        Err(status) => {
            if status.code() == Code::Unavailable {
                channel.condemn(called_at);
            }
            Err(failure(&status).error)
        }
    }
}

fn refused(user: &str, status: &Status) -> Error {
    let message = format!("{} (user {user:?}): correct what RegistryBuilder::auth is given", status.message());
    Error::Refused { code: format!("{:?}", status.code()), message }
}

fn header(token: String) -> Result<HeaderValue, Error> {
    let unusable = |_| Error::Setting("the token holds characters that no header can: give printable ASCII".to_owned());
    let mut value = HeaderValue::try_from(token).map_err(unusable)?;
    value.set_sensitive(true);
    Ok(value)
}
