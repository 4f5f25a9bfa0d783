//! `completion`: a script that has a shell complete this program's commands and flags.

use clap::{Args as ClapArgs, CommandFactory as _, ValueEnum};
use clap_complete::Shell as Script;

use crate::args::Args;
use crate::error::CtlError;
use crate::output::say;

const EXAMPLES: &str = "\
Examples:
  registryctl completion bash > /etc/bash_completion.d/registryctl
  registryctl completion zsh > ~/.zfunc/_registryctl
  registryctl completion fish > ~/.config/fish/completions/registryctl.fish";

/// Prints a script that completes commands and flags in a shell.
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Completion {
    /// The shell that the script is for.
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Shell {
    Bash,
    Elvish,
    Fish,
    Powershell,
    Zsh,
}

impl Completion {
    pub(crate) fn run(&self) -> Result<(), CtlError> {
        let shell = match self.shell {
            Shell::Bash => Script::Bash,
            Shell::Elvish => Script::Elvish,
            Shell::Fish => Script::Fish,
            Shell::Powershell => Script::PowerShell,
            Shell::Zsh => Script::Zsh,
        };
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Args::command(), "registryctl", &mut script);
        say(String::from_utf8_lossy(&script).trim_end())
    }
}
