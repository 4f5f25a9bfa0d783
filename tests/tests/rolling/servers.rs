//! The servers as child processes, which are told to end and started again.

use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use registry_tests::eventually;
use rustix::process::{Pid, Signal, kill_process};

const PROGRAM: &str = env!("CARGO_BIN_EXE_echo");
/// What a server that was told to end may take in all, a registry without a leader included.
const END: Duration = Duration::from_secs(40);

/// One server. Dropping it kills and reaps it.
#[derive(Debug)]
pub(crate) struct Server {
    id: String,
    child: Child,
}

/// How servers are started.
#[derive(Debug, Clone)]
pub(crate) struct Starting {
    pub(crate) ttl: Duration,
    /// How long clients have to see that a server drains.
    pub(crate) notice: Duration,
    pub(crate) urls: Vec<String>,
}

impl Starting {
    pub(crate) fn start(&self, id: &str) -> Server {
        let mut command = Command::new(PROGRAM);
        command.arg(id).arg(self.ttl.as_secs().to_string()).arg(self.notice.as_millis().to_string()).args(&self.urls);
        let child = command.stdin(Stdio::piped()).spawn().expect("the program can be started");
        Server { id: id.to_owned(), child }
    }
}

impl Server {
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// SIGTERM.
    pub(crate) fn tell_to_end(&self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a child has an id");
        kill_process(pid, Signal::TERM).expect("a child that was not waited for can be signalled");
    }

    /// Waits for the end of the process.
    pub(crate) async fn ended(mut self) -> ExitStatus {
        let child = parking_lot::Mutex::new((&mut self.child, None));
        eventually(END, "a server that was told to end does so", async || {
            let (child, status) = &mut *child.lock();
            *status = child.try_wait().expect("a child can be waited for");
            status.is_some()
        })
        .await;
        child.into_inner().1.expect("set when the wait ended")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
