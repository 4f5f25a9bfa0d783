//! What the system knows of this process, as Prometheus' client libraries tell it. From `/proc`; what
//! cannot be read is left out.

use std::fs;

use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};

use super::log_lines::Log;
use crate::http::exposition::{Exposition, Kind};

/// Adds the families of the process. Several nodes in one process tell the same.
pub(super) fn add(text: &mut Exposition) {
    if let Some(stat) = fs::read_to_string("/proc/self/stat").ok().as_deref().and_then(Stat::parse) {
        add_stat(text, &stat);
    }
    let limit = |resource| getrlimit(resource).current.map_or(f64::INFINITY, |limit| limit as f64);
    let (max_fds, max_bytes) = (limit(Resource::Nofile), limit(Resource::As));
    let open_fds = fs::read_dir("/proc/self/fd").ok().map(Iterator::count);
    if let Some(open) = open_fds {
        text.gauge("process_open_fds", "Number of open file descriptors.", open);
        text.gauge("os_fd_used", "The number of used file descriptors.", open);
    }
    text.gauge("process_max_fds", "Maximum number of open file descriptors.", figure(max_fds));
    text.gauge("os_fd_limit", "The file descriptor limit.", figure(max_fds));
    let help = "Maximum amount of virtual memory available in bytes.";
    text.gauge("process_virtual_memory_max_bytes", help, figure(max_bytes));
    let help = "Lines that an output of the log did not take in time, and that were lost.";
    let mut lost = text.family(Kind::Counter, "registry_log_lines_lost_total", help);
    lost.sample(&[("log", "server")], Log::Own.lost());
    lost.sample(&[("log", "audit")], Log::Audit.lost());
}

fn add_stat(text: &mut Exposition, stat: &Stat) {
    let ticks = clock_ticks_per_second() as f64;
    let cpu = stat.cpu_ticks as f64 / ticks;
    text.counter("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.", cpu);
    text.gauge("process_virtual_memory_bytes", "Virtual memory size in bytes.", stat.virtual_bytes);
    let resident = stat.resident_pages * page_size() as u64;
    text.gauge("process_resident_memory_bytes", "Resident memory size in bytes.", resident);
    let boot = fs::read_to_string("/proc/stat").ok().as_deref().and_then(boot_seconds);
    if let Some(boot) = boot {
        let help = "Start time of the process since unix epoch in seconds.";
        text.gauge("process_start_time_seconds", help, boot as f64 + stat.start_ticks as f64 / ticks);
    }
}

/// What is needed of `/proc/self/stat`.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    cpu_ticks: u64,
    start_ticks: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

impl Stat {
    /// The fields are counted from the end of the program's name, which may hold anything.
    fn parse(line: &str) -> Option<Self> {
        let (_, fields) = line.rsplit_once(')')?;
        let fields: Vec<_> = fields.split_whitespace().collect();
        let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
        Some(Self {
            cpu_ticks: number(11)? + number(12)?,
            start_ticks: number(19)?,
            virtual_bytes: number(20)?,
            resident_pages: number(21)?,
        })
    }
}

fn boot_seconds(stat: &str) -> Option<u64> {
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

/// As the format writes what has no limit.
fn figure(value: f64) -> String {
    if value.is_infinite() { "+Inf".to_owned() } else { value.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_found_behind_any_name() {
        let line = "7 (a) b) S 1 7 7 0 -1 4194560 1 2 3 4 50 60 0 0 20 0 9 0 1234 5000 42 18446744073709551615 1";
        let stat = Stat { cpu_ticks: 110, start_ticks: 1234, virtual_bytes: 5000, resident_pages: 42 };
        assert_eq!(Stat::parse(line), Some(stat));
        assert_eq!(Stat::parse("7 (cut off"), None);
        assert_eq!(boot_seconds("cpu 1 2\nbtime 1700000000\n"), Some(1_700_000_000));
    }
}
