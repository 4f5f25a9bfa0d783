//! `man`: manual pages, made of the same help that `--help` shows.

use std::path::PathBuf;

use clap::{Args as ClapArgs, CommandFactory as _};

use crate::args::Args;
use crate::error::CtlError;
use crate::examples;
use crate::output::say;

const EXAMPLES: &str = "\
Examples:
  registryctl man --out /usr/local/share/man/man1
  registryctl man --out . && man ./registryctl-get.1";

/// Writes manual pages, one for each command.
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Man {
    /// Folder for the pages; it is made if it is not there.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

impl Man {
    pub(crate) fn run(&self) -> Result<(), CtlError> {
        let failed = || CtlError::io(self.out.display().to_string());
        std::fs::create_dir_all(&self.out).map_err(failed())?;
        clap_mangen::generate_to(examples::everywhere(Args::command()), &self.out).map_err(failed())?;
        say(&format!("Manual pages written to {}", self.out.display()))
    }
}
