//! Why a command failed, in the words that etcdctl has for it where it has any.

use std::io::ErrorKind;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitCode, ExitStatus};

use tonic::{Code, Status};

/// How errors name it.
pub(crate) const STDOUT: &str = "standard output";

/// What ends a command.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CtlError {
    /// The arguments do not go together; the text says what to change.
    #[error("{0}")]
    Arguments(String),
    /// None of the endpoints could be connected to: each, with its reason.
    #[error("no endpoint can be reached: {0}")]
    Unreachable(String),
    /// A file or standard input.
    #[error("{what}: {source}")]
    Io {
        /// What was read or written.
        what: String,
        /// Why not.
        source: std::io::Error,
    },
    /// The server's answer.
    #[error("{}", told(.0))]
    Status(Box<Status>),
    /// The server's answer, to a command that says more.
    #[error("{what} ({})", told(.status))]
    Failed {
        /// What failed.
        what: &'static str,
        /// The server's answer.
        status: Box<Status>,
    },
    /// An answer that cannot be what it should.
    #[error("the server's answer cannot be read: {0}")]
    Answer(String),
    /// A file of etcd's, or what it is to be made of.
    #[error("{0}")]
    File(String),
    /// The program that was run.
    #[error("the program ended with {0}")]
    Ended(ExitStatus),
    /// What the registry's own commands ran into; the text says what to do about it.
    #[error("{0}")]
    Registry(String),
    /// What was found is printed already; this is what it comes to.
    #[error("{0}")]
    Unhealthy(&'static str),
}

impl CtlError {
    /// etcdctl's exit codes: 128 for arguments, 2 for the connection, that of a program that was run (as in shells 128 and the
    /// signal's number, if one ended it), else 1.
    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Arguments(_) => 128,
            Self::Unreachable(_) => 2,
            Self::Ended(status) => {
                let code = status.code().or(status.signal().map(|signal| 128 + signal));
                code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
            }
            _ => 1,
        })
    }

    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    /// What the file formats' crate says names the file and the mend.
    pub(crate) fn files(error: impl std::error::Error) -> Self {
        Self::File(error.to_string())
    }

    /// Standard output was closed by who read it.
    pub(crate) fn is_nobody_reading(&self) -> bool {
        matches!(self, Self::Io { what, source } if what == STDOUT && source.kind() == ErrorKind::BrokenPipe)
    }

    /// An error of the server that `what` was asked of.
    pub(crate) fn failed(what: &'static str) -> impl Fn(Status) -> Self {
        move |status| Self::Failed { what, status: Box::new(status) }
    }
}

impl From<Status> for CtlError {
    fn from(status: Status) -> Self {
        Self::Status(Box::new(status))
    }
}

/// etcd's own errors as they are; of others the code as well, as Go's clients tell it.
fn told(status: &Status) -> String {
    let message = status.message();
    match status.code() {
        Code::DeadlineExceeded => "context deadline exceeded".to_owned(),
        _ if message.starts_with("etcdserver: ") => message.to_owned(),
        code => format!("rpc error: code = {code:?} desc = {message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_server_are_told_as_etcdctl_tells_them() {
        let told = |code, text: &str| CtlError::from(Status::new(code, text)).to_string();
        assert_eq!(told(Code::InvalidArgument, "etcdserver: key is not provided"), "etcdserver: key is not provided");
        assert_eq!(told(Code::Unavailable, "gone"), "rpc error: code = Unavailable desc = gone");
        assert_eq!(told(Code::DeadlineExceeded, "Timeout expired"), "context deadline exceeded");
        let failed =
            CtlError::failed("failed to revoke lease")(Status::not_found("etcdserver: requested lease not found"));
        assert_eq!(failed.to_string(), "failed to revoke lease (etcdserver: requested lease not found)");
    }
}
