//! Who sent a datagram and where it arrived.

use std::net::{IpAddr, SocketAddr, SocketAddrV6};

use super::packed_ip::PackedIp;

/// How a client's bytes reach a listener (RFC 8656 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// One message a datagram.
    Udp,
    /// A stream of messages.
    Tcp,
    /// The same, encrypted.
    Tls,
}

impl Transport {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Udp, Self::Tcp, Self::Tls];

    /// The transport in a log line or a metric's label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        }
    }
}

/// A listening address of the server: the server's half of a 5-tuple. Its two top bits are the transport, so that
/// nobody needs to look it up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListenerId(pub u16);

impl ListenerId {
    const NUMBER: u16 = (1 << 14) - 1;
    const TCP: u16 = 0b01 << 14;
    const TLS: u16 = 0b10 << 14;

    /// The listener with this number, below 2¹⁴, among those of its kind: datagrams or streams. On a port that serves
    /// plain TCP and TLS both transports have the same number.
    pub const fn new(transport: Transport, number: u16) -> Self {
        let transport = match transport {
            Transport::Udp => 0,
            Transport::Tcp => Self::TCP,
            Transport::Tls => Self::TLS,
        };
        Self(transport | number & Self::NUMBER)
    }

    /// How clients reach it.
    pub const fn transport(self) -> Transport {
        match self.0 & !Self::NUMBER {
            0 => Transport::Udp,
            Self::TCP => Transport::Tcp,
            _ => Transport::Tls,
        }
    }

    /// Its number among those of its kind.
    pub const fn number(self) -> u16 {
        self.0 & Self::NUMBER
    }

    /// Whether its clients have connections, which can end.
    #[inline]
    pub const fn is_stream(self) -> bool {
        self.0 > Self::NUMBER
    }
}

/// The 5-tuple that identifies an allocation (RFC 8656 §3), packed into 24 bytes to be a fast map key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FiveTuple {
    ip: PackedIp,
    /// Scope id (32 bits), listener (16), port (16).
    rest: u64,
}

impl FiveTuple {
    /// Packs a client's address and the listener it was seen on.
    #[inline]
    pub fn new(client: SocketAddr, listener: ListenerId) -> Self {
        let scope = match client {
            SocketAddr::V4(_) => 0,
            SocketAddr::V6(client) => client.scope_id(),
        };
        Self {
            ip: PackedIp::new(client.ip()),
            rest: u64::from(scope) << 32 | u64::from(listener.0) << 16 | u64::from(client.port()),
        }
    }

    /// The client's address.
    #[inline]
    pub fn client(self) -> SocketAddr {
        let [s0, s1, s2, s3, _, _, p0, p1] = self.rest.to_be_bytes();
        let port = u16::from_be_bytes([p0, p1]);
        match self.ip.get() {
            IpAddr::V4(ip) => SocketAddr::from((ip, port)),
            IpAddr::V6(ip) => SocketAddrV6::new(ip, port, 0, u32::from_be_bytes([s0, s1, s2, s3])).into(),
        }
    }

    /// Whether the client talks over a connection: it cannot pretend to be somebody else, and is gone when that is.
    #[inline]
    pub fn is_stream(self) -> bool {
        self.listener().is_stream()
    }

    /// The listener the client talks to.
    #[inline]
    pub fn listener(self) -> ListenerId {
        let [.., l0, l1, _, _] = self.rest.to_be_bytes();
        ListenerId(u16::from_be_bytes([l0, l1]))
    }
}

impl std::fmt::Debug for FiveTuple {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.client(), self.listener().0)
    }
}

/// Whether a source address can be answered at all: port 0 and addresses of many are forged (THREATS L05).
pub(super) fn is_answerable(client: SocketAddr) -> bool {
    client.port() != 0
        && !match client.ip() {
            IpAddr::V4(ip) => ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast(),
            IpAddr::V6(ip) => ip.is_unspecified() || ip.is_multicast(),
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_loses_nothing() {
        let scoped = SocketAddr::V6(SocketAddrV6::new("fe80::1".parse().unwrap(), 3, 0, 7));
        let plain = ["1.2.3.4:5", "255.255.255.255:65535", "[2001:db8::1]:3478", "[::1]:0"]
            .map(|text| text.parse().unwrap());
        for client in plain.into_iter().chain([scoped]) {
            for listener in [0, 1, ListenerId::NUMBER, ListenerId::TCP, ListenerId::TLS | 5] {
                let tuple = FiveTuple::new(client, ListenerId(listener));
                assert_eq!((tuple.client(), tuple.listener()), (client, ListenerId(listener)));
            }
        }
        assert_eq!(size_of::<FiveTuple>(), 24);
    }

    #[test]
    fn a_listener_is_its_transport_and_its_number() {
        for transport in [Transport::Udp, Transport::Tcp, Transport::Tls] {
            for number in [0, 1, ListenerId::NUMBER] {
                let listener = ListenerId::new(transport, number);
                assert_eq!((listener.transport(), listener.number()), (transport, number));
                assert_eq!(listener.is_stream(), transport != Transport::Udp);
            }
        }
    }
}
