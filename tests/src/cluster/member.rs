//! One member's process.

use std::collections::VecDeque;
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};

use super::namespaces::ports;
use super::port::Port;
use super::program::Program;
use crate::budget::STOP;
use crate::wait::eventually;

/// How a member comes to its cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// It was there from the beginning.
    Founder,
    /// It has addresses and a directory, and the cluster does not know of it.
    Enrolled,
    /// It was added to the cluster that ran, which had the members that are listed here.
    Added(String),
}

/// A member, whether it runs or not. Dropping it kills and reaps its process.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) name: String,
    /// Its log and its data.
    dir: PathBuf,
    pub(super) client: Arc<Port>,
    pub(super) peer: Arc<Port>,
    pub(super) place: Place,
    pub(super) is_removed: bool,
    child: Option<Child>,
    pub(super) is_paused: bool,
}

impl Member {
    pub(super) fn new(number: usize, parent: &Path, place: Place) -> Self {
        Self::at(number, parent, place, Arc::new(Port::take()), Arc::new(Port::take()))
    }

    /// One in a namespace of its own.
    pub(super) fn in_namespace(number: usize, parent: &Path) -> Self {
        let [client, peer] = ports(number).map(|address| Arc::new(Port::in_namespace(address)));
        Self::at(number, parent, Place::Founder, client, peer)
    }

    /// One at the addresses of another, which does not run any more.
    pub(super) fn in_place_of(former: &Self, number: usize, parent: &Path) -> Self {
        Self::at(number, parent, Place::Enrolled, former.client.clone(), former.peer.clone())
    }

    fn at(number: usize, parent: &Path, place: Place, client: Arc<Port>, peer: Arc<Port>) -> Self {
        let name = format!("m{number}");
        let dir = parent.join(&name);
        Self { name, dir, client, peer, place, is_removed: false, child: None, is_paused: false }
    }

    /// The cluster counts it among its members.
    pub(super) fn is_in(&self) -> bool {
        self.place != Place::Enrolled && !self.is_removed
    }

    pub(super) fn data_dir(&self) -> PathBuf {
        self.dir.join("data")
    }

    pub(super) fn log_file(&self) -> PathBuf {
        self.dir.join("log")
    }

    /// Starts the process; its log goes on where the last life's ended.
    pub(super) fn spawn(&mut self, program: &Program, flags: &[String], namespace: impl FnOnce(Command) -> Command) {
        assert!(self.child.is_none(), "{} runs already", self.name);
        std::fs::create_dir_all(&self.dir).expect("directories can be made");
        let log = OpenOptions::new().create(true).append(true).open(self.log_file()).expect("files can be made");
        let mut command = program.command();
        command.arg(format!("--name={}", self.name)).arg("--data-dir").arg(self.data_dir());
        for flag in ["listen-client-urls", "advertise-client-urls"] {
            command.arg(format!("--{flag}={}", self.client.url()));
        }
        command.arg(format!("--listen-peer-urls={}", self.peer.url())).args(flags);
        let mut command = namespace(command);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.child = Some(command.spawn().expect("the program can be started"));
        self.is_paused = false;
    }

    pub(super) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    pub(super) fn runs(&self) -> bool {
        self.child.is_some()
    }

    /// How it ended, if it did so by itself.
    pub(super) fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.as_mut()?.try_wait().expect("a child can be waited for")
    }

    pub(super) fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().unwrap_or_else(|| panic!("{} does not run", self.name));
        kill_process(Pid::from_child(child), signal).expect("the process was not reaped yet");
    }

    /// SIGKILL; the process must have been there.
    pub(super) fn kill(&mut self) {
        self.signal(Signal::KILL);
        let status = self.child.take().expect("it ran a moment ago").wait().expect("a child can be waited for");
        assert_eq!(status.signal(), Some(Signal::KILL.as_raw()), "{} ended by itself: {status}", self.name);
    }

    /// SIGTERM; the process must end within [`STOP`].
    pub(super) async fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.ended_within(STOP).await
    }

    /// How the process ends, which it must do by itself.
    pub(super) async fn ended_within(&mut self, limit: Duration) -> ExitStatus {
        let ended = Mutex::new((&mut *self, None));
        eventually(limit, "the member ends", async || {
            let (member, status) = &mut *ended.lock();
            *status = member.has_ended();
            status.is_some()
        })
        .await;
        let (_, status) = ended.into_inner();
        self.child = None;
        status.expect("set when the wait ended")
    }

    /// The last lines of the log.
    pub(super) fn last_of_log(&self, count: usize) -> Vec<String> {
        let Ok(log) = OpenOptions::new().read(true).open(self.log_file()) else { return Vec::new() };
        let mut last = VecDeque::new();
        for line in BufReader::new(log).lines().map_while(Result::ok) {
            if last.len() == count {
                last.pop_front();
            }
            last.push_back(line);
        }
        last.into()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            drop(child.kill());
            drop(child.wait());
        }
    }
}
