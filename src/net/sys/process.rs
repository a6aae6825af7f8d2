//! What this process is, and what others on the host may see of it.
#![allow(unsafe_code)]

/// Whether it is root's.
pub fn is_root() -> bool {
    // SAFETY: has no arguments, and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// Keeps what is in memory, secrets above all, from core dumps and from other processes of the same user.
pub fn hide_memory() -> std::io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    // SAFETY: takes a number, and no pointer.
    if unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) } != 0 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(())
}
