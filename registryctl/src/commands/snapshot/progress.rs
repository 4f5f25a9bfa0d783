//! How far work on a file is, as a bar on a terminal.

use indicatif::ProgressBar;

use crate::error::CtlError;
use crate::output::progress;

/// Runs work on files beside the runtime, with a bar that it moves.
pub(in crate::commands) async fn beside<T: Send + 'static>(
    work: impl FnOnce(&ProgressBar) -> Result<T, CtlError> + Send + 'static,
) -> Result<T, CtlError> {
    let run = move || {
        let bar = progress::bytes("opening", 0);
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
