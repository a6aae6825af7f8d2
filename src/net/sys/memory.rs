//! Memory that is free in this process and could be of use to others.

/// Gives the pages back to the system that nothing lives on any more. The allocator by itself only gives back what lies
/// behind the last thing that lives, and one name in the log's queue is enough to keep megabytes.
///
/// It walks all that is free, so this is not for threads that relay packets.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: may be called at any time, from any thread; the allocator locks what it looks at.
    unsafe {
        libc::malloc_trim(0);
    }
}
