//! The process as the system sees it, under the names that all of Prometheus' clients use.

use std::fs;

use super::family::Family;

/// Clock ticks in a second, as `/proc` counts them on every architecture this is built for.
const TICKS: f64 = 100.0;

/// What `/proc` tells. Elsewhere than on Linux that is nothing.
pub(super) fn families(started: u64) -> Vec<Family> {
    let mut families = vec![
        Family::gauge("process_start_time_seconds", "When the server started, in Unix seconds.")
            .only(started),
    ];
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let gauges = [
        ("process_resident_memory_bytes", "Resident memory.", kibibytes(&status, "VmRSS:")),
        ("process_virtual_memory_bytes", "Virtual memory.", kibibytes(&status, "VmSize:")),
        ("process_open_fds", "Open file descriptors.", open_descriptors()),
        (
            "process_max_fds",
            "File descriptors that may be open.",
            fs::read_to_string("/proc/self/limits").ok().as_deref().and_then(descriptor_limit),
        ),
    ];
    families.extend(
        gauges.into_iter().filter_map(|(name, help, value)| Some(Family::gauge(name, help).only(value?))),
    );
    let cpu = fs::read_to_string("/proc/self/stat").ok().as_deref().and_then(cpu_seconds);
    families.extend(cpu.map(|it| Family::counter("process_cpu_seconds", "CPU time.").only(it)));
    families
}

/// The CPU time of each worker's thread, by the worker's number.
pub(super) fn worker_cpu() -> Vec<(usize, f64)> {
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let mut times: Vec<_> = threads
        .filter_map(|thread| {
            let stat = fs::read_to_string(thread.path().join("stat")).ok()?;
            let (_, behind) = stat.split_once('(')?;
            let (name, _) = behind.rsplit_once(')')?;
            Some((name.strip_prefix("worker-")?.parse().ok()?, cpu_seconds(&stat)?))
        })
        .collect();
    times.sort_by_key(|(number, _)| *number);
    times
}

/// User and system time from the `stat` of a process or thread. Its name may hold anything, so fields are counted from
/// behind it.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_ascii_whitespace().skip(11).map(str::parse::<u32>);
    let (user, system) = (times.next()?.ok()?, times.next()?.ok()?);
    Some((f64::from(user) + f64::from(system)) / TICKS)
}

fn kibibytes(status: &str, field: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_ascii_whitespace().next()?.parse::<u64>().ok().map(|kibibytes| kibibytes << 10)
}

fn open_descriptors() -> Option<u64> {
    // The one that reads the directory is open too.
    let open = fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1);
    u64::try_from(open).ok()
}

/// The soft limit, unless there is none.
fn descriptor_limit(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_shift_the_fields() {
        let stat = "7 (worker-1) R) S 1 7 7 0 -1 4194560 903 0 0 0 250 150 0 0 20 0 5 0 100 1 2";
        assert_eq!(cpu_seconds(stat), Some(4.0));
        assert_eq!(cpu_seconds("7 (worker-1) S 1"), None);
    }

    #[test]
    fn limits_and_sizes_are_read_and_nothing_is_made_up() {
        let limits = "Limit   Soft Limit  Hard Limit  Units\nMax open files   1024   524288   files\n";
        assert_eq!(descriptor_limit(limits), Some(1024));
        assert_eq!(descriptor_limit("Max open files   unlimited   unlimited   files"), None);
        assert_eq!(kibibytes("VmPeak:\t 9 kB\nVmRSS:\t    12 kB\n", "VmRSS:"), Some(12 << 10));
        assert_eq!(kibibytes("", "VmRSS:"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_all_of_them() {
        let names: Vec<_> = families(1).iter().map(|family| family.name).collect();
        for name in ["process_cpu_seconds", "process_resident_memory_bytes", "process_open_fds"] {
            assert!(names.contains(&name), "{name} is not in {names:?}");
        }
    }
}
