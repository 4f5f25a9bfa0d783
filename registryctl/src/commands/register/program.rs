//! The process for which a registration is held, and the signals that are passed on to it.

use std::io::IsTerminal as _;
use std::process::ExitStatus;

use registry_client::Instance;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::signal::unix::{self, SignalKind};

use crate::error::CtlError;
use crate::output::tell;

/// A program that runs. Dropping it kills it.
pub(super) struct Program {
    name: String,
    child: Child,
    /// Whoever types Ctrl-C there has it sent to both of us.
    on_terminal: bool,
}

impl Program {
    pub(super) fn start(name: &str, arguments: &[String], instance: &Instance) -> Result<Self, CtlError> {
        let mut command = Command::new(name);
        command.args(arguments).kill_on_drop(true);
        command.env("REGISTRY_SERVICE", instance.service()).env("REGISTRY_INSTANCE", instance.id());
        let child = command.spawn().map_err(CtlError::io(name))?;
        Ok(Self { name: name.to_owned(), child, on_terminal: std::io::stdin().is_terminal() })
    }

    /// Waits for its end. Dropping the future has no effect.
    pub(super) async fn ended(&mut self) -> Result<ExitStatus, CtlError> {
        self.child.wait().await.map_err(CtlError::io(self.name.as_str()))
    }

    /// Sends it a signal that this process got, unless the terminal has sent it to both.
    pub(super) fn pass_on(&self, signal: Signal) {
        if !(self.on_terminal && [Signal::INT, Signal::QUIT].contains(&signal)) {
            self.send(signal);
        }
    }

    /// Tells it to end, and waits until it has, with all signals passed on meanwhile.
    pub(super) async fn end(&mut self, signals: &mut Signals) -> Result<(), CtlError> {
        self.send(Signal::TERM);
        loop {
            tokio::select! {
                status = self.ended() => return status.map(drop),
                signal = signals.next() => self.pass_on(signal),
            }
        }
    }

    fn send(&self, signal: Signal) {
        // It has no id once its end was waited for, so that no other process is ever meant.
        let id = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(id) = id
            && let Err(error) = kill_process(id, signal)
        {
            tell(&format!("{}: {signal:?} is not passed on: {error}", self.name));
        }
    }
}

/// The signals that are caught from when this is made.
pub(super) struct Signals {
    hangup: unix::Signal,
    interrupt: unix::Signal,
    terminate: unix::Signal,
    quit: unix::Signal,
    first: unix::Signal,
    second: unix::Signal,
}

impl Signals {
    pub(super) fn catch() -> Result<Self, CtlError> {
        let catch = |kind| unix::signal(kind).map_err(CtlError::io("signals"));
        Ok(Self {
            hangup: catch(SignalKind::hangup())?,
            interrupt: catch(SignalKind::interrupt())?,
            terminate: catch(SignalKind::terminate())?,
            quit: catch(SignalKind::quit())?,
            first: catch(SignalKind::user_defined1())?,
            second: catch(SignalKind::user_defined2())?,
        })
    }

    /// The next one. Dropping the future loses none.
    pub(super) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.hangup.recv() => Signal::HUP,
            _ = self.interrupt.recv() => Signal::INT,
            _ = self.terminate.recv() => Signal::TERM,
            _ = self.quit.recv() => Signal::QUIT,
            _ = self.first.recv() => Signal::USR1,
            _ = self.second.recv() => Signal::USR2,
        }
    }
}
