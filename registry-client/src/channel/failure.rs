//! What a status means for the next step: the one place where gRPC codes are read.

use std::error::Error as _;

use tonic::{Code, Status};

use super::ChannelError;
use super::refusal::wants_user;
use crate::error::Error;

/// Why a call failed, as far as the next step depends on it.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) error: Error,
    /// The registry may have carried the call out all the same.
    pub(crate) maybe_done: bool,
}

/// Turns a status into an error of the SDK, and says whether the call may have been carried out.
pub(crate) fn failure(status: &Status) -> Failure {
    let mut source = status.source();
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<ChannelError>() {
            let maybe_done = matches!(error, ChannelError::Broken(..));
            let error = match error {
                ChannelError::NotLoggedIn(error) => error.clone(),
                error => Error::Unavailable { message: error.to_string() },
            };
            return Failure { error, maybe_done };
        }
        source = error.source();
    }
    let mut message = status.message().to_owned();
    if wants_user(status) {
        message.push_str("; the registry asks who calls: give a user with RegistryBuilder::auth");
    }
    match status.code() {
        Code::Unavailable
        | Code::DeadlineExceeded
        | Code::Cancelled
        | Code::Unknown
        | Code::Internal
        | Code::Aborted
        | Code::DataLoss => Failure { error: Error::Unavailable { message }, maybe_done: true },
        // Too many requests, or no space: both pass. A message above the server's limit does not.
        Code::ResourceExhausted if !message.contains("larger than max") => {
            Failure { error: Error::Unavailable { message }, maybe_done: false }
        }
        code => Failure { error: Error::Refused { code: format!("{code:?}"), message }, maybe_done: false },
    }
}

impl Failure {
    /// A call that had no answer in time.
    pub(crate) fn timeout() -> Self {
        let message = format!("no answer within {:?}", super::CALL_LIMIT);
        Self { error: Error::Unavailable { message }, maybe_done: true }
    }
}
