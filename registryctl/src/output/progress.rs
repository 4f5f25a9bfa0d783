//! Progress bars, all in one style: on standard error, and only where that is a terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Of so many bytes; `step` is what is done with them.
pub(crate) fn bytes(step: &'static str, total: u64) -> ProgressBar {
    bar(total, "{msg:9} {bar:40} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec}, {eta} left")
        .with_message(step)
}

/// Of so many things, such as keys or seconds; `what` is their name.
pub(crate) fn things(total: u64, what: &'static str) -> ProgressBar {
    bar(total, "{bar:40} {human_pos}/{human_len} {msg}, {eta} left").with_message(what)
}

fn bar(total: u64, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr()).with_style(style)
}
