//! A tool as a child process: how long it runs, and what memory it has at the most.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde::Serialize;
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use crate::BenchError;
use crate::usage;

/// How often its memory is looked at; the kernel keeps the peak by itself, of what is its own this is how exactly it is known.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// How much is read of what it says when it fails.
const SAID_BYTES: u64 = 2_000;

/// What a run of a tool has cost.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Cost {
    /// From before it was started until it had ended.
    pub seconds: f64,
    /// The most that was resident, mapped files among it.
    pub peak_bytes: u64,
    /// Of that the most that was seen of its own.
    pub anonymous_bytes: u64,
}

/// Runs a tool to its end, which must be a success.
pub(super) async fn run(tool: &Path, arguments: &[&OsStr]) -> Result<Cost, BenchError> {
    let failed = || BenchError::system(format!("{}", tool.display()));
    let mut command = Command::new(tool);
    // An etcdctl of 3.4 has to be told which API.
    command.args(arguments).env("ETCDCTL_API", "3").kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let began = Instant::now();
    let mut child = command.spawn().map_err(failed())?;
    let (mut peak_bytes, mut anonymous_bytes) = (0, 0);
    let status = loop {
        if let Some(memory) = child.id().and_then(|pid| usage::memory_of(pid).ok()) {
            peak_bytes = memory.peak_bytes.max(peak_bytes);
            anonymous_bytes = memory.anonymous_bytes.max(anonymous_bytes);
        }
        if let Some(status) = child.try_wait().map_err(failed())? {
            break status;
        }
        sleep(LOOK_EVERY).await;
    };
    let seconds = began.elapsed().as_secs_f64();
    if !status.success() {
        let mut said = String::new();
        if let Some(errors) = child.stderr.take() {
            // What cannot be read is not shown; it has failed anyway.
            errors.take(SAID_BYTES).read_to_string(&mut said).await.ok();
        }
        return Err(BenchError::answer("a tool", format!("{} ended with {status}: {said}", tool.display())));
    }
    Ok(Cost { seconds, peak_bytes, anonymous_bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_tool_costs_time_and_memory_and_its_failure_is_told() {
        let cost = run(Path::new("sleep"), &["0.1".as_ref()]).await.unwrap();
        assert!(cost.seconds >= 0.1 && cost.peak_bytes > 0 && cost.anonymous_bytes <= cost.peak_bytes, "{cost:?}");
        let failed = run(Path::new("sh"), &["-c".as_ref(), "echo no >&2; exit 3".as_ref()]).await.unwrap_err();
        assert!(failed.to_string().contains("no"), "{failed}");
    }
}
