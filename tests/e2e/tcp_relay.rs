//! TCP relaying (RFC 6062) on real sockets: control and data connections, over TCP and TLS, on several workers.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use turnbridge::wire::{AttributeType, Class, Message, Method, Writer, decode_xor_address};

use crate::authority::Authority;
use crate::home::Home;
use crate::login::{Login, Verdict, address};
use crate::server::{Credential, Server};

const PATIENCE: Duration = Duration::from_secs(10);

/// A server with four workers, whose peers may be on this host.
struct Rig {
    server: Server,
    tls: Arc<ClientConfig>,
    _home: Home,
}

impl Rig {
    fn new(name: &str) -> Self {
        Self::with(name, &[])
    }

    fn with(name: &str, environment: &[(&str, &str)]) -> Self {
        let home = Home::new(name);
        let authority = Authority::new();
        authority.certify(&home, &["localhost"]);
        let authority = authority.trusted(&home);
        let file = home.file(
            "turnbridge.toml",
            "[server]\nworkers = 4\n[relay]\naddresses = [\"127.0.0.1\"]\n[peers]\nallow = [\"127.0.0.0/8\"]\n\
             [[listener]]\naddress = \"127.0.0.1:0\"\ntransport = \"tcp\"\n\
             [[listener]]\naddress = \"127.0.0.1:0\"\ntransport = \"tls\"\n\
             [[tls.certificate]]\nchain = \"chain.pem\"\nkey = \"key.pem\"\n\
             [[auth.user]]\nname = \"alice\"\npassword = \"wonderland\"\n",
        );
        let mut command = home.turnbridge(&["--config", file.to_str().unwrap()]);
        command.envs(environment.iter().copied());
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(authority).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let tls = tls.with_root_certificates(roots).with_no_client_auth();
        Self { server: Server::start(&home, command), tls: Arc::new(tls), _home: home }
    }

    fn client(&self, over: Over) -> Client {
        self.client_of(over, Credential::plain("alice", "wonderland"))
    }

    fn client_of(&self, over: Over, credential: Credential) -> Client {
        let (transport, wire): (_, fn(TcpStream, Arc<ClientConfig>) -> Wire) = match over {
            Over::Tcp => ("tcp", |socket, _| Wire::Plain(socket)),
            Over::Tls => ("tls", |socket, tls| {
                let name = ServerName::try_from("localhost").unwrap();
                Wire::Tls(Box::new(StreamOwned::new(ClientConnection::new(tls, name).unwrap(), socket)))
            }),
        };
        let socket = TcpStream::connect(self.server.listeners_over(transport)[0]).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        Client { wire: wire(socket, self.tls.clone()), login: Login::new(credential) }
    }

    /// A client with a TCP allocation, and its relay address.
    fn allocated(&self, over: Over) -> (Client, SocketAddr) {
        let mut client = self.client(over);
        let relay = client.allocate().unwrap();
        (client, relay)
    }

    /// A data connection for a peer's connection.
    fn bound(&self, over: Over, connection: u32) -> Wire {
        let mut data = self.client(over);
        data.bind(connection).unwrap();
        data.wire
    }
}

#[derive(Clone, Copy, Debug)]
enum Over {
    Tcp,
    Tls,
}

enum Wire {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Wire {
    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(tls) => tls.get_ref(),
        }
    }

    /// Says that this was all, and goes on listening.
    fn end(&mut self) {
        if let Self::Tls(tls) = self {
            tls.conn.send_close_notify();
            tls.flush().unwrap();
        }
        self.socket().shutdown(Shutdown::Write).unwrap();
    }

    /// All that comes until the other side ends.
    #[track_caller]
    fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes).unwrap();
        bytes
    }

    fn exactly(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.read_exact(&mut bytes).unwrap();
        bytes
    }
}

impl Read for Wire {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(into),
            Self::Tls(tls) => tls.read(into),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            Self::Tls(tls) => tls.flush(),
        }
    }
}

struct Client {
    wire: Wire,
    login: Login,
}

impl Client {
    fn allocate(&mut self) -> Result<SocketAddr, u16> {
        let answer = self.request(Method::ALLOCATE, |writer| {
            writer.attribute(AttributeType::REQUESTED_TRANSPORT, &[6, 0, 0, 0])
        })?;
        Ok(address(&answer, AttributeType::XOR_RELAYED_ADDRESS).unwrap())
    }

    fn permit(&mut self, peer: SocketAddr) {
        self.request(Method::CREATE_PERMISSION, |writer| {
            writer.xor_address(AttributeType::XOR_PEER_ADDRESS, peer)
        })
        .unwrap();
    }

    fn connect(&mut self, peer: SocketAddr) -> Result<u32, u16> {
        let answer =
            self.request(Method::CONNECT, |writer| writer.xor_address(AttributeType::XOR_PEER_ADDRESS, peer));
        answer.map(|answer| connection_id(&answer))
    }

    fn bind(&mut self, connection: u32) -> Result<(), u16> {
        let answer = self.request(Method::CONNECTION_BIND, |writer| {
            writer.number(AttributeType::CONNECTION_ID, connection)
        });
        answer.map(drop)
    }

    fn request(
        &mut self,
        method: Method,
        attributes: impl Fn(Writer<'_>) -> Writer<'_>,
    ) -> Result<Vec<u8>, u16> {
        loop {
            let request = self.login.request(method, &attributes);
            self.wire.write_all(&request).unwrap();
            let answer = self.message();
            match self.login.judge(&answer) {
                Verdict::Granted => return Ok(answer),
                Verdict::Challenged => {}
                Verdict::Refused(code) => return Err(code),
            }
        }
    }

    /// The next message, and not a byte more.
    #[track_caller]
    fn message(&mut self) -> Vec<u8> {
        let mut bytes = self.wire.exactly(20);
        let length = usize::from(u16::from_be_bytes([bytes[2], bytes[3]]));
        bytes.extend(self.wire.exactly(length));
        bytes
    }

    /// The connection and the peer of the next ConnectionAttempt.
    fn attempt(&mut self) -> (u32, SocketAddr) {
        let bytes = self.message();
        let message = Message::parse(&bytes).unwrap();
        let header = message.header();
        assert_eq!((header.class, header.method), (Class::Indication, Method::CONNECTION_ATTEMPT));
        let peer = message.get(AttributeType::XOR_PEER_ADDRESS).unwrap();
        (connection_id(&bytes), decode_xor_address(peer, header).unwrap())
    }
}

fn connection_id(answer: &[u8]) -> u32 {
    let id = Message::parse(answer).unwrap().get(AttributeType::CONNECTION_ID).unwrap().to_vec();
    u32::from_be_bytes(id.try_into().unwrap())
}

/// A peer that listens, and where.
fn peer() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn accept(listener: &TcpListener) -> (Wire, SocketAddr) {
    let (socket, from) = listener.accept().unwrap();
    (patient(socket), from)
}

fn patient(socket: TcpStream) -> Wire {
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_write_timeout(Some(PATIENCE)).unwrap();
    Wire::Plain(socket)
}

/// Bytes that tell their place.
fn pattern(count: usize, seed: u8) -> Vec<u8> {
    (0..count).map(|at| (at ^ at >> 8 ^ at >> 16).to_le_bytes()[0] ^ seed).collect()
}

#[track_caller]
fn assert_same(left: &[u8], right: &[u8]) {
    assert_eq!(left.len(), right.len());
    assert!(left == right, "as many bytes, but others");
}

/// RFC 6062 §5.2: what the peer sees is the relay address, and megabytes pass in both directions at once, whatever the
/// two client connections are.
#[test]
fn a_client_connects_and_megabytes_pass_both_ways() {
    let rig = Rig::new("tcp-relay-connect");
    const SIZE: usize = 3 << 20;
    for over in [Over::Tcp, Over::Tls] {
        let (mut control, relay) = rig.allocated(over);
        let (listener, at) = peer();
        let connection = control.connect(at).unwrap();
        let (mut peer, from) = accept(&listener);
        assert_eq!(from, relay);
        let mut data = rig.bound(over, connection);
        let (up, down) = (pattern(SIZE, 1), pattern(SIZE, 2));
        std::thread::scope(|scope| {
            let mut receiver = patient(peer.socket().try_clone().unwrap());
            let received = scope.spawn(move || receiver.exactly(SIZE));
            scope.spawn(|| peer.write_all(&down).unwrap());
            // A TLS stream cannot be written to and read from at once.
            let mut got = Vec::new();
            for part in up.chunks(100_000) {
                data.write_all(part).unwrap();
                got.extend(data.exactly(part.len()));
            }
            assert_same(&got, &down);
            assert_same(&received.join().unwrap(), &up);
        });
        drop(control);
        let relay = relay.to_string();
        let line = rig
            .server
            .wait_for("allocation ended", |line| (line["relay"] == relay.as_str()).then(|| line.clone()));
        assert_eq!(line["reason"], "disconnected", "{line}");
        assert!(line.to_string().contains(&format!("{SIZE}")), "both directions are counted: {line}");
        assert!(peer.rest().is_empty() && data.rest().is_empty(), "with the control connection all is over");
    }
}

/// RFC 6062 §5.4: what stands behind the ConnectionBind request is the peer's, and what the peer has sent before it is
/// the client's; not a byte is lost or added, wherever the connection has landed.
#[test]
fn data_before_and_behind_connection_bind_is_not_lost() {
    let rig = Rig::new("tcp-relay-pipelined");
    for over in [Over::Tcp, Over::Tls] {
        let (mut control, _) = rig.allocated(over);
        for number in 0..12 {
            let (listener, at) = peer();
            let connection = control.connect(at).unwrap();
            let (mut peer, _) = accept(&listener);
            let early = pattern(30_000, number);
            peer.write_all(&early).unwrap();
            let mut data = rig.client(over);
            // The first request draws the challenge.
            assert_eq!(data.bind(connection ^ 0x10), Err(400));
            let bind = data.login.request(Method::CONNECTION_BIND, |writer| {
                writer.number(AttributeType::CONNECTION_ID, connection)
            });
            let behind = pattern(20_000, !number);
            // In two pieces, now and then within the request.
            let stream = [&bind[..], &behind].concat();
            let (first, second) = stream.split_at(bind.len() - 7 + usize::from(number) * 3);
            data.wire.write_all(first).unwrap();
            std::thread::yield_now();
            data.wire.write_all(second).unwrap();
            assert_eq!(Message::parse(&data.message()).unwrap().header().class, Class::Success);
            assert_same(&data.wire.exactly(early.len()), &early);
            assert_same(&peer.exactly(behind.len()), &behind);
            data.wire.write_all(b"more").unwrap();
            data.wire.end();
            assert_same(&peer.rest(), b"more");
            peer.end();
            assert!(data.wire.rest().is_empty());
        }
    }
}

/// RFC 6062 §5.3: who has a permission is announced and can be answered; who has none is closed.
#[test]
fn a_peer_connects_to_the_relay_address() {
    let rig = Rig::new("tcp-relay-attempt");
    for over in [Over::Tcp, Over::Tls] {
        let (mut control, relay) = rig.allocated(over);
        let mut stranger = patient(TcpStream::connect(relay).unwrap());
        assert!(stranger.rest().is_empty(), "closed");
        control.permit("127.0.0.1:1".parse().unwrap());
        let mut peer = patient(TcpStream::connect(relay).unwrap());
        peer.write_all(b"hello").unwrap();
        let (connection, from) = control.attempt();
        assert_eq!(from, peer.socket().local_addr().unwrap());
        let mut data = rig.bound(over, connection);
        assert_eq!(data.exactly(5), b"hello");
        data.write_all(b"and back").unwrap();
        assert_eq!(peer.exactly(8), b"and back");
    }
}

/// Many data connections: most land on another worker than their control connection, and each reaches its own peer.
#[test]
fn data_connections_reach_their_worker_wherever_they_land() {
    let rig = Rig::new("tcp-relay-handover");
    let (listener, at) = peer();
    let mut controls: Vec<_> = [Over::Tcp, Over::Tls, Over::Tcp, Over::Tls]
        .map(|over| (over, rig.allocated(over).0))
        .into_iter()
        .collect();
    for number in 0..10_u32 {
        for (over, control) in &mut controls {
            // A connection to one peer is one; this one listens on all of 127.0.0.0/8 that is asked for.
            let (listener, at) = if number == 0 { (listener.try_clone().unwrap(), at) } else { peer() };
            let connection = control.connect(at).unwrap();
            let (mut peer, _) = accept(&listener);
            let mut data = rig.bound(*over, connection);
            data.write_all(&number.to_be_bytes()).unwrap();
            assert_eq!(peer.exactly(4), number.to_be_bytes());
            peer.write_all(b"ok").unwrap();
            assert_eq!(data.exactly(2), b"ok");
            data.write_all(b"more").unwrap();
            data.end();
            assert_same(&peer.rest(), b"more");
        }
    }
}

/// RFC 6062 §5.5: each end takes the other along; the half that is still open carries what was said before.
#[test]
fn either_side_may_close_and_the_other_hears_all_of_it() {
    let rig = Rig::new("tcp-relay-close");
    const SIZE: usize = 1 << 20;
    for over in [Over::Tcp, Over::Tls] {
        let (mut control, _) = rig.allocated(over);
        let mut pair = || {
            let (listener, at) = peer();
            let connection = control.connect(at).unwrap();
            let (peer, _) = accept(&listener);
            (rig.bound(over, connection), peer)
        };
        let bytes = pattern(SIZE, 7);

        let (mut data, mut peer) = pair();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                peer.write_all(&bytes).unwrap();
                peer.end();
            });
            assert_same(&data.rest(), &bytes);
        });
        drop(data);
        assert!(peer.rest().is_empty());

        let (mut data, mut peer) = pair();
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let heard = peer.rest();
                peer.write_all(b"thank you").unwrap();
                peer.end();
                heard
            });
            data.write_all(&bytes).unwrap();
            data.end();
            assert_eq!(data.rest(), b"thank you", "the other half is still open");
            assert_same(&reader.join().unwrap(), &bytes);
        });

        let (data, mut peer) = pair();
        drop(data);
        // A TLS client that just goes away may look like a broken one.
        let heard = peer.read(&mut [0; 16]);
        assert!(
            matches!(&heard, Ok(0)) || heard.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset)
        );
    }
}

/// RFC 6062 §3: flow control is from end to end. A client that does not read stops its peer after a bounded number of
/// bytes, nobody else, and loses none of them.
#[test]
fn a_client_that_does_not_read_stops_its_peer_and_nobody_else() {
    let rig = Rig::new("tcp-relay-pressure");
    let (mut control, _) = rig.allocated(Over::Tcp);
    let mut pair = || {
        let (listener, at) = peer();
        let connection = control.connect(at).unwrap();
        let (peer, _) = accept(&listener);
        (rig.bound(Over::Tcp, connection), peer)
    };
    let (mut slow, mut flood) = pair();
    let (mut quick, mut other) = pair();
    flood.socket().set_nonblocking(true).unwrap();
    let (mut sent, mut stuck_since) = (0, Instant::now());
    let chunk = pattern(1 << 16, 0);
    // What the kernel's buffers take on three sockets is not ours to bound, but it is an end.
    while stuck_since.elapsed() < Duration::from_millis(500) {
        match flood.write(&chunk[sent % chunk.len()..]) {
            Ok(count) => (sent, stuck_since) = (sent + count, Instant::now()),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                std::thread::park_timeout(Duration::from_millis(5));
            }
        }
        assert!(sent < 64 << 20, "nothing stops it");
    }
    other.write_all(b"meanwhile").unwrap();
    assert_eq!(quick.exactly(9), b"meanwhile");
    flood.end();
    let heard = slow.rest();
    assert_eq!(heard.len(), sent);
    assert!(heard.chunks(chunk.len()).all(|part| *part == chunk[..part.len()]));
}

/// RFC 6062 §5.2: 447 where nobody listens, 446 for what is connected already, 403 for what the policy forbids; R04: a
/// flood of Connects ends at the limit.
#[test]
fn connects_that_cannot_be_are_refused() {
    let rig = Rig::with("tcp-relay-refused", &[("TURNBRIDGE_LIMITS__CONNECTIONS_PER_ALLOCATION", "5")]);
    let (mut control, _) = rig.allocated(Over::Tcp);
    let (listener, at) = peer();
    let closed = peer().1;
    assert_eq!(control.connect(closed), Err(447));
    assert_eq!(control.connect("10.0.0.1:80".parse().unwrap()), Err(403));
    control.connect(at).unwrap();
    assert_eq!(control.connect(at), Err(446));
    let _kept = accept(&listener);
    let peers: Vec<_> = (0..20).map(|_| peer()).collect();
    let codes: Vec<_> = peers.iter().map(|(_, at)| control.connect(*at).err()).collect();
    assert_eq!(codes.iter().filter(|code| code.is_none()).count(), 4);
    assert!(codes.iter().flatten().all(|code| *code == 508), "{codes:?}");
    let mut stranger = rig.client_of(Over::Tcp, Credential::plain("mallory", "guess"));
    assert_eq!(stranger.bind(1), Err(401));
}

/// RFC 6062 §5.2, §5.3: a connection that nobody binds ends after 30 seconds, on both sides of the relay.
#[test]
fn connections_that_nobody_binds_end_after_30_seconds() {
    let rig = Rig::new("tcp-relay-unbound");
    let (mut control, relay) = rig.allocated(Over::Tcp);
    let (listener, at) = peer();
    let connection = control.connect(at).unwrap();
    control.permit("127.0.0.1:1".parse().unwrap());
    let begun = Instant::now();
    let peers = [accept(&listener).0, patient(TcpStream::connect(relay).unwrap())];
    for mut peer in peers {
        peer.socket().set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        peer.write_all(b"anybody?").unwrap();
        let heard = peer.read(&mut [0; 16]);
        assert!(
            matches!(&heard, Ok(0)) || heard.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset)
        );
        assert!(begun.elapsed() >= Duration::from_secs(29), "{:?}", begun.elapsed());
    }
    assert_eq!(rig.client(Over::Tcp).bind(connection), Err(400));
}

/// A16: the connection of somebody who guesses passwords ends once the budget is spent, behind the last answer.
#[test]
fn a16_guessing_passwords_ends_the_connection_behind_the_answer() {
    let environment =
        [("TURNBRIDGE_LIMITS__CHALLENGE_BURST", "30"), ("TURNBRIDGE_LIMITS__CHALLENGE_RATE", "1/s")];
    let rig = Rig::with("tcp-relay-guess", &environment);
    for over in [Over::Tcp, Over::Tls] {
        let mut thief = rig.client_of(over, Credential::plain("mallory", "guess"));
        let mut answers = 0;
        while answers < 50 {
            let request = thief.login.request(Method::ALLOCATE, |writer| {
                writer.attribute(AttributeType::REQUESTED_TRANSPORT, &[6, 0, 0, 0])
            });
            if thief.wire.write_all(&request).is_err() {
                break;
            }
            let mut head = [0; 20];
            match thief.wire.read(&mut head) {
                Ok(0) | Err(_) => break,
                Ok(20) => {}
                Ok(count) => panic!("{count} bytes of an answer"),
            }
            let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
            let answer = [&head[..], &thief.wire.exactly(length)].concat();
            assert!(matches!(thief.login.judge(&answer), Verdict::Challenged | Verdict::Refused(401)));
            answers += 1;
        }
        assert!((1..=10).contains(&answers), "{answers}");
    }
}
