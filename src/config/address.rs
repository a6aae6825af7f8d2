//! Addresses and ranges as people write them in the configuration.

use super::units::Invalid;
use ipnet::IpNet;
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    ops::RangeInclusive,
    str::FromStr,
};

/// Where to listen: one address, or all addresses the host has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ListenAddress {
    /// ":3478": all local addresses of both families.
    All {
        /// The port on each of them.
        port: u16,
    },
    /// "0.0.0.0:3478": all local IPv4 addresses.
    AllV4 {
        /// The port on each of them.
        port: u16,
    },
    /// `[::]:3478`: all local IPv6 addresses, and no IPv4 one.
    AllV6 {
        /// The port on each of them.
        port: u16,
    },
    /// One address, which must be the host's own.
    One(SocketAddr),
}

impl ListenAddress {
    /// The port to listen on; 0 lets the system choose one, which tests use.
    pub fn port(self) -> u16 {
        match self {
            Self::All { port } | Self::AllV4 { port } | Self::AllV6 { port } => port,
            Self::One(address) => address.port(),
        }
    }

    /// Whether a socket on `other` would also be opened for `self`.
    pub fn covers(self, other: Self) -> bool {
        // Port 0 never collides: each socket gets a port of its own.
        let same_port = self.port() == other.port() && self.port() != 0;
        same_port
            && match (self, other) {
                (Self::All { .. }, _)
                | (Self::AllV4 { .. }, Self::AllV4 { .. })
                | (Self::AllV6 { .. }, Self::AllV6 { .. }) => true,
                (Self::AllV4 { .. }, Self::One(one)) => one.is_ipv4(),
                (Self::AllV6 { .. }, Self::One(one)) => one.is_ipv6(),
                (Self::One(one), Self::One(other)) => one == other,
                (Self::AllV4 { .. } | Self::AllV6 { .. } | Self::One(_), _) => false,
            }
    }
}

impl FromStr for ListenAddress {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if let Some(port) = text.strip_prefix(':').and_then(|port| port.parse().ok()) {
            return Ok(Self::All { port });
        }
        let address: SocketAddr = text.parse().map_err(|_| {
            Invalid(format!(
                "{text:?} is not a listening address: expected \":port\" for all local addresses, \"0.0.0.0:port\" \
                 or \"[::]:port\" for those of one family, or one local \"address:port\""
            ))
        })?;
        let port = address.port();
        Ok(match address.ip() {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Self::AllV4 { port },
            IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Self::AllV6 { port },
            ip if ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST) => {
                return Err(Invalid(format!("{text:?} is not an address of one host")));
            }
            IpAddr::V4(_) | IpAddr::V6(_) => Self::One(address),
        })
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All { port } => write!(f, ":{port}"),
            Self::AllV4 { port } => write!(f, "0.0.0.0:{port}"),
            Self::AllV6 { port } => write!(f, "[::]:{port}"),
            Self::One(address) => address.fmt(f),
        }
    }
}

/// An address of this host to relay from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HostAddress(pub IpAddr);

impl FromStr for HostAddress {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let ip: IpAddr = text.parse().map_err(|_| {
            Invalid(format!(
                "{text:?} is not an IP address: expected one like \"192.0.2.1\" or \"2001:db8::1\""
            ))
        })?;
        let broadcast = ip == IpAddr::V4(Ipv4Addr::BROADCAST);
        match ip.is_unspecified() || ip.is_multicast() || broadcast {
            true => Err(Invalid(format!("{text:?} is not an address of one host"))),
            false => Ok(Self(ip)),
        }
    }
}

impl fmt::Display for HostAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The outside of a 1:1 NAT: "public", or "public/private" when the host has several addresses of the family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ExternalAddress {
    /// What clients and peers see.
    pub public: IpAddr,
    /// The local address behind it; `None` when it stands for all of its family.
    pub private: Option<IpAddr>,
}

impl FromStr for ExternalAddress {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (public, private) = match text.split_once('/') {
            Some((public, private)) => (public, Some(private)),
            None => (text, None),
        };
        let read = |part: &str| {
            part.trim().parse().map(|HostAddress(ip)| ip).map_err(|_| {
            Invalid(format!("{text:?} is not an external address: expected \"public\" or \"public/private\", each an IP address"))
        })
        };
        let (public, private) = (read(public)?, private.map(read).transpose()?);
        match private.is_some_and(|private| private.is_ipv4() != public.is_ipv4()) {
            true => Err(Invalid(format!(
                "{text:?} joins an IPv4 and an IPv6 address; both must be of one family"
            ))),
            false => Ok(Self { public, private }),
        }
    }
}

impl fmt::Display for ExternalAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.private {
            Some(private) => write!(f, "{}/{private}", self.public),
            None => self.public.fmt(f),
        }
    }
}

/// A port to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port(pub u16);

impl FromStr for Port {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let port = text.parse().ok().filter(|port| *port != 0);
        port.map(Self).ok_or_else(|| Invalid(format!("{text} is not a port: expected 1 to 65535")))
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A range of ports, both ends included: "49152-65535".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    /// `None` when the range is empty or has port 0 in it.
    pub const fn new(first: u16, last: u16) -> Option<Self> {
        match 0 < first && first <= last {
            true => Some(Self { first, last }),
            false => None,
        }
    }

    /// All ports of the range.
    pub fn ports(self) -> RangeInclusive<u16> {
        self.first..=self.last
    }
}

impl FromStr for PortRange {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let read = |port: &str| port.trim().parse().ok();
        text.split_once('-').and_then(|(first, last)| Self::new(read(first)?, read(last)?)).ok_or_else(|| {
            Invalid(format!("{text:?} is not a range of ports: expected \"first-last\" within 1-65535"))
        })
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

/// A service on another host, or on this one: `127.0.0.1:8080`, `[::1]:8080` or `backend:8080`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// A name, or an address without brackets.
    pub host: String,
    /// Never 0.
    pub port: u16,
}

impl FromStr for HostPort {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let split = || {
            let (host, port) = text.rsplit_once(':')?;
            let port = port.parse().ok().filter(|port| *port != 0)?;
            let inside = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
            let good = match inside {
                Some(ip) => ip.parse::<Ipv6Addr>().is_ok(),
                None => is_host(host),
            };
            good.then(|| Self { host: inside.unwrap_or(host).to_owned(), port })
        };
        split().ok_or_else(|| {
            Invalid(format!(
                "{text:?} is not a service: expected \"host:port\", like \"127.0.0.1:8080\" or \"[::1]:8080\""
            ))
        })
    }
}

/// A name of this server in the DNS, in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DnsName(pub String);

impl FromStr for DnsName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let is_name = is_host(text)
            && text.parse::<Ipv4Addr>().is_err()
            && text.split('.').all(|label| (1..=63).contains(&label.len()));
        match is_name {
            true => Ok(Self(text.to_ascii_lowercase())),
            false => Err(Invalid(format!("{text:?} is not a name: expected one like \"turn.example.org\""))),
        }
    }
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Letters, digits, dots, hyphens and underscores: names and IPv4 addresses, and nothing with a path or a scheme.
fn is_host(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 253
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// A set of addresses: "10.0.0.0/8", "2001:db8::/32", or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cidr(pub IpNet);

impl FromStr for Cidr {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Ok(Self(ip.into()));
        }
        let net: IpNet = text.parse().map_err(|_| {
            Invalid(format!(
                "{text:?} is not an address range: expected one like \"10.0.0.0/8\" or \"2001:db8::/32\""
            ))
        })?;
        // Bits behind the prefix are most often a slip that would allow or deny more than was meant.
        match net.addr() == net.network() {
            true => Ok(Self(net)),
            false => Err(Invalid(format!(
                "{text:?} has bits set behind its prefix: write \"{}\" for the range, or \"{}\" for the one address",
                net.trunc(),
                net.addr()
            ))),
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown<T: FromStr<Err = Invalid> + fmt::Display>(text: &str) -> Result<String, String> {
        text.parse::<T>().map(|value| value.to_string()).map_err(|Invalid(message)| message)
    }

    #[test]
    fn addresses_are_read_and_shown_as_written() {
        for text in
            [":3478", "0.0.0.0:3478", "[::]:3478", "192.0.2.1:3478", "[2001:db8::1]:53", "127.0.0.1:0"]
        {
            assert_eq!(shown::<ListenAddress>(text).as_deref(), Ok(text));
        }
        for text in ["203.0.113.7", "203.0.113.7/10.0.0.5", "2001:db8::7/fd00::5"] {
            assert_eq!(shown::<ExternalAddress>(text).as_deref(), Ok(text));
        }
        for text in ["49152-65535", "1-1", "1-65535"] {
            assert_eq!(shown::<PortRange>(text).as_deref(), Ok(text));
        }
        for text in ["127.0.0.1:8080", "[::1]:80", "backend:1", "web.example.org:65535"] {
            assert_eq!(shown::<HostPort>(text).as_deref(), Ok(text));
        }
        assert_eq!(shown::<DnsName>("Turn.Example.org").as_deref(), Ok("turn.example.org"));
        assert_eq!(shown::<Cidr>("10.0.0.0/8").as_deref(), Ok("10.0.0.0/8"));
        assert_eq!(shown::<Cidr>("10.1.2.3").as_deref(), Ok("10.1.2.3/32"));
        assert_eq!(shown::<Cidr>("2001:db8::1").as_deref(), Ok("2001:db8::1/128"));
        assert_eq!(shown::<Cidr>("::/0").as_deref(), Ok("::/0"));
    }

    #[test]
    fn wrong_addresses_are_refused_with_what_is_expected() {
        for text in ["3478", "localhost:3478", ":99999", "", "::3478", "192.0.2.1"] {
            assert!(
                shown::<ListenAddress>(text).unwrap_err().contains("is not a listening address: expected"),
                "{text}"
            );
        }
        for text in ["224.0.0.1:3478", "[ff02::1]:3478", "255.255.255.255:3478"] {
            assert!(
                shown::<ListenAddress>(text).unwrap_err().contains("is not an address of one host"),
                "{text}"
            );
        }
        for text in ["0.0.0.0", "::", "239.0.0.1", "255.255.255.255"] {
            assert!(
                shown::<HostAddress>(text).unwrap_err().contains("is not an address of one host"),
                "{text}"
            );
        }
        for text in ["example.org", "1.2.3.4/", "1.2.3.4/24", "/10.0.0.1", "1.2.3.4/10.0.0.1/10.0.0.2"] {
            assert!(shown::<ExternalAddress>(text).unwrap_err().contains("expected \"public\""), "{text}");
        }
        assert!(shown::<ExternalAddress>("203.0.113.7/fd00::5").unwrap_err().contains("one family"));
        for text in ["0-10", "20-10", "10", "1-65536", "a-b", ""] {
            assert!(shown::<PortRange>(text).unwrap_err().contains("expected \"first-last\""), "{text}");
        }
        for text in
            ["", "backend", ":80", "backend:", "x:0", "http://x:80", "::1:80", "[x]:80", "a b:80", "x:65536"]
        {
            assert!(shown::<HostPort>(text).unwrap_err().contains("is not a service: expected"), "{text}");
        }
        for text in ["", "*.example.org", "192.0.2.1", "::1", "turn.example.org.", "a..b", "turn:3478"] {
            assert!(shown::<DnsName>(text).unwrap_err().contains("is not a name: expected"), "{text}");
        }
        for text in ["10.0.0.0/33", "10.0.0/8", "private", "", "2001:db8::/129", "10.0.0.0/-1"] {
            assert!(shown::<Cidr>(text).unwrap_err().contains("is not an address range"), "{text}");
        }
        assert_eq!(
            shown::<Cidr>("10.0.0.7/8").unwrap_err(),
            "\"10.0.0.7/8\" has bits set behind its prefix: write \"10.0.0.0/8\" for the range, or \"10.0.0.7\" for the one address"
        );
    }

    #[test]
    fn a_listener_covers_what_would_be_bound_twice() {
        let cases = [
            (":3478", "0.0.0.0:3478", true),
            (":3478", ":3478", true),
            (":3478", ":3479", false),
            ("0.0.0.0:3478", "192.0.2.1:3478", true),
            ("0.0.0.0:3478", "[2001:db8::1]:3478", false),
            ("[::]:3478", "[2001:db8::1]:3478", true),
            ("0.0.0.0:3478", "[::]:3478", false),
            ("192.0.2.1:3478", "192.0.2.1:3478", true),
            ("192.0.2.1:3478", ":3478", false),
            ("127.0.0.1:0", "127.0.0.1:0", false),
        ];
        for (first, second, expected) in cases {
            let read = |text: &str| text.parse::<ListenAddress>().unwrap();
            assert_eq!(read(first).covers(read(second)), expected, "{first} {second}");
        }
    }
}
