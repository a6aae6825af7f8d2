//! How many descriptors this process may have: each relay socket is one.
#![allow(unsafe_code)]

use std::io;

/// Raises the soft limit to the hard one, and says what it is then. The soft limit of 1024 that most systems start
/// with is for programs that use `select`.
pub fn raise() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid place for the result.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: `limit` is a valid limit that the call only reads.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    #[allow(clippy::useless_conversion, reason = "the type is signed on FreeBSD")]
    Ok(u64::try_from(limit.rlim_cur).unwrap_or(u64::MAX))
}
