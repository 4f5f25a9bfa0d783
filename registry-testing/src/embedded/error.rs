//! What can go wrong with a registry for tests.

use std::io;

use registry_server::server::{RunError, StartError};

/// Why a [`super::TestRegistry`] did not do what it was told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TestingError {
    /// A member does not start.
    #[error("a member does not start")]
    Start(#[from] StartError),
    /// A member had failed when it was stopped.
    #[error("a member had failed")]
    Failed(#[from] RunError),
    /// Directories, ports, threads.
    #[error("{what}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A call to the registry was refused.
    #[error("{call} was refused: {message}")]
    Call {
        /// The RPC, verbatim.
        call: &'static str,
        /// The registry's words.
        message: String,
    },
    /// There is no key of which something was to be done, or it is under no lease.
    #[error("there is no key {0:?} under a lease")]
    NoLease(String),
    /// Leadership needs somebody to go to.
    #[error("there is nobody else to lead: use `TestRegistry::start_cluster`")]
    OneMember,
    /// No member leads, or another does not take over, within 15 s.
    #[error("the members have no leader, or keep the one they have")]
    NoLeader,
    /// There is no such member.
    #[error("there is no member {0}: they count from 0")]
    NoMember(usize),
}

impl TestingError {
    pub(super) fn system(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { what, source }
    }

    pub(super) fn call(call: &'static str) -> impl FnOnce(tonic::Status) -> Self {
        move |status| Self::Call { call, message: status.message().to_owned() }
    }
}
