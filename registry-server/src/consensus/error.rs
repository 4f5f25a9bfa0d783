//! Why a proposal or a read failed, and why a node does not start.

/// A node cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum ConsensusError {
    /// openraft refused its settings.
    #[error("raft settings: {0}")]
    Settings(#[from] openraft::ConfigError),
    /// openraft stopped.
    #[error("raft: {0}")]
    Raft(String),
    /// Files of the node.
    #[error(transparent)]
    Storage(#[from] std::io::Error),
    /// What is in the files.
    #[error(transparent)]
    Restore(#[from] super::RestoreError),
}

/// A proposal was not applied, or nobody knows whether it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Too many proposals wait already; nothing happened.
    #[error("too many requests")]
    TooManyRequests,
    /// The command is larger than the log takes; nothing happened.
    #[error("request is too large")]
    TooLarge,
    /// No leader is known; nothing happened.
    #[error("no leader")]
    NoLeader,
    /// The leader changed while the proposal was under way: it may or may not have happened.
    #[error("leader changed")]
    LeaderChanged,
    /// No outcome within the request timeout: it may or may not have happened.
    #[error("request timed out")]
    TimedOut,
    /// The log has no room; nothing happened.
    #[error("no space left for the log")]
    NoSpace,
    /// The node is stopping: it may or may not have happened.
    #[error("server stopped")]
    Stopped,
}

/// A linearizable read could not be confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// No leader confirmed the read.
    #[error("no leader")]
    NoLeader,
    /// No confirmation within the request timeout.
    #[error("request timed out")]
    TimedOut,
    /// Too many reads wait already.
    #[error("too many requests")]
    TooManyRequests,
    /// The node is stopping.
    #[error("server stopped")]
    Stopped,
}
