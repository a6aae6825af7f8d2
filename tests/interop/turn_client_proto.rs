//! The client of `turn-client-proto`, which can do all of RFC 8489: SHA-256, USERHASH, password algorithms.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use turn_client_proto::api::{Transmit, TurnClientApi, TurnConfig, TurnEvent, TurnPollRet, TurnRecvRet};
use turn_client_proto::stun::auth::Feature;
use turn_client_proto::tcp::TurnClientTcp;
use turn_client_proto::udp::TurnClientUdp;
use turn_types::stun::message::IntegrityAlgorithm::{self, Sha1, Sha256};
use turn_types::{Instant, TransportType, TurnCredentials};

use super::relay::Relay;
use crate::home::Home;
use crate::server::{Credential, Server};

/// How long a client waits for one packet before it looks at its clock.
const MOMENT: Duration = Duration::from_millis(20);

/// A client of theirs on a socket of ours.
struct Theirs<C> {
    client: C,
    socket: Box<dyn Socket>,
    started: std::time::Instant,
}

trait Socket: Read + Write {}
impl<T: Read + Write> Socket for T {}

/// Each write is a datagram, and each read.
struct Datagrams(UdpSocket);

impl Read for Datagrams {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.recv(buffer)
    }
}

impl Write for Datagrams {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.send(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn config(credential: &Credential, integrity: IntegrityAlgorithm) -> TurnConfig {
    let mut config = TurnConfig::new(TurnCredentials::new(&credential.username, &credential.password));
    config.set_supported_integrity(integrity);
    config.set_anonymous_username(match integrity {
        Sha1 => Feature::Disabled,
        Sha256 => Feature::Required,
    });
    config
}

impl Theirs<TurnClientUdp> {
    fn over_udp(server: SocketAddr, config: TurnConfig) -> Self {
        let socket = UdpSocket::bind((server.ip(), 0)).unwrap();
        socket.connect(server).unwrap();
        socket.set_read_timeout(Some(MOMENT)).unwrap();
        let client = TurnClientUdp::allocate(socket.local_addr().unwrap(), server, config);
        Self { client, socket: Box::new(Datagrams(socket)), started: std::time::Instant::now() }
    }
}

impl Theirs<TurnClientTcp> {
    fn over_tcp(server: SocketAddr, config: TurnConfig) -> Self {
        let socket = TcpStream::connect(server).unwrap();
        let client = Self::on(&socket, config);
        Self { client, socket: Box::new(socket), started: std::time::Instant::now() }
    }

    fn over_tls(server: SocketAddr, config: TurnConfig, authority: &Path) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(authority).unwrap()).unwrap();
        let trust = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let mut tls = ClientConnection::new(Arc::new(trust), ServerName::from(server.ip())).unwrap();
        let mut socket = TcpStream::connect(server).unwrap();
        while tls.is_handshaking() {
            tls.complete_io(&mut socket).unwrap();
        }
        let client = Self::on(&socket, config);
        let socket = Box::new(StreamOwned::new(tls, socket));
        Self { client, socket, started: std::time::Instant::now() }
    }

    fn on(socket: &TcpStream, config: TurnConfig) -> TurnClientTcp {
        socket.set_read_timeout(Some(MOMENT)).unwrap();
        TurnClientTcp::allocate(socket.local_addr().unwrap(), socket.peer_addr().unwrap(), config)
    }
}

impl<C: TurnClientApi> Theirs<C> {
    fn now(&self) -> Instant {
        Instant::from_nanos(i64::try_from(self.started.elapsed().as_nanos()).unwrap())
    }

    /// Goes on until something comes of it.
    #[track_caller]
    fn until<T>(&mut self, mut wanted: impl FnMut(Happened) -> Option<T>) -> T {
        for _ in 0..500 {
            let polled = self.client.poll(self.now());
            assert!(!matches!(polled, TurnPollRet::Closed), "the client has given up");
            let data = self.exchange();
            let events = std::iter::from_fn(|| self.client.poll_event()).map(Happened::Event);
            if let Some(found) = events.chain(data).find_map(&mut wanted) {
                return found;
            }
        }
        panic!("nothing comes of it")
    }

    fn until_closed(&mut self) {
        for _ in 0..500 {
            if matches!(self.client.poll(self.now()), TurnPollRet::Closed) {
                return;
            }
            self.exchange();
        }
        panic!("the client does not close");
    }

    /// Sends what it wants to send and hears what comes next, which may bring data.
    fn exchange(&mut self) -> Option<Happened> {
        let now = self.now();
        while let Some(transmit) = self.client.poll_transmit(now) {
            self.socket.write_all(transmit.data.as_ref()).unwrap();
        }
        let mut buffer = [0; 2048];
        // Nothing may come for a moment.
        let length = self.socket.read(&mut buffer).ok()?;
        let (from, to) = (self.client.remote_addr(), self.client.local_addr());
        let heard = Transmit::new(buffer[..length].to_vec(), self.client.transport(), from, to);
        let TurnRecvRet::PeerData(data) = self.client.recv(heard, self.now()) else { return None };
        Some(Happened::Data(data.peer, data.data().to_vec()))
    }

    #[track_caller]
    fn allocated(&mut self) -> SocketAddr {
        self.until(|happened| {
            let event = happened.event()?;
            let TurnEvent::AllocationCreated(_, relay) = event else { panic!("{event:?} is no allocation") };
            Some(relay)
        })
    }

    #[track_caller]
    fn permit(&mut self, peer: SocketAddr) {
        let now = self.now();
        self.client.create_permission(TransportType::Udp, peer.ip(), now).unwrap();
        self.until(|happened| matches!(happened.event()?, TurnEvent::PermissionCreated(..)).then_some(()));
    }

    #[track_caller]
    fn bind(&mut self, peer: SocketAddr) {
        let now = self.now();
        self.client.bind_channel(TransportType::Udp, peer, now).unwrap();
        self.until(|happened| matches!(happened.event()?, TurnEvent::ChannelCreated(..)).then_some(()));
    }

    fn send(&mut self, peer: SocketAddr, payload: &'static [u8]) {
        let now = self.now();
        let transmit = self.client.send_to(TransportType::Udp, peer, payload, now).unwrap().unwrap().build();
        self.socket.write_all(&transmit.data).unwrap();
    }

    fn release(&mut self) {
        let now = self.now();
        self.client.delete(now).unwrap();
        self.until_closed();
    }
}

enum Happened {
    Event(TurnEvent),
    Data(SocketAddr, Vec<u8>),
}

impl Happened {
    fn event(self) -> Option<TurnEvent> {
        match self {
            Self::Event(event) => Some(event),
            Self::Data(..) => None,
        }
    }

    fn data(self) -> Option<(SocketAddr, Vec<u8>)> {
        match self {
            Self::Data(peer, bytes) => Some((peer, bytes)),
            Self::Event(_) => None,
        }
    }
}

/// Two clients talk through the relay, by indications and by channels, and give back what they have.
fn converse<C: TurnClientApi>(server: &Server, mut alice: Theirs<C>, mut bob: Theirs<C>) {
    let (at_alice, at_bob) = (alice.allocated(), bob.allocated());
    alice.permit(at_bob);
    bob.permit(at_alice);
    alice.send(at_bob, b"as an indication");
    assert_eq!(bob.until(Happened::data), (at_alice, b"as an indication".to_vec()));
    bob.send(at_alice, b"and back");
    assert_eq!(alice.until(Happened::data), (at_bob, b"and back".to_vec()));

    alice.bind(at_bob);
    bob.bind(at_alice);
    // Multiples of four bytes: this client does not pad ChannelData on a stream, which RFC 8656 §12.5 demands.
    alice.send(at_bob, b"through channels");
    assert_eq!(bob.until(Happened::data), (at_alice, b"through channels".to_vec()));
    bob.send(at_alice, b"and back");
    assert_eq!(alice.until(Happened::data), (at_bob, b"and back".to_vec()));

    alice.release();
    bob.release();
    for line in server.ended(2) {
        assert_eq!(line["reason"], "released", "{line}");
        assert_eq!((&line["up_packets"], &line["down_packets"]), (&2.into(), &2.into()), "{line}");
    }
}

fn converse_over_udp(integrity: IntegrityAlgorithm, ip: &str, name: &str) {
    let home = Home::new(name);
    let server = Server::on_loopback(&home, &[]);
    let credential = server.credential();
    let client = || Theirs::over_udp(server.at(ip), config(&credential, integrity));
    converse(&server, client(), client());
}

fn converse_over_tcp(integrity: IntegrityAlgorithm, name: &str) {
    let home = Home::new(name);
    let relay = Relay::over("tcp", &home, "");
    let client = || Theirs::over_tcp(relay.address(), config(&relay.credential, integrity));
    converse(&relay.server, client(), client());
}

fn converse_over_tls(integrity: IntegrityAlgorithm, name: &str) {
    let home = Home::new(name);
    let relay = Relay::over("tls", &home, "");
    let client = || Theirs::over_tls(relay.address(), config(&relay.credential, integrity), &relay.authority);
    converse(&relay.server, client(), client());
}

#[test]
fn clients_with_sha1_converse_over_ipv4() {
    converse_over_udp(Sha1, "127.0.0.1", "proto-sha1-4");
}

#[test]
fn clients_with_sha1_converse_over_ipv6() {
    converse_over_udp(Sha1, "::1", "proto-sha1-6");
}

#[test]
fn clients_with_sha256_and_a_hidden_name_converse_over_ipv4() {
    converse_over_udp(Sha256, "127.0.0.1", "proto-sha256-4");
}

#[test]
fn clients_with_sha256_and_a_hidden_name_converse_over_ipv6() {
    converse_over_udp(Sha256, "::1", "proto-sha256-6");
}

#[test]
fn clients_with_sha1_converse_over_tcp() {
    converse_over_tcp(Sha1, "proto-sha1-tcp");
}

#[test]
fn clients_with_sha256_and_a_hidden_name_converse_over_tcp() {
    converse_over_tcp(Sha256, "proto-sha256-tcp");
}

#[test]
fn clients_with_sha1_converse_over_tls() {
    converse_over_tls(Sha1, "proto-sha1-tls");
}

#[test]
fn clients_with_sha256_and_a_hidden_name_converse_over_tls() {
    converse_over_tls(Sha256, "proto-sha256-tls");
}
