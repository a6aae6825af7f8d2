//! Sockets that the service manager has opened for us (socket activation).
//!
//! The configuration says where the server listens, with or without them: a socket is used for the listener that has its
//! address, and what belongs to no listener is given back with a word about why.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use socket2::{SockRef, Type};

use crate::net::sys::descriptors;

/// The inherited sockets that no listener has taken yet.
#[derive(Debug, Default)]
pub(in super::super) struct InheritedSockets {
    left: Vec<Inherited>,
}

/// What is heard on a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Kind {
    /// UDP.
    Datagrams,
    /// TCP.
    Connections,
}

#[derive(Debug)]
struct Inherited {
    /// What the socket unit calls it.
    name: String,
    kind: Kind,
    address: SocketAddr,
    /// It hears IPv4 as well, in the guise of IPv6.
    is_dual: bool,
    descriptor: OwnedFd,
}

impl InheritedSockets {
    /// What this process was started with. To be asked for before anything else is opened.
    pub(in super::super) fn of_this_process() -> io::Result<Self> {
        // The variables stay where they are: they name this process, so its children cannot take them for theirs.
        let variable = |name: &str| std::env::var(name).ok();
        let Some(count) = announced(variable("LISTEN_PID"), variable("LISTEN_FDS"), std::process::id())
        else {
            return Ok(Self::default());
        };
        let names = variable("LISTEN_FDNAMES").unwrap_or_default();
        Ok(Self::new(descriptors::inherit(count)?, &names))
    }

    fn new(descriptors: Vec<OwnedFd>, names: &str) -> Self {
        // Where there are no names, systemd says "unknown".
        let names = names.split(':').map(|name| if name.is_empty() { "unknown" } else { name });
        let named = descriptors.into_iter().zip(names.chain(std::iter::repeat("unknown")));
        let usable = named.filter_map(|(descriptor, name)| match Inherited::of(descriptor, name) {
            Ok(socket) => Some(socket),
            Err(reason) => {
                tracing::warn!(name, reason, "inherited socket cannot be used");
                None
            }
        });
        Self { left: usable.collect() }
    }

    /// Whether there is a socket for a listener on this address.
    pub(in super::super) fn has(&self, kind: Kind, address: SocketAddr) -> bool {
        self.left.iter().any(|socket| socket.fits(kind, address))
    }

    /// The sockets for a listener on this address. Several share its clients.
    pub(in super::super) fn take(&mut self, kind: Kind, address: SocketAddr) -> Vec<OwnedFd> {
        let taken = self.left.extract_if(.., |socket| socket.fits(kind, address));
        let told = taken.map(|socket| {
            tracing::info!(name = socket.name, listener = %socket, "inherited socket in use");
            socket.descriptor
        });
        told.collect()
    }

    /// Closes what belongs to no listener, and says so: whoever has opened it still has it open, and clients that find
    /// it wait in vain.
    pub(in super::super) fn give_up(self) {
        for socket in self.left {
            tracing::warn!(
                name = socket.name,
                socket = %socket,
                detail = socket.advice(),
                "inherited socket belongs to no listener"
            );
        }
    }
}

impl Inherited {
    fn of(descriptor: OwnedFd, name: &str) -> Result<Self, String> {
        let socket = SockRef::from(&descriptor);
        let system = |error: io::Error| error.to_string();
        let kind = match socket.r#type().map_err(system)? {
            Type::DGRAM => Kind::Datagrams,
            Type::STREAM if is_listening(&socket).map_err(system)? => Kind::Connections,
            Type::STREAM => return Err("it is a connection; the socket unit needs Accept=no".to_owned()),
            _ => return Err("it is for neither UDP nor TCP".to_owned()),
        };
        let address = socket.local_addr().map_err(system)?.as_socket();
        let address = address.ok_or("it has no IP address")?;
        let is_dual =
            address.ip().is_unspecified() && address.is_ipv6() && !socket.only_v6().map_err(system)?;
        Ok(Self { name: name.to_owned(), kind, address, is_dual, descriptor })
    }

    fn fits(&self, kind: Kind, address: SocketAddr) -> bool {
        self.kind == kind && self.address == address && !self.is_dual
    }

    /// What to change so that it fits.
    fn advice(&self) -> &'static str {
        match (self.kind, self.address.ip().is_unspecified(), self.is_dual) {
            (Kind::Connections, _, true) => {
                "it hears IPv4 too: set BindIPv6Only=ipv6-only and name 0.0.0.0 beside [::] in the socket unit"
            }
            (Kind::Connections, true, false) => {
                "a socket for all addresses is for a TCP or TLS listener on \":PORT\", \"0.0.0.0:PORT\" or \"[::]:PORT\": add one, or remove the socket from its unit"
            }
            (Kind::Datagrams, true, _) => {
                "answers must leave from the address that the client knows: name each address with a ListenDatagram= of its own"
            }
            (_, false, _) => {
                "add a listener with this address and transport, or remove the socket from its unit"
            }
        }
    }
}

/// As the configuration would write it.
impl fmt::Display for Inherited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let transport = match self.kind {
            Kind::Datagrams => "udp",
            Kind::Connections => "tcp",
        };
        write!(f, "{transport}:{}", self.address)
    }
}

/// How many descriptors are announced to the process `own`.
fn announced(pid: Option<String>, count: Option<String>, own: u32) -> Option<u16> {
    let is_for_us = pid?.parse::<u32>().is_ok_and(|pid| pid == own);
    count?.parse().ok().filter(|_| is_for_us)
}

#[cfg(any(target_os = "linux", target_os = "freebsd", target_os = "android"))]
fn is_listening(socket: &SockRef<'_>) -> io::Result<bool> {
    socket.is_listener()
}

/// Where the system does not tell, the first attempt to accept will.
#[cfg(not(any(target_os = "linux", target_os = "freebsd", target_os = "android")))]
fn is_listening(_: &SockRef<'_>) -> io::Result<bool> {
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::{Domain, Socket};
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::unix::net::UnixDatagram;

    #[test]
    fn descriptors_are_for_the_process_that_is_named() {
        let cases: &[(Option<&str>, Option<&str>, Option<u16>)] = &[
            (Some("42"), Some("2"), Some(2)),
            (Some("43"), Some("2"), None),
            (None, Some("2"), None),
            (Some("42"), None, None),
            (Some("42"), Some("many"), None),
        ];
        for &(pid, count, expected) in cases {
            let owned = |text: Option<&str>| text.map(str::to_owned);
            assert_eq!(announced(owned(pid), owned(count), 42), expected, "{pid:?} {count:?}");
        }
    }

    #[test]
    fn a_socket_goes_to_the_listener_that_has_its_address_and_kind() {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let (udp_address, tcp_address) = (udp.local_addr().unwrap(), tcp.local_addr().unwrap());
        let mut inherited = InheritedSockets::new(vec![udp.into(), tcp.into()], "voice:web");
        assert_eq!(inherited.left[1].name, "web");
        assert!(inherited.take(Kind::Connections, udp_address).is_empty(), "it hears no connections");
        assert_eq!(inherited.take(Kind::Datagrams, udp_address).len(), 1);
        assert!(inherited.take(Kind::Datagrams, udp_address).is_empty(), "it is taken");
        assert_eq!(inherited.take(Kind::Connections, tcp_address).len(), 1);
        assert!(inherited.left.is_empty());
    }

    #[test]
    fn what_is_no_listening_socket_is_left_out() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let connection = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let local = UnixDatagram::unbound().unwrap();
        let file = std::fs::File::open("/dev/null").unwrap();
        let inherited = InheritedSockets::new(vec![connection.into(), local.into(), file.into()], "");
        assert!(inherited.left.is_empty(), "{inherited:?}");
    }

    #[test]
    fn a_socket_that_fits_no_listener_has_its_own_advice() {
        let dual = Socket::new(Domain::IPV6, Type::STREAM, None).unwrap();
        dual.set_only_v6(false).unwrap();
        dual.bind(&"[::]:0".parse::<SocketAddr>().unwrap().into()).unwrap();
        dual.listen(1).unwrap();
        let sockets: Vec<OwnedFd> = vec![
            dual.into(),
            TcpListener::bind("0.0.0.0:0").unwrap().into(),
            UdpSocket::bind("0.0.0.0:0").unwrap().into(),
            UdpSocket::bind("127.0.0.1:0").unwrap().into(),
        ];
        let mut inherited = InheritedSockets::new(sockets, "");
        let words = ["BindIPv6Only=ipv6-only", "\"0.0.0.0:PORT\"", "ListenDatagram=", "add a listener"];
        for (socket, words) in inherited.left.iter().zip(words) {
            assert!(socket.advice().contains(words), "{socket}: {}", socket.advice());
        }
        let dual = inherited.left[0].address;
        assert!(inherited.take(Kind::Connections, dual).is_empty(), "its IPv4 clients would look like IPv6");
    }
}
