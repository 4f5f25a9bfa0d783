//! Lines of standard input: as they are from a file or a pipe; edited, and remembered for the next time, where somebody types.
//!
//! Remembered is only what the command has understood, and no line that begins with a space. Passwords are never read here.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, IsTerminal, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc as blocking;

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use rustyline::error::ReadlineError;
use rustyline::{Config, DefaultEditor, ExternalPrinter as _};
use tokio::sync::mpsc;

use crate::error::CtlError;
use crate::output::Outlet;

/// Lines that were entered and not looked at yet; who enters more waits.
const ENTERED: usize = 16;
/// Lines that are kept in the file.
const REMEMBERED: usize = 1_000;

/// What reads lines, one after the other.
pub(super) enum Input {
    /// From a file or a pipe.
    Plain,
    /// From a terminal, with the file of what was entered before, if there is a place for one.
    Edited(Box<DefaultEditor>, Option<PathBuf>),
}

impl Input {
    /// Edited if standard input and output are a terminal.
    pub(super) fn open() -> Self {
        if !(io::stdin().is_terminal() && io::stdout().is_terminal()) {
            return Self::Plain;
        }
        let config = Config::builder().history_ignore_space(true).max_history_size(REMEMBERED);
        let Ok(mut editor) = config.and_then(|config| DefaultEditor::with_config(config.build())) else {
            return Self::Plain;
        };
        let file = history_file(&|name| std::env::var_os(name).map(PathBuf::from)).filter(|file| prepare(file).is_ok());
        if let Some(file) = &file {
            editor.load_history(file).ok();
        }
        Self::Edited(Box::new(editor), file)
    }

    /// The next line; none at the end. It waits for whoever types, and fails as interrupted if that is asked for.
    pub(super) fn line(&mut self, prompt: &str) -> io::Result<Option<String>> {
        match self {
            Self::Plain => {
                let mut line = String::new();
                let read = io::stdin().read_line(&mut line)?;
                Ok((read > 0).then(|| line.trim_end_matches(['\r', '\n']).to_owned()))
            }
            Self::Edited(editor, _) => match editor.readline(prompt) {
                Ok(line) => Ok(Some(line)),
                Err(ReadlineError::Eof) => Ok(None),
                Err(ReadlineError::Interrupted) => Err(io::ErrorKind::Interrupted.into()),
                Err(ReadlineError::Io(error)) => Err(error),
                Err(error) => Err(io::Error::other(error.to_string())),
            },
        }
    }

    /// Has the next session know a line that was understood.
    pub(super) fn remember(&mut self, line: &str) {
        if let Self::Edited(editor, file) = self
            && !line.trim().is_empty()
            && editor.add_history_entry(line).unwrap_or(false)
            && let Some(file) = file
        {
            // What cannot be kept is gone with the program, and no reason to fail.
            editor.append_history(file).ok();
        }
    }
}

/// Beside the state of other programs, as the XDG base directories have it.
fn history_file(environment: &dyn Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let absolute = |path: &PathBuf| path.is_absolute();
    let state = environment("XDG_STATE_HOME").filter(absolute);
    let state = state.or_else(|| Some(environment("HOME").filter(absolute)?.join(".local/state")))?;
    Some(state.join("registryctl/history"))
}

/// The file is there, and nobody else may read it.
fn prepare(file: &Path) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    OpenOptions::new().append(true).create(true).mode(0o600).open(file).map(drop)
}

/// Lines as they come, while other things go on.
pub(super) struct Lines {
    lines: mpsc::Receiver<io::Result<String>>,
    outlet: Outlet,
    /// How the terminal was: the thread that edits may be at it when the program ends.
    before: Option<Termios>,
}

impl Lines {
    /// `understands` says which lines to remember.
    pub(super) fn open(prompt: &'static str, understands: fn(&str) -> bool) -> Self {
        let before = tcgetattr(io::stdin()).ok();
        let mut input = Input::open();
        let outlet = outlet(&mut input);
        let is_edited = matches!(input, Input::Edited(..));
        let (entered, lines) = mpsc::channel(ENTERED);
        // It waits for a line when the program ends, which it cannot hold up.
        std::thread::spawn(move || {
            while let Some(line) = input.line(prompt).transpose() {
                match &line {
                    Ok(line) if understands(line) => input.remember(line),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => return,
                    _ => {}
                }
                if entered.blocking_send(line).is_err() {
                    return;
                }
            }
        });
        Self { lines, outlet, before: before.filter(|_| is_edited) }
    }

    /// The next line; none at the end. Dropping the future loses no line.
    pub(super) async fn next(&mut self) -> Result<Option<String>, CtlError> {
        self.lines.recv().await.transpose().map_err(CtlError::io("standard input"))
    }

    /// Where to print while lines are entered.
    pub(super) fn outlet(&self) -> Outlet {
        self.outlet.clone()
    }

    /// Somebody types the lines, and their end is the end of all.
    pub(super) fn are_typed(&self) -> bool {
        self.before.is_some()
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            tcsetattr(io::stdin(), OptionalActions::Now, before).ok();
        }
    }
}

/// A thread that prints above the line, as that may wait for the terminal.
fn outlet(input: &mut Input) -> Outlet {
    let Input::Edited(editor, _) = input else { return Outlet::Stdout };
    let Ok(mut printer) = editor.create_external_printer() else { return Outlet::Stdout };
    let (printed, texts) = blocking::sync_channel::<String>(ENTERED);
    std::thread::spawn(move || {
        for text in texts {
            if printer.print(text.clone()).is_err() {
                io::stdout().write_all(text.as_bytes()).ok();
            }
        }
    });
    Outlet::Above(Arc::new(printed))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn history_is_beside_other_programs_state_and_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().to_owned();
        let file = history_file(&|name| (name == "HOME").then(|| home.clone())).unwrap();
        assert_eq!(file, folder.path().join(".local/state/registryctl/history"));
        let state = |name: &str| Some(PathBuf::from(if name == "HOME" { "/home/x" } else { "/state" }));
        assert_eq!(history_file(&state).unwrap(), PathBuf::from("/state/registryctl/history"));
        assert_eq!(history_file(&|_| Some("relative".into())), None);
        prepare(&file).unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
    }
}
