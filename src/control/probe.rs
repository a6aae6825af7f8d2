//! Asks a server for a Binding, as a client would: the shortest proof that packets come in, are served, and go out.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use crate::wire::{AttributeType, Class, Header, Message, Method, TransactionId, Writer, decode_xor_address};

/// Over what to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    /// UDP, where a request is repeated until it is answered.
    Udp,
    /// TCP.
    Tcp,
}

/// Why there is no good answer.
#[derive(Debug)]
pub(crate) enum ProbeError {
    /// None has come.
    Silent {
        /// How long it was waited for.
        patience: Duration,
    },
    /// The system says why nothing can come.
    System(io::Error),
    /// What has come is no success with our own address in it.
    Wrong,
}

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent { patience } => write!(f, "no answer within {patience:?}"),
            Self::System(error) if error.kind() == ErrorKind::ConnectionRefused => {
                write!(f, "nobody listens there ({error})")
            }
            Self::System(error) => error.fmt(f),
            Self::Wrong => {
                f.write_str("the answer is not that of a STUN server that sees this host's address")
            }
        }
    }
}

impl From<io::Error> for ProbeError {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

/// How long an answer took.
pub(crate) fn probe(server: SocketAddr, over: Over, patience: Duration) -> Result<Duration, ProbeError> {
    let start = Instant::now();
    let question = Question::new()?;
    let asked = match over {
        Over::Udp => question.ask_by_datagram(server, start + patience),
        Over::Tcp => question.ask_by_stream(server, start + patience),
    };
    match asked {
        Ok(()) => Ok(start.elapsed()),
        Err(ProbeError::System(error)) if is_timeout(&error) => Err(ProbeError::Silent { patience }),
        Err(error) => Err(error),
    }
}

struct Question {
    transaction: TransactionId,
}

/// A datagram may be lost.
const REPEAT: Duration = Duration::from_millis(250);
/// No answer to a Binding is as long.
const ROOM: usize = 548;

impl Question {
    fn new() -> io::Result<Self> {
        let mut id = [0; 12];
        getrandom::fill(&mut id)?;
        Ok(Self { transaction: TransactionId(id) })
    }

    fn ask_by_datagram(&self, server: SocketAddr, deadline: Instant) -> Result<(), ProbeError> {
        let any = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind(SocketAddr::new(any, 0))?;
        socket.connect(server)?;
        let mut answer = [0; ROOM];
        loop {
            socket.send(&self.request())?;
            socket.set_read_timeout(Some(left(deadline)?.min(REPEAT)))?;
            match socket.recv(&mut answer) {
                Ok(length) => return self.judge(&answer[..length], socket.local_addr()?),
                Err(error) if is_timeout(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn ask_by_stream(&self, server: SocketAddr, deadline: Instant) -> Result<(), ProbeError> {
        let mut stream = TcpStream::connect_timeout(&server, left(deadline)?)?;
        stream.set_read_timeout(Some(left(deadline)?))?;
        stream.write_all(&self.request())?;
        let mut answer = [0; ROOM];
        stream.read_exact(&mut answer[..Header::LENGTH])?;
        let length = Header::LENGTH + usize::from(u16::from_be_bytes([answer[2], answer[3]]));
        let rest = answer.get_mut(Header::LENGTH..length).ok_or(ProbeError::Wrong)?;
        stream.read_exact(rest)?;
        self.judge(&answer[..length], stream.local_addr()?)
    }

    fn request(&self) -> [u8; Header::LENGTH] {
        let mut buffer = [0; Header::LENGTH];
        let header = Header::new(Class::Request, Method::BINDING, self.transaction);
        Writer::new(&mut buffer, header).finish().expect("a header fits into a header's length");
        buffer
    }

    fn judge(&self, answer: &[u8], own: SocketAddr) -> Result<(), ProbeError> {
        let message = Message::parse(answer).map_err(|_| ProbeError::Wrong)?;
        let header = message.header();
        let mapped = message
            .get(AttributeType::XOR_MAPPED_ADDRESS)
            .and_then(|value| decode_xor_address(value, header));
        let is_good = header.class == Class::Success
            && header.method == Method::BINDING
            && header.transaction == self.transaction
            && mapped.is_some_and(|mapped| mapped.port() == own.port());
        if is_good { Ok(()) } else { Err(ProbeError::Wrong) }
    }
}

/// The time until then, of which there must be some.
fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// A read that took too long has either name.
fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread;

    fn answer_to(request: &[u8], class: Class, mapped: SocketAddr) -> Vec<u8> {
        let transaction = Message::parse(request).unwrap().header().transaction;
        let mut buffer = [0; 128];
        let answer = Writer::new(&mut buffer, Header::new(class, Method::BINDING, transaction))
            .xor_address(AttributeType::XOR_MAPPED_ADDRESS, mapped)
            .finish();
        answer.unwrap().to_vec()
    }

    /// What the probe makes of a server that answers its second request like this.
    fn probed(
        answer: impl FnOnce(&[u8], SocketAddr) -> Vec<u8> + Send + 'static,
    ) -> Result<Duration, ProbeError> {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        let serve = thread::spawn(move || {
            let mut request = [0; 64];
            server.recv(&mut request).unwrap();
            let (length, client) = server.recv_from(&mut request).unwrap();
            server.send_to(&answer(&request[..length], client), client).unwrap();
        });
        let probed = probe(address, Over::Udp, Duration::from_secs(30));
        serve.join().unwrap();
        probed
    }

    #[test]
    fn a_success_with_the_own_port_is_good_and_all_else_is_not() {
        let took = probed(|request, client| answer_to(request, Class::Success, client)).unwrap();
        assert!(took >= REPEAT, "the first request was lost");
        let elsewhere = |client: SocketAddr| SocketAddr::new(client.ip(), client.port() ^ 1);
        let wrong = [
            probed(|request, client| answer_to(request, Class::Error, client)),
            probed(move |request, client| answer_to(request, Class::Success, elsewhere(client))),
            probed(|_, client| answer_to(&Question::new().unwrap().request(), Class::Success, client)),
            probed(|_, _| b"HTTP/1.1 400 Bad Request".to_vec()),
        ];
        for (at, wrong) in wrong.iter().enumerate() {
            assert!(matches!(wrong, Err(ProbeError::Wrong)), "{at}: {wrong:?}");
        }
    }

    #[test]
    fn silence_and_refusal_are_told_apart() {
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = silent.local_addr().unwrap();
        let patience = Duration::from_millis(300);
        let error = probe(address, Over::Udp, patience).unwrap_err();
        assert_eq!(error.to_string(), "no answer within 300ms");
        drop(silent);
        for over in [Over::Udp, Over::Tcp] {
            let error = probe(address, over, Duration::from_secs(30)).unwrap_err();
            assert!(error.to_string().starts_with("nobody listens there"), "{over:?}: {error}");
        }
        let mute = TcpListener::bind("127.0.0.1:0").unwrap();
        let error = probe(mute.local_addr().unwrap(), Over::Tcp, patience).unwrap_err();
        assert!(matches!(error, ProbeError::Silent { .. }), "{error:?}");
    }
}
