//! What a child process holds of the system, as the kernel tells.

/// Memory and file descriptors of a process at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footprint {
    /// Resident memory in KiB.
    pub resident_kib: usize,
    /// The most that it was so far, in KiB.
    pub peak_kib: usize,
    /// Open file descriptors.
    pub descriptors: usize,
}

impl Footprint {
    /// Looks at a process.
    ///
    /// # Panics
    /// When it has ended.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the kernel's own files about the process")]
    pub fn of(pid: u32) -> Self {
        let status = std::fs::read(format!("/proc/{pid}/status")).expect("the process is there");
        let status = String::from_utf8_lossy(&status);
        let kib = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).expect("a live process has memory");
            line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("it is a number")
        };
        let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("the process is there").count();
        Self { resident_kib: kib("VmRSS"), peak_kib: kib("VmHWM"), descriptors }
    }
}
