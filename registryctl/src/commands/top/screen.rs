//! The terminal: a screen of its own while it is shown, and as it was before after that, however it ends.

use std::io::{Stdin, Write as _};

use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, Winsize, tcgetattr, tcgetwinsize, tcsetattr,
};

use crate::error::{CtlError, STDOUT};

/// The other screen, emptied, without a cursor; and back.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[2J";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
/// From the upper left corner on.
const HOME: &str = "\x1b[H";
/// The rest of the line is empty; and of the screen.
const END_OF_LINE: &str = "\x1b[K\r\n";
const END_OF_SCREEN: &str = "\x1b[J";
/// How long a read for a key waits at most, in tenths of a second: whoever ends the program waits no longer.
const WAIT_TENTHS: u8 = 2;

/// The screen. Dropping it gives the terminal back.
pub(super) struct Screen {
    stdin: Stdin,
    before: Termios,
}

impl Screen {
    /// Takes the terminal. Keys come one by one and unseen; ctrl-c stays a signal.
    pub(super) fn enter() -> Result<Self, CtlError> {
        let stdin = std::io::stdin();
        let failed = |error: rustix::io::Errno| CtlError::io("the terminal")(error.into());
        let before = tcgetattr(&stdin).map_err(failed)?;
        let mut raw = before.clone();
        raw.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
        raw.special_codes[SpecialCodeIndex::VMIN] = 0;
        raw.special_codes[SpecialCodeIndex::VTIME] = WAIT_TENTHS;
        tcsetattr(&stdin, OptionalActions::Now, &raw).map_err(failed)?;
        let screen = Self { stdin, before };
        written(ENTER)?;
        Ok(screen)
    }

    /// Shows lines, as far as they fit.
    pub(super) fn show(&self, lines: &[String]) -> Result<(), CtlError> {
        // Of a terminal that does not tell its size the usual one.
        let size = tcgetwinsize(&self.stdin).ok().filter(|size| size.ws_row > 0 && size.ws_col > 0);
        let Winsize { ws_row, ws_col, .. } =
            size.unwrap_or(Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 });
        written(&frame(lines, usize::from(ws_row), usize::from(ws_col)))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Nobody is left to be told.
        written(LEAVE).ok();
        tcsetattr(&self.stdin, OptionalActions::Now, &self.before).ok();
    }
}

fn written(text: &str) -> Result<(), CtlError> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(CtlError::io(STDOUT))
}

/// What is written to a screen of so many rows and columns; the last row stays empty, as the cursor is there.
fn frame(lines: &[String], rows: usize, columns: usize) -> String {
    let mut frame = HOME.to_owned();
    for line in lines.iter().take(rows.saturating_sub(1)) {
        // What a key holds is not to steer the terminal.
        frame.extend(line.chars().take(columns).map(|letter| if letter.is_control() { '?' } else { letter }));
        frame.push_str(END_OF_LINE);
    }
    frame + END_OF_SCREEN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_to_the_screen_and_steer_nothing() {
        let lines = ["abcdef", "a\x1b[2Jb", "third"].map(str::to_owned);
        assert_eq!(frame(&lines, 3, 5), "\x1b[Habcde\x1b[K\r\na?[2J\x1b[K\r\n\x1b[J");
    }
}
