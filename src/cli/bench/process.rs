//! What a process costs, as Linux tells it under /proc: CPU time, resident memory, open descriptors.

use std::fs;
use std::io;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};

/// The server under load: one process, or several whose cost belongs together (the kernel threads that receive for it).
pub(super) struct Processes {
    pids: Vec<u32>,
}

impl Processes {
    /// Checks that each of them can be read, so that a wrong number is told before the load starts.
    pub(super) fn new(pids: Vec<u32>) -> Result<Self> {
        let processes = Self { pids };
        processes.cpu()?;
        Ok(processes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pids.is_empty()
    }

    /// CPU time of all threads so far, user and kernel.
    pub(super) fn cpu(&self) -> Result<Duration> {
        self.sum(cpu_of).map(Duration::from_nanos)
    }

    /// Resident memory in bytes.
    pub(super) fn resident(&self) -> Result<u64> {
        self.sum(resident_of)
    }

    /// Open file descriptors.
    pub(super) fn descriptors(&self) -> Result<u64> {
        self.sum(|pid| Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count() as u64))
    }

    fn sum(&self, of: impl Fn(u32) -> io::Result<u64>) -> Result<u64> {
        self.pids
            .iter()
            .map(|&pid| of(pid).with_context(|| format!("cannot read /proc of process {pid}")))
            .sum()
    }
}

/// CPU time of this program so far.
pub(super) fn own_cpu() -> Result<Duration> {
    let spent = cpu_of(std::process::id()).map_err(|e| anyhow!("cannot read the own CPU time: {e}"))?;
    Ok(Duration::from_nanos(spent))
}

/// The scheduler's nanoseconds; `utime` and `stime` of /proc/PID/stat tick only every 10 ms, and a cycle costs microseconds.
fn cpu_of(pid: u32) -> io::Result<u64> {
    let mut total = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        match fs::read_to_string(task?.path().join("schedstat")) {
            Ok(text) => total += first_number(&text).ok_or(io::ErrorKind::InvalidData)?,
            // The thread ended between the two calls.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(total)
}

/// From smaps_rollup, which counts exactly; statm lags by up to 64 pages per CPU.
fn resident_of(pid: u32) -> io::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:")).ok_or(io::ErrorKind::InvalidData)?;
    Ok(first_number(line).ok_or(io::ErrorKind::InvalidData)? * 1024)
}

fn first_number(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_own_cost_is_readable_and_grows() {
        let own = Processes::new(vec![std::process::id()]).unwrap();
        let before = own.cpu().unwrap();
        let mut state = 1;
        while own.cpu().unwrap() == before {
            super::super::payload::splitmix(&mut state);
        }
        assert!(own.resident().unwrap() > 100 * 1024);
        assert!(own.descriptors().unwrap() >= 3);
    }

    #[test]
    fn a_process_that_is_not_there_is_an_error() {
        assert!(Processes::new(vec![u32::MAX]).is_err());
    }
}
