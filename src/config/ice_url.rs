//! The URLs by which clients find the server (RFC 7064, RFC 7065).

use super::units::Invalid;
use std::{fmt, net::Ipv6Addr, str::FromStr};

/// `stun:`, `stuns:`, `turn:` or `turns:`, a host, and maybe a port and a transport. Shown as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IceUrl(String);

impl IceUrl {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for IceUrl {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match is_ice_url(text) {
            Some(true) => Ok(Self(text.to_owned())),
            Some(false) | None => Err(Invalid(format!(
                "{text:?} is not a URL of a STUN or TURN server: expected \"turn:host:port?transport=udp\" or \"tcp\", \
                 \"turns:host:port?transport=tcp\", or \"stun:host:port\""
            ))),
        }
    }
}

impl fmt::Display for IceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_ice_url(text: &str) -> Option<bool> {
    let (scheme, rest) = text.split_once(':')?;
    let (place, transport) = match rest.split_once("?transport=") {
        Some((place, transport)) => (place, Some(transport)),
        None => (rest, None),
    };
    let transport_fits = match scheme {
        "stun" | "stuns" => transport.is_none(),
        "turn" | "turns" => transport.is_none_or(|transport| matches!(transport, "udp" | "tcp")),
        _ => false,
    };
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (ip, behind) = rest.split_once(']')?;
            ip.parse::<Ipv6Addr>().ok()?;
            (ip, behind.strip_prefix(':').or(behind.is_empty().then_some("3478"))?)
        }
        None => place.split_once(':').unwrap_or((place, "3478")),
    };
    let is_host = host.contains(':')
        || (!host.is_empty()
            && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-')));
    Some(transport_fits && is_host && port.parse::<u16>().is_ok_and(|port| port != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_both_rfcs_are_taken_and_nothing_else() {
        for good in [
            "stun:turn.example.org",
            "stuns:turn.example.org:5349",
            "turn:192.0.2.1:3478?transport=udp",
            "turn:[2001:db8::1]:3478?transport=tcp",
            "turn:[2001:db8::1]",
            "turns:turn.example.org:443?transport=tcp",
        ] {
            assert_eq!(good.parse::<IceUrl>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "turn:",
            "turn.example.org",
            "turn://turn.example.org",
            "https://turn.example.org",
            "turn:host:0",
            "turn:host:65536",
            "turn:host:3478?transport=sctp",
            "stun:host?transport=udp",
            "turn:2001:db8::1",
            "turn:[nonsense]:1",
            "turn:host:3478 ",
            "turn:user@host",
            "turn:a\nb",
        ] {
            assert!(bad.parse::<IceUrl>().is_err(), "{bad:?}");
        }
    }
}
