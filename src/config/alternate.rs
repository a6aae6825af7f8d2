//! Another server, as people write it in the configuration.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use super::address::DnsName;
use super::choice::Transport;
use super::units::Invalid;

/// "203.0.113.9:3478", "udp:203.0.113.9:3478" or "tls:203.0.113.9:5349/turn2.example.org": where it is, for clients over
/// which transport, and by which name its certificate is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlternateServer {
    /// For clients over this; over all when it is not said.
    pub transport: Option<Transport>,
    /// Where it is.
    pub address: SocketAddr,
    /// Its name, for clients over TLS.
    pub name: Option<DnsName>,
}

impl FromStr for AlternateServer {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = || {
            Invalid(format!(
                "{text:?} is not a server: expected an address and a port, like \"203.0.113.9:3478\" or \
                 \"tls:203.0.113.9:5349/turn2.example.org\""
            ))
        };
        let (transport, rest) = match text.split_once(':') {
            Some(("udp", rest)) => (Some(Transport::Udp), rest),
            Some(("tcp", rest)) => (Some(Transport::Tcp), rest),
            Some(("tls", rest)) => (Some(Transport::Tls), rest),
            _ => (None, text),
        };
        let (address, name) = match rest.split_once('/') {
            Some((address, name)) => (address, Some(name.parse()?)),
            None => (rest, None),
        };
        let address: SocketAddr = address.parse().map_err(|_| invalid())?;
        if address.port() == 0 || address.ip().is_unspecified() {
            return Err(invalid());
        }
        Ok(Self { transport, address, name })
    }
}

impl fmt::Display for AlternateServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(transport) = self.transport {
            write!(f, "{transport}:")?;
        }
        self.address.fmt(f)?;
        self.name.as_ref().map_or(Ok(()), |name| write!(f, "/{name}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_reads_back_as_it_was_written() {
        for text in [
            "203.0.113.9:3478",
            "udp:203.0.113.9:3478",
            "tcp:[2001:db8::9]:3478",
            "[2001:db8::9]:3478",
            "tls:203.0.113.9:5349/turn2.example.org",
        ] {
            assert_eq!(text.parse::<AlternateServer>().unwrap().to_string(), text);
        }
        for bad in [
            "",
            "turn2.example.org:3478",
            "203.0.113.9",
            "203.0.113.9:0",
            "0.0.0.0:1",
            "quic:1.2.3.4:5",
            "1.2.3.4:5/",
        ] {
            assert!(bad.parse::<AlternateServer>().is_err(), "{bad}");
        }
    }
}
