//! Descriptors that a process is started with.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// The first one behind standard input, output and error; by convention the first that a service manager passes on.
const FIRST: RawFd = 3;

/// Takes the first `count` descriptors that this process was started with, and keeps them from the processes that it
/// starts itself. That can be done once; after that there are none. It has to be done before anything is opened, or
/// what is taken may be somebody else's.
pub fn inherit(count: u16) -> io::Result<Vec<OwnedFd>> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if TAKEN.swap(true, Ordering::Relaxed) {
        return Ok(Vec::new());
    }
    let all = FIRST..FIRST + RawFd::from(count);
    // All are looked at before one is owned: a number that is not open must not be closed.
    for descriptor in all.clone() {
        // SAFETY: these calls touch no memory, and an unknown descriptor is only an error.
        let flags = unsafe { libc::fcntl(descriptor, libc::F_GETFD) };
        // SAFETY: as above.
        if flags < 0 || unsafe { libc::fcntl(descriptor, libc::F_SETFD, flags | libc::FD_CLOEXEC) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    // SAFETY: all are open, and nobody else in this process owns them: they were there before it began, the caller has
    // opened nothing, and `TAKEN` says that they have not been handed out before.
    Ok(all.map(|descriptor| unsafe { OwnedFd::from_raw_fd(descriptor) }).collect())
}
