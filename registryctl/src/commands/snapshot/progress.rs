//! How far work on a file is, as a bar on a terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::error::CtlError;

/// A bar for a step over so many bytes. Shown on a terminal only.
pub(super) fn bar_of(step: &'static str, bytes: u64) -> ProgressBar {
    let template = "{msg:9} {bar:40} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec}, {eta} left";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::stderr()).with_style(style).with_message(step)
}

/// Runs work on files beside the runtime, with a bar that it moves.
pub(in crate::commands) async fn beside<T: Send + 'static>(
    work: impl FnOnce(&ProgressBar) -> Result<T, CtlError> + Send + 'static,
) -> Result<T, CtlError> {
    let run = move || {
        let bar = bar_of("opening", 0);
        let done = work(&bar);
        bar.finish_and_clear();
        done
    };
    let failed = |error| CtlError::io("the work")(std::io::Error::other(error));
    tokio::task::spawn_blocking(run).await.map_err(failed)?
}

/// Moves the bar to another step, or on.
pub(in crate::commands) fn tell(bar: &ProgressBar, step: &'static str, done: u64, total: u64) {
    if bar.message() != step {
        bar.reset();
        bar.set_message(step);
    }
    bar.set_length(total);
    bar.set_position(done);
}
