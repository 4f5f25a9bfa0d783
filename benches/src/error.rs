//! Why a measurement ended without figures.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tonic::Status;

/// Why there are no figures. A run with a single failed operation has none: its mean would describe nothing.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The load cannot be made as asked.
    #[error("{0}")]
    Load(String),
    /// The endpoint is not a plain `http://host:port`.
    #[error("{0}: give an endpoint as http://host:port")]
    Endpoint(String),
    /// No connection.
    #[error("cannot connect to {endpoint}: {reason}")]
    Connect {
        /// Where to.
        endpoint: String,
        /// What the system or the peer said.
        reason: String,
    },
    /// The SDK's client.
    #[error("a client: {0}")]
    Client(#[source] registry_client::Error),
    /// An operation was refused.
    #[error("{operation} failed: {:?}: {}", status.code(), status.message())]
    Operation {
        /// Which.
        operation: &'static str,
        /// The server's answer.
        #[source]
        status: Box<Status>,
    },
    /// An answer that the load cannot have: the wrong number of keys, a stream that ended.
    #[error("{operation}: {what}")]
    Answer {
        /// Which operation.
        operation: &'static str,
        /// What is wrong with it.
        what: String,
    },
    /// An open loop that the server cannot keep up with.
    #[error("the server does not keep up with {per_second} operations a second: {done} of {wanted} done in {after:?}")]
    Overloaded {
        /// The rate asked for.
        per_second: f64,
        /// Operations begun.
        done: u64,
        /// Operations that should have been.
        wanted: u64,
        /// Since the beginning.
        after: Duration,
    },
    /// A server that did not come up.
    #[error("{program} did not serve within {after:?}; the end of its log:\n{log}")]
    NotServing {
        /// Its path.
        program: PathBuf,
        /// How long it was given, or ran.
        after: Duration,
        /// Its last lines.
        log: String,
    },
    /// A server that did not end when it was told to.
    #[error("{program} did not end within {after:?}")]
    NotEnding {
        /// Its path.
        program: PathBuf,
        /// How long it was given.
        after: Duration,
    },
    /// Rows of a comparison without figures; each was told with its reason.
    #[error("no figures for {}", .0.join(", "))]
    Incomplete(Vec<String>),
    /// A signal.
    #[error("interrupted")]
    Interrupted,
    /// Files, processes, threads.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl BenchError {
    pub(crate) fn operation(operation: &'static str) -> impl Fn(Status) -> Self {
        move |status| Self::Operation { operation, status: Box::new(status) }
    }

    pub(crate) fn answer(operation: &'static str, what: impl Into<String>) -> Self {
        Self::Answer { operation, what: what.into() }
    }

    pub(crate) fn system(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::System { what, source }
    }
}
