//! Where the output of something that goes on is put: standard output, or above the line that somebody types there.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use super::{tell, written};
use crate::error::CtlError;

/// Where to.
#[derive(Clone)]
pub(crate) enum Outlet {
    /// Standard output.
    Stdout,
    /// Whoever prints above the line that is being edited; the text with the ends of its lines.
    Above(Arc<SyncSender<String>>),
}

impl Outlet {
    pub(super) fn put(&self, bytes: &[u8]) -> Result<(), CtlError> {
        match self {
            Self::Stdout => written(bytes),
            // If nobody edits any more, the program is about to end.
            Self::Above(printer) => {
                printer.send(String::from_utf8_lossy(bytes).into_owned()).ok();
                Ok(())
            }
        }
    }

    /// A line that is no result.
    pub(crate) fn tell(&self, line: &str) {
        match self {
            Self::Stdout => tell(line),
            Self::Above(printer) => {
                printer.send(format!("{line}\n")).ok();
            }
        }
    }
}

impl fmt::Debug for Outlet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Stdout => "Stdout",
            Self::Above(_) => "Above",
        })
    }
}
