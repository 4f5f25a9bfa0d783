//! Which server a cluster is made of.

use std::path::PathBuf;
use std::process::Command;

use crate::budget::SEGMENT_BYTES;
use crate::etcd;

/// What chooses it for a suite: `registry` (which is the default) or `etcd`.
const VARIABLE: &str = "CLUSTER_PROGRAM";

/// A server that takes etcd's flags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// The registry's server: `env!("CARGO_BIN_EXE_node")` in a suite.
    Registry(PathBuf),
    /// etcd 3.4, as Debian has it.
    Etcd,
}

impl Program {
    /// The server that the environment asks for with `CLUSTER_PROGRAM`: the registry's, which is `node`, or
    /// etcd; none, and a printed line, where etcd is wanted and not installed.
    ///
    /// # Panics
    /// When the environment asks for something else.
    #[must_use]
    pub fn of_suite(node: &str) -> Option<Self> {
        match std::env::var(VARIABLE).as_deref() {
            Err(_) | Ok("registry") => Some(Self::Registry(node.into())),
            Ok("etcd") => etcd::is_there().then_some(Self::Etcd),
            Ok(other) => panic!("{VARIABLE} is registry or etcd, and not {other:?}"),
        }
    }

    /// Whether it is the registry's, from which more may be asked.
    #[must_use]
    pub fn is_registry(&self) -> bool {
        matches!(self, Self::Registry(_))
    }

    /// A command that starts it with what only this one needs.
    pub(super) fn command(&self) -> Command {
        let mut command = match self {
            Self::Registry(program) => Command::new(program),
            Self::Etcd => Command::new(etcd::PATH),
        };
        command.env_clear();
        match self {
            Self::Registry(_) => command.arg(format!("--wal-segment-bytes={SEGMENT_BYTES}")),
            Self::Etcd => command.args(["--logger=zap", "--log-outputs=stderr"]),
        };
        command
    }
}
