//! Connections that are not for us: HTTP on a port that is shared with a web server behind us, which gets them.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use mio::net::TcpStream;
use socket2::SockRef;

use super::caps::Place;
use super::pump::{End, Next, Pump, Scratch, Side};
use super::session::Session;
use crate::turn::Millis;

/// Who gets the connections of a listener that are not for us.
#[derive(Clone, Debug)]
pub struct Fallback {
    /// Where the web server is; the next one is tried when one does not answer.
    pub backends: Arc<[SocketAddr]>,
    /// How it is told who the client is.
    pub announce: Announce,
}

/// In which version of the PROXY protocol somebody is told whose connection it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announce {
    /// In none.
    Off,
    /// As a line of text.
    V1,
    /// In binary.
    V2,
}

/// A connection that is passed on.
pub(crate) struct Passage {
    client: SocketAddr,
    fallback: Fallback,
    pump: Pump,
    /// Which backend is being connected to.
    connecting: Option<usize>,
    /// The connection was made, or something was passed, then.
    since: Millis,
    /// It is in the list of those to be given a turn.
    pub(crate) queued: bool,
    /// It counts as a connection of its client.
    _place: Place,
}

/// What came of a passage's turn.
#[derive(Debug)]
pub(crate) enum Step {
    /// It waits for one of its sockets.
    Wait,
    /// There is more to do at once.
    Again,
    /// It goes to the next backend by a new socket, which the poll has to know.
    Redirected,
    /// All has been passed on.
    Over,
    /// No backend takes it.
    Failed(io::Error),
}

/// How long a backend may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(5);

impl Passage {
    /// Begins to pass on a connection whose first bytes, `begin`, have been read.
    pub(crate) fn new(
        near: Side,
        client: SocketAddr,
        place: Place,
        fallback: Fallback,
        begin: &[u8],
        now: Millis,
    ) -> io::Result<Self> {
        let (attempt, far) = connect(&fallback.backends, 0)?;
        let destination = near.local_address()?;
        let mut pump = Pump::new(near, Side::new(far, Session::Plain));
        pump.begin_with(End::Far, &announcement(fallback.announce, client, destination));
        pump.begin_with(End::Far, begin);
        let connecting = Some(attempt);
        Ok(Self { client, fallback, pump, connecting, since: now, queued: false, _place: place })
    }

    /// Whose connection it is.
    pub(crate) const fn client(&self) -> SocketAddr {
        self.client
    }

    /// The socket towards the backend, for the poll.
    pub(crate) const fn far(&mut self) -> &mut TcpStream {
        self.pump.socket(End::Far)
    }

    /// The kernel has news of one of the sockets.
    pub(crate) fn note(&mut self, end: End, hung_up: bool) {
        // What is said of a socket that is not connected yet may be said of one that has been replaced.
        if end == End::Near || self.connecting.is_none() {
            self.pump.note(end, hung_up);
        }
    }

    /// The client has said all.
    pub(crate) const fn note_end(&mut self) {
        self.pump.note_end(End::Near);
    }

    /// Passes on what there is, as much as one turn allows.
    pub(crate) fn turn(&mut self, scratch: &mut Scratch, now: Millis) -> Step {
        if let Some(attempt) = self.connecting {
            match is_connected(self.far()) {
                Ok(false) => return Step::Wait,
                Ok(true) => {
                    self.connecting = None;
                    self.since = now;
                }
                Err(error) => return self.redirect(attempt, error, now),
            }
        }
        let passed = self.pump.turn(scratch);
        if passed.from_near + passed.from_far > 0 {
            self.since = now;
        }
        match passed.next {
            Next::Wait => Step::Wait,
            Next::Again => Step::Again,
            Next::Over => Step::Over,
        }
    }

    /// Goes to the next backend; if there is none the passage has failed.
    fn redirect(&mut self, attempt: usize, error: io::Error, now: Millis) -> Step {
        let Ok((attempt, far)) = connect(&self.fallback.backends, attempt + 1) else {
            return Step::Failed(error);
        };
        *self.far() = far;
        self.connecting = Some(attempt);
        self.since = now;
        Step::Redirected
    }

    /// What to do with it if it has taken too long.
    pub(crate) fn overdue(&mut self, idle: Duration, now: Millis) -> Option<Step> {
        match self.connecting {
            Some(attempt) if now.since(self.since) > CONNECT => {
                Some(self.redirect(attempt, io::ErrorKind::TimedOut.into(), now))
            }
            None if now.since(self.since) > idle => Some(Step::Over),
            Some(_) | None => None,
        }
    }
}

/// Begins to connect to a backend, from this one on; which one it is.
fn connect(backends: &[SocketAddr], first: usize) -> io::Result<(usize, TcpStream)> {
    let mut failure = io::ErrorKind::NotFound.into();
    for (attempt, backend) in backends.iter().enumerate().skip(first) {
        match TcpStream::connect(*backend) {
            Ok(socket) => {
                // What is passed on has been gathered once already.
                let _ = SockRef::from(&socket).set_tcp_nodelay(true);
                return Ok((attempt, socket));
            }
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// Whether a socket that was connecting is connected.
fn is_connected(socket: &TcpStream) -> io::Result<bool> {
    if let Some(error) = socket.take_error()? {
        return Err(error);
    }
    match socket.peer_addr() {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
        Err(error) => Err(error),
    }
}

/// A header of the PROXY protocol. Both ends are written in one version of IP: if only one of them is of the sixth,
/// the other one is mapped into it.
fn announcement(announce: Announce, source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let (from, to) = (source.port(), destination.port());
    let (family, protocol, source, destination) = match (source.ip(), destination.ip()) {
        (source @ IpAddr::V4(_), destination @ IpAddr::V4(_)) => (0x11, "TCP4", source, destination),
        (source, destination) => (0x21, "TCP6", in_v6(source), in_v6(destination)),
    };
    match announce {
        Announce::Off => Vec::new(),
        Announce::V1 => format!("PROXY {protocol} {source} {destination} {from} {to}\r\n").into_bytes(),
        Announce::V2 => {
            let addresses = [octets(source), octets(destination)].concat();
            // Both addresses and two ports: 12 bytes, or 36.
            let length = if addresses.len() == 8 { 12 } else { 36 };
            let head = [&b"\r\n\r\n\0\r\nQUIT\n\x21"[..], &[family, 0, length]].concat();
            [head, addresses, from.to_be_bytes().into(), to.to_be_bytes().into()].concat()
        }
    }
}

const fn in_v6(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => IpAddr::V6(ip.to_ipv6_mapped()),
        IpAddr::V6(_) => ip,
    }
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().into(),
        IpAddr::V6(ip) => ip.octets().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::proxy_protocol::{Ends, Parsed, ProxyHeader, parse};

    #[test]
    fn a_backend_is_told_what_we_would_read() {
        let cases = [
            ("192.0.2.1:1", "198.51.100.2:443"),
            ("[2001:db8::1]:1", "[2001:db8::2]:443"),
            ("[2001:db8::1]:1", "198.51.100.2:443"),
            ("192.0.2.1:1", "[2001:db8::2]:443"),
        ];
        for (source, destination) in cases {
            let ends = Ends { source: source.parse().unwrap(), destination: destination.parse().unwrap() };
            for announce in [Announce::V1, Announce::V2] {
                let header = announcement(announce, ends.source, ends.destination);
                let expected = ProxyHeader { ends: Some(ends), length: header.len() };
                assert_eq!(parse(&header), Ok(Parsed::Header(expected)), "{announce:?} {source}");
            }
            assert!(announcement(Announce::Off, ends.source, ends.destination).is_empty());
        }
    }
}
