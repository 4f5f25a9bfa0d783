//! The services as child processes of this same program.
//!
//! A child ends with this process in any case: it watches the pipe that is its standard input.

use std::collections::BTreeMap;
use std::process::{ExitStatus, Stdio};

use registry_examples::BoxError;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

/// The children that have not been waited for, by instance id.
pub(crate) struct Children {
    registry: String,
    ttl_seconds: u64,
    running: BTreeMap<String, Child>,
}

impl Children {
    pub(crate) fn new(registry: &str, ttl_seconds: u64) -> Self {
        Self { registry: registry.to_owned(), ttl_seconds, running: BTreeMap::new() }
    }

    /// Starts an instance.
    pub(crate) fn start(&mut self, id: &str) -> Result<(), BoxError> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["serve", "--id", id, "--registry", &self.registry, "--ttl"]).arg(self.ttl_seconds.to_string());
        let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).kill_on_drop(true).spawn()?;
        self.running.insert(id.to_owned(), child);
        Ok(())
    }

    /// Sends a signal to an instance's process.
    pub(crate) fn signal(&self, id: &str, signal: Signal) -> Result<(), BoxError> {
        let pid = self.running.get(id).and_then(Child::id).ok_or("the process has ended already")?;
        let pid = Pid::from_raw(i32::try_from(pid)?).ok_or("no such process id")?;
        Ok(kill_process(pid, signal)?)
    }

    /// Waits for the end of an instance's process.
    pub(crate) async fn wait(&mut self, id: &str) -> Result<ExitStatus, BoxError> {
        let child = self.running.get_mut(id).ok_or("no such child")?;
        // Not `Child::wait`, which would close the pipe first and so tell the child that its parent is gone.
        let stdin = child.stdin.take();
        let status = child.wait().await?;
        drop(stdin);
        self.running.remove(id);
        Ok(status)
    }
}
