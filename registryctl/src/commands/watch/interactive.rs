//! `watch -i`: what to watch is read from lines, which are edited and remembered where somebody types them.

use std::sync::Arc;

use clap::Parser;
use tokio::sync::Notify;
use tokio::task::{JoinError, JoinSet};

use super::Watch;
use crate::args::parsed_line;
use crate::commands::lines::Lines;
use crate::commands::words::words;
use crate::error::CtlError;
use crate::global::Global;

/// A line that was entered.
#[derive(Debug, Parser)]
#[command(no_binary_name = true, disable_help_flag = true)]
pub(super) enum Entered {
    /// Starts a watch.
    Watch(Box<Watch>),
    /// Asks how far the server is.
    Progress,
}

/// Watches what each line says, all at once, until the last of them is ended.
pub(super) async fn interactive(global: &Global, environment: &dyn Fn(&str) -> Option<String>) -> Result<(), CtlError> {
    let mut lines = Lines::open("watch> ", |line| entered(line).is_ok());
    let progress = Arc::new(Notify::new());
    let mut watches = JoinSet::new();
    loop {
        tokio::select! {
            line = lines.next() => {
                let Some(line) = line? else { break };
                if line.trim().is_empty() {
                    continue;
                }
                match entered(&line) {
                    Ok(Entered::Progress) => progress.notify_waiters(),
                    Ok(Entered::Watch(watch)) => match watch.with_keys_of(environment) {
                        Ok(watch) => {
                            let (global, outlet, progress) = (global.clone(), lines.outlet(), Arc::clone(&progress));
                            watches.spawn(async move { watch.follow(&global, &outlet, &progress).await });
                        }
                        Err(why) => lines.outlet().tell(&format!("Invalid command {line} ({why})")),
                    },
                    Err(why) => lines.outlet().tell(&format!("Invalid command {line} ({})", why.trim())),
                }
            }
            Some(ended) = watches.join_next() => told(ended)?,
        }
    }
    while !lines.are_typed()
        && let Some(ended) = watches.join_next().await
    {
        told(ended)?;
    }
    Ok(())
}

fn told(ended: Result<Result<(), CtlError>, JoinError>) -> Result<(), CtlError> {
    ended.map_err(|error| CtlError::Answer(error.to_string()))?
}

/// What a line asks for; what is wrong with it otherwise.
pub(super) fn entered(line: &str) -> Result<Entered, String> {
    parsed_line(words(line)?)
}
