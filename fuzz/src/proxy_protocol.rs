//! What comes before the first byte of a connection through a load balancer.

use turnbridge::wire::proxy_protocol::{HEADER_MAX, Parsed, ProxyError, parse};

/// Reads a header from ever more of the bytes: once there is a verdict, it never changes.
pub fn first_bytes(bytes: &[u8]) {
    let bytes = &bytes[..bytes.len().min(HEADER_MAX + 100)];
    let verdict = parse(bytes);
    let mut decided = None;
    for end in 0..=bytes.len() {
        match (parse(&bytes[..end]), decided) {
            (Ok(Parsed::NeedMore), None) => {}
            (now, None) => decided = Some((now, end)),
            (now, Some((then, _))) => assert_eq!(now, then, "at {end}"),
        }
    }
    let Some((then, end)) = decided else {
        assert_eq!(verdict, Ok(Parsed::NeedMore));
        assert!(bytes.len() < HEADER_MAX);
        return;
    };
    assert_eq!(verdict, then);
    assert!(end <= HEADER_MAX);
    match verdict {
        Ok(Parsed::NeedMore) => unreachable!("that is no verdict"),
        Ok(Parsed::Header(header)) => {
            assert_eq!(header.length, end);
            let is_line = bytes.starts_with(b"PROXY ") && bytes[..end].ends_with(b"\r\n") && end <= 107;
            assert!(is_line || bytes.starts_with(b"\r\n\r\n\0\r\nQUIT\n"));
        }
        // A stranger is told apart without waiting for more than it has said.
        Err(ProxyError::NotAHeader) => assert!(end <= 12),
        Err(_) => {}
    }
}
