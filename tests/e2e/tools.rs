//! Programs that are not ours: whether they are here, and what they say.

use std::io::Write;
use std::net::{TcpListener, UdpSocket};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{LazyLock, Mutex, PoisonError};

use crate::process::Process;

/// Says that a test does not test anything here, and why. Goes past the capture of the test runner.
pub(crate) fn skip(reason: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    // Nobody to tell is no failure.
    let _ = std::io::stderr().write_all(format!("skipped: {test}: {reason}\n").as_bytes());
}

/// The same for what `tests/run` installs: then it must not be missing.
#[track_caller]
pub(crate) fn skip_for_want_of(tool: &str) {
    let required = std::env::var("TURNBRIDGE_TESTS_REQUIRE").is_ok_and(|value| value == "1");
    assert!(!required, "{tool} is missing");
    skip(&format!("{tool} is not installed"));
}

/// Where a program is, if it is installed.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let usual = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(usual).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Whether the tests run as root, by the owner of what this process is.
pub(crate) fn is_root() -> bool {
    std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap()) == 0
}

/// A range of ports, as the configuration writes it and as numbers, that no other test has and nobody else uses.
pub(crate) fn free_ports(count: u16) -> (String, RangeInclusive<u16>) {
    // Below the ports that systems give to those who ask for any. Two runs at once start at different places.
    static NEXT: LazyLock<Mutex<u16>> = LazyLock::new(|| {
        let offset = u16::try_from(std::process::id() % 60).unwrap();
        Mutex::new(10_000 + 100 * offset)
    });
    let is_free = |port: &u16| {
        let is_free = |ip| UdpSocket::bind((ip, *port)).is_ok() && TcpListener::bind((ip, *port)).is_ok();
        ["127.0.0.1", "::1"].into_iter().all(is_free)
    };
    let mut next = NEXT.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        // A range begins with an even port, so that pairs fit.
        let first = next.next_multiple_of(2);
        let ports = first..=first + (count - 1);
        assert!(*ports.end() < 32_768, "no {count} free ports in a row");
        let taken = ports.clone().rev().find(|port| !is_free(port));
        *next = taken.unwrap_or(*ports.end()) + 1;
        if taken.is_none() {
            return (format!("{}-{}", ports.start(), ports.end()), ports);
        }
    }
}

/// Runs a program to its end. Returns its exit code and all it has printed.
pub(crate) fn run(command: Command) -> (Option<i32>, String) {
    let mut process = Process::start(command);
    let status = process.wait();
    (status.code(), format!("{}\n{}", process.out.text(), process.err.text()))
}
