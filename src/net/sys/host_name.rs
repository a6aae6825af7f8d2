//! What this host is called.

/// The name of this host; "localhost" when it has none.
pub fn host_name() -> String {
    // POSIX promises that no name is longer than this.
    let mut name = [0u8; 256];
    // SAFETY: the buffer is as long as is said.
    let found = unsafe { libc::gethostname(name.as_mut_ptr().cast(), name.len()) };
    // A name that was cut off need not end with a zero.
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    match std::str::from_utf8(name) {
        Ok(name) if found == 0 && !name.is_empty() => name.to_owned(),
        Ok(_) | Err(_) => "localhost".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    #[cfg(target_os = "linux")]
    fn it_is_what_the_kernel_says() {
        let said = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        assert_eq!(super::host_name(), said.trim_end());
    }
}
