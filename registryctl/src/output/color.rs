//! Colours of lists on a terminal: their head, and the words that say how something is.

use std::io::IsTerminal as _;

use anstyle::{AnsiColor, Style};

use crate::global::Color;

/// Whether standard output is to have colours; `environment` says `NO_COLOR` and `TERM`.
pub(super) fn is_wanted(color: Color, environment: &dyn Fn(&str) -> Option<std::ffi::OsString>) -> bool {
    let says = |name: &str| environment(name).filter(|value| !value.is_empty());
    match color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => {
            says("NO_COLOR").is_none()
                && says("TERM").is_none_or(|term| term != "dumb")
                && std::io::stdout().is_terminal()
        }
    }
}

/// A head, in bold.
pub(super) fn head(line: &str) -> String {
    let bold = Style::new().bold();
    format!("{bold}{line}{bold:#}")
}

/// A line with the words that it has in colour; they take the same columns.
pub(super) fn words(line: &str) -> String {
    let mut painted = String::with_capacity(line.len());
    for word in line.split_inclusive(' ') {
        let bare = word.trim_end();
        match style_of(bare) {
            Some(style) => painted.push_str(&format!("{style}{bare}{style:#}{}", &word[bare.len()..])),
            None => painted.push_str(word),
        }
    }
    painted
}

/// A ruled table: its head is the second line.
pub(super) fn table(ruled: &str) -> String {
    let line = |(number, line): (usize, &str)| if number == 1 { head(line) } else { words(line) };
    ruled.lines().enumerate().map(|numbered| line(numbered) + "\n").collect()
}

fn style_of(word: &str) -> Option<Style> {
    let color = match word {
        "ok" | "up" | "started" | "healthy" | "revoked" | "recovered" => AnsiColor::Green,
        "warning" | "starting" | "draining" | "unstarted" | "note" | "gap" => AnsiColor::Yellow,
        "error" | "down" | "unhealthy" | "unknown" | "gone" | "lost" => AnsiColor::Red,
        _ => return None,
    };
    Some(color.on_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_words_are_painted_and_nothing_moves() {
        let painted = words("pay-1  up   upper  | down |");
        assert_eq!(painted, "pay-1  \u{1b}[32mup\u{1b}[0m   upper  | \u{1b}[31mdown\u{1b}[0m |");
        assert_eq!(words("nothing  to say"), "nothing  to say");
        assert_eq!(table("+--+\n|ID|\n| up |\n"), "+--+\n\u{1b}[1m|ID|\u{1b}[0m\n| \u{1b}[32mup\u{1b}[0m |\n");
    }

    #[test]
    fn a_pipe_or_no_color_has_none_unless_asked_for() {
        let said = |color, name: &'static str| is_wanted(color, &move |asked| (asked == name).then(|| "1".into()));
        assert!(said(Color::Always, "NO_COLOR") && !said(Color::Never, "TERM") && !said(Color::Auto, "NO_COLOR"));
    }
}
