//! Version 1: a line of text.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use super::{Ends, Parsed, ProxyError, ProxyHeader, begins_with};

/// The longest line, its end included.
const LINE_MAX: usize = 107;

pub(super) fn parse(bytes: &[u8]) -> Result<Parsed, ProxyError> {
    const MARK: &[u8] = b"PROXY ";
    if !begins_with(bytes, MARK)? {
        return Ok(Parsed::NeedMore);
    }
    let window = &bytes[..bytes.len().min(LINE_MAX)];
    // Only both characters end a line; the specification warns of tolerance.
    let Some(end) = window.windows(2).position(|pair| pair == b"\r\n") else {
        return if window.len() < LINE_MAX { Ok(Parsed::NeedMore) } else { Err(ProxyError::TooLong) };
    };
    let text = str::from_utf8(&window[MARK.len()..end]).map_err(|_| ProxyError::BadAddress)?;
    Ok(Parsed::Header(ProxyHeader { ends: ends(text)?, length: end + 2 }))
}

/// What is said between the mark and the end of the line.
fn ends(text: &str) -> Result<Option<Ends>, ProxyError> {
    let (protocol, rest) = text.split_once(' ').unwrap_or((text, ""));
    match protocol {
        // Whatever follows it must be ignored.
        "UNKNOWN" => Ok(None),
        "TCP4" => addresses::<Ipv4Addr>(rest).map(Some),
        "TCP6" => addresses::<Ipv6Addr>(rest).map(Some),
        _ => Err(ProxyError::Undefined),
    }
}

fn addresses<Ip: FromStr + Into<IpAddr>>(text: &str) -> Result<Ends, ProxyError> {
    let mut words = text.split(' ');
    let (source, destination) = (ip::<Ip>(words.next())?, ip::<Ip>(words.next())?);
    let (from, to) = (port(words.next())?, port(words.next())?);
    match words.next() {
        None => Ok(Ends::new(SocketAddr::new(source, from), SocketAddr::new(destination, to))),
        Some(_) => Err(ProxyError::BadAddress),
    }
}

fn ip<Ip: FromStr + Into<IpAddr>>(word: Option<&str>) -> Result<IpAddr, ProxyError> {
    word.and_then(|word| word.parse::<Ip>().ok()).map(Into::into).ok_or(ProxyError::BadAddress)
}

/// A port in plain digits: no sign, and no zero in front, which some read as octal.
fn port(word: Option<&str>) -> Result<u16, ProxyError> {
    let is_plain = |word: &&str| {
        word.bytes().all(|byte| byte.is_ascii_digit()) && (*word == "0" || !word.starts_with('0'))
    };
    word.filter(is_plain).and_then(|word| word.parse().ok()).ok_or(ProxyError::BadAddress)
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    fn header(text: &str) -> Result<Parsed, ProxyError> {
        parse(text.as_bytes())
    }

    #[test]
    fn a_line_tells_both_ends() {
        let v6 = "PROXY TCP6 2001:db8::1 2001:DB8:0:0:0:0:0:2 65535 0\r\n";
        let longest = "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff \
                       ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe 65535 65535\r\n";
        let max = "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535";
        let cases = [
            ("PROXY TCP4 192.0.2.1 198.51.100.2 1 443\r\n", "192.0.2.1:1", "198.51.100.2:443"),
            (v6, "[2001:db8::1]:65535", "[2001:db8::2]:0"),
            (longest, max, "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe]:65535"),
            // As load balancers with one socket for both versions of IP write it.
            ("PROXY TCP6 ::ffff:192.0.2.1 ::ffff:c000:202 5 6\r\n", "192.0.2.1:5", "192.0.2.2:6"),
        ];
        for (text, source, destination) in cases {
            let ends = Ends { source: source.parse().unwrap(), destination: destination.parse().unwrap() };
            let expected = ProxyHeader { ends: Some(ends), length: text.len() };
            assert_eq!(header(text), Ok(Parsed::Header(expected)), "{text}");
            let followed = format!("{text}PROXY TCP4 anything\r\n");
            assert_eq!(header(&followed), Ok(Parsed::Header(expected)), "{text}");
        }
    }

    #[test]
    fn a_line_may_tell_nothing() {
        let longest = format!("PROXY UNKNOWN {}\r\n", "x".repeat(91));
        assert_eq!(longest.len(), LINE_MAX);
        for text in ["PROXY UNKNOWN\r\n", "PROXY UNKNOWN ::1 nonsense \r \n\r\n", &longest] {
            let expected = ProxyHeader { ends: None, length: text.len() };
            assert_eq!(header(text), Ok(Parsed::Header(expected)), "{text}");
        }
    }

    #[test]
    fn an_unfinished_line_is_waited_for() {
        let unfinished = format!("PROXY UNKNOWN {}", "x".repeat(92));
        assert_eq!(unfinished.len(), LINE_MAX - 1);
        for text in ["", "P", "PROXY", "PROXY TCP4 192.0.2.1", "PROXY TCP4 a\r", &unfinished] {
            assert_eq!(header(text), Ok(Parsed::NeedMore), "{text}");
        }
    }

    #[test]
    fn what_is_not_such_a_line_is_refused() {
        let endless = format!("PROXY UNKNOWN {}", "x".repeat(93));
        let late = format!("PROXY UNKNOWN {}\r\n", "x".repeat(92));
        let cases = [
            ("POST / HTTP/1.1", ProxyError::NotAHeader),
            ("PROXy", ProxyError::NotAHeader),
            ("PROXY\r\n", ProxyError::NotAHeader),
            (&endless, ProxyError::TooLong),
            (&late, ProxyError::TooLong),
            ("PROXY \r\n", ProxyError::Undefined),
            ("PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n", ProxyError::Undefined),
            ("PROXY tcp4 192.0.2.1 192.0.2.2 1 2\r\n", ProxyError::Undefined),
            ("PROXY UNKNOWNS\r\n", ProxyError::Undefined),
            ("PROXY TCP4\r\n", ProxyError::BadAddress),
            ("PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n", ProxyError::BadAddress),
            ("PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n", ProxyError::BadAddress),
            ("PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n", ProxyError::BadAddress),
            ("PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n", ProxyError::BadAddress),
            ("PROXY TCP4 192.0.2.01 192.0.2.2 1 2\r\n", ProxyError::BadAddress),
            ("PROXY TCP4 192.0.2 192.0.2.2 1 2\r\n", ProxyError::BadAddress),
            ("PROXY TCP4 192.0.2.256 192.0.2.2 1 2\r\n", ProxyError::BadAddress),
            ("PROXY TCP4 ::1 ::1 1 2\r\n", ProxyError::BadAddress),
            ("PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n", ProxyError::BadAddress),
            ("PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n", ProxyError::BadAddress),
            ("PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n", ProxyError::BadAddress),
            ("PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n", ProxyError::BadAddress),
            ("PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n", ProxyError::BadAddress),
            ("PROXY TCP4 192.0.2.1 192.0.2.2 1 \r\n", ProxyError::BadAddress),
        ];
        for (text, expected) in cases {
            assert_eq!(header(text), Err(expected), "{text}");
        }
        assert_eq!(parse(b"PROXY TCP4 \xFF 192.0.2.2 1 2\r\n"), Err(ProxyError::BadAddress));
    }
}
