//! `top`: a live view of members, services and requests.
//!
//! [`sample`] looks at everything, [`view`] makes lines of two looks and is pure, [`services`] tells which keys are instances, and
//! [`screen`] has the terminal. Where there is none, the lines are printed once.

mod sample;
mod screen;
mod services;
mod view;

use std::io::{IsTerminal as _, Read as _};
use std::time::Duration;

use clap::Args as ClapArgs;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::time::sleep;

use self::sample::Watched;
use self::screen::Screen;
use crate::error::CtlError;
use crate::global::Global;
use crate::output::say;

const EXAMPLES: &str = "\
Examples:
  registryctl top
  registryctl top --interval 5s --namespace /prod
  registryctl top --once

q or ctrl-c ends it. Without a terminal, and with --once, it is printed once: what is a second's is of one interval.
Requests and watchers are of the members' /metrics; those whose metrics are elsewhere show a question mark.";

/// Shows members, services and requests as they are, over and over.
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Top {
    /// How long between two looks.
    #[arg(long, default_value = "2s", value_parser = crate::global::interval, value_name = "DURATION")]
    interval: Duration,
    /// Print it once.
    #[arg(long)]
    once: bool,
    /// What every key of the registry begins with, as in /prod.
    #[arg(long, default_value = "", value_name = "PREFIX", hide_default_value = true)]
    namespace: String,
}

impl Top {
    pub(crate) async fn run(&self, global: &Global) -> Result<(), CtlError> {
        let is_seen = std::io::stdout().is_terminal() && std::io::stdin().is_terminal();
        if self.once || !is_seen {
            return self.print(global).await;
        }
        let mut terminated = signal(SignalKind::terminate()).map_err(CtlError::io("the signals"))?;
        let mut watched = Watched::default();
        // Before the terminal is taken: what fails at once is told on the usual screen.
        let first = watched.look(global, self.prefix()).await?;
        let screen = Screen::enter()?;
        tokio::select! {
            result = self.show(global, watched, first, &screen) => result,
            () = quit() => Ok(()),
            _ = tokio::signal::ctrl_c() => Ok(()),
            _ = terminated.recv() => Ok(()),
        }
    }

    fn prefix(&self) -> &str {
        self.namespace.trim_end_matches('/')
    }

    async fn print(&self, global: &Global) -> Result<(), CtlError> {
        let mut watched = Watched::default();
        let before = watched.look(global, self.prefix()).await?;
        sleep(self.interval).await;
        let now = watched.look(global, self.prefix()).await?;
        view::lines(&before, &now).iter().try_for_each(|line| say(line))
    }

    /// Until something ends it; a cluster that is away is told, and looked at again.
    async fn show(
        &self,
        global: &Global,
        mut watched: Watched,
        first: sample::Sample,
        screen: &Screen,
    ) -> Result<(), CtlError> {
        screen.show(&view::lines(&first, &first))?;
        let mut before = first;
        loop {
            sleep(self.interval).await;
            match watched.look(global, self.prefix()).await {
                Ok(now) => {
                    screen.show(&view::lines(&before, &now))?;
                    before = now;
                }
                Err(error) => screen.show(&[error.to_string()])?,
            }
        }
    }
}

/// Waits for the key, on a thread of its own, which ends with the program.
async fn quit() {
    let (pressed, key) = oneshot::channel();
    std::thread::spawn(move || {
        wait_for_key();
        pressed.send(()).ok();
    });
    key.await.ok();
}

/// A read that ends without a key is the terminal's way to say that none came in time; an error says that it is gone.
fn wait_for_key() {
    let mut key = [0];
    while let Ok(count) = std::io::stdin().lock().read(&mut key) {
        if count == 1 && key[0] == b'q' {
            return;
        }
    }
}
