//! What a process has cost so far, from `/proc` (Linux).

use std::fs;
use std::io;
use std::time::Duration;

use serde::Serialize;

/// One look at a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// User and system time of all its threads, the ended ones too. Counted in ticks of usually 10 ms.
    pub cpu: Duration,
    /// Resident memory now, in bytes.
    pub resident_bytes: u64,
    /// The most there ever was, in bytes.
    pub peak_bytes: u64,
}

/// What a process holds in memory, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// Resident now, whatever it is (`VmRSS`).
    pub resident_bytes: u64,
    /// Of that, what is the process's own (`RssAnon`).
    pub anonymous_bytes: u64,
    /// Of that, pages of mapped files, which the kernel may take back (`RssFile`).
    pub file_bytes: u64,
    /// The most that ever was resident (`VmHWM`).
    pub peak_bytes: u64,
}

/// Looks at a process.
///
/// # Errors
/// When it has ended, or `/proc` says something unknown.
pub fn of_process(pid: u32) -> io::Result<Usage> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let unknown = || io::Error::new(io::ErrorKind::InvalidData, format!("/proc/{pid} is in an unknown form"));
    let ticks = cpu_ticks(&stat).ok_or_else(unknown)?;
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    Ok(Usage {
        cpu: Duration::from_micros(ticks * 1_000_000 / per_second),
        resident_bytes: kibibytes(&status, "VmRSS:").ok_or_else(unknown)? * 1024,
        peak_bytes: kibibytes(&status, "VmHWM:").ok_or_else(unknown)? * 1024,
    })
}

/// Looks at a process's memory.
///
/// # Errors
/// When it has ended, or `/proc` says something unknown.
pub fn memory_of(pid: u32) -> io::Result<Memory> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let unknown = || io::Error::new(io::ErrorKind::InvalidData, format!("/proc/{pid}/status is in an unknown form"));
    let bytes = |name| kibibytes(&status, name).map(|kibibytes| kibibytes * 1024).ok_or_else(unknown);
    Ok(Memory {
        resident_bytes: bytes("VmRSS:")?,
        anonymous_bytes: bytes("RssAnon:")?,
        file_bytes: bytes("RssFile:")?,
        peak_bytes: bytes("VmHWM:")?,
    })
}

/// Fields 14 and 15, counted behind the name, which may hold spaces and brackets itself.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    let mut fields = behind_name.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn kibibytes(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_a_name_with_brackets() {
        let stat = "42 (a) b)) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 9 0 12345 1000 200";
        assert_eq!(cpu_ticks(stat), Some(300));
        assert_eq!(cpu_ticks("42 (short) S 1"), None);
    }

    #[test]
    fn this_process_has_memory_and_never_more_than_its_peak() {
        let usage = of_process(std::process::id()).unwrap();
        assert!(usage.resident_bytes > 0 && usage.resident_bytes <= usage.peak_bytes);
    }

    #[test]
    fn what_is_resident_is_anonymous_or_of_files() {
        let memory = memory_of(std::process::id()).unwrap();
        assert!(memory.anonymous_bytes > 0 && memory.file_bytes > 0, "{memory:?}");
        // The kernel adds up its counters loosely; shared memory is the only other part.
        let parts = memory.anonymous_bytes + memory.file_bytes;
        assert!(parts.abs_diff(memory.resident_bytes) < 16 << 20, "{memory:?}");
    }
}
