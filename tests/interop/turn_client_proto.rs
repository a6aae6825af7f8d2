//! The client of `turn-client-proto`, which can do all of RFC 8489: SHA-256, USERHASH, password algorithms.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use turn_client_proto::api::{Transmit, TurnConfig, TurnEvent, TurnPollRet, TurnRecvRet};
use turn_client_proto::prelude::*;
use turn_client_proto::stun::auth::Feature;
use turn_client_proto::udp::TurnClientUdp;
use turn_types::stun::message::IntegrityAlgorithm;
use turn_types::{Instant, TransportType, TurnCredentials};
use turnbridge::wire::ChannelNumber;

use crate::client::Client;
use crate::home::Home;
use crate::server::{Credential, Server};

/// A client of theirs on a socket of ours.
struct Theirs {
    client: TurnClientUdp,
    socket: UdpSocket,
    started: std::time::Instant,
}

impl Theirs {
    fn new(server: SocketAddr, credential: &Credential, integrity: IntegrityAlgorithm) -> Self {
        let mut config = TurnConfig::new(TurnCredentials::new(&credential.username, &credential.password));
        config.set_supported_integrity(integrity);
        config.set_anonymous_username(match integrity {
            IntegrityAlgorithm::Sha1 => Feature::Disabled,
            IntegrityAlgorithm::Sha256 => Feature::Required,
        });
        let socket = UdpSocket::bind((server.ip(), 0)).unwrap();
        socket.connect(server).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let client = TurnClientUdp::allocate(socket.local_addr().unwrap(), server, config);
        Self { client, socket, started: std::time::Instant::now() }
    }

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

    /// Sends what it wants to send and hears the next datagram, which may bring data.
    fn exchange(&mut self) -> Option<Happened> {
        let now = self.now();
        while let Some(transmit) = self.client.poll_transmit(now) {
            self.socket.send(transmit.data.as_ref()).unwrap();
        }
        let mut buffer = [0; 2048];
        let length = self.socket.recv(&mut buffer).ok()?;
        let (from, to) = (self.client.remote_addr(), self.client.local_addr());
        let heard = Transmit::new(buffer[..length].to_vec(), TransportType::Udp, from, to);
        let TurnRecvRet::PeerData(data) = self.client.recv(heard, self.now()) else { return None };
        Some(Happened::Data(data.peer, data.data().to_vec()))
    }

    fn send(&mut self, peer: SocketAddr, payload: &'static [u8]) {
        let now = self.now();
        let transmit = self.client.send_to(TransportType::Udp, peer, payload, now).unwrap().unwrap().build();
        self.socket.send(&transmit.data).unwrap();
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

fn converse(integrity: IntegrityAlgorithm, ip: &str, name: &str) {
    let home = Home::new(name);
    let server = Server::on_loopback(&home, &[]);
    let (address, credential) = (server.at(ip), server.credential());
    let mut theirs = Theirs::new(address, &credential, integrity);
    let relay = theirs.until(|happened| {
        let event = happened.event()?;
        let TurnEvent::AllocationCreated(_, relay) = event else { panic!("{event:?} is no allocation") };
        Some(relay)
    });

    let mut peer = Client::new(address, credential);
    let at_peer = peer.allocate(|writer| writer).unwrap();
    let channel = ChannelNumber::FIRST;
    peer.bind(channel, relay).unwrap();

    let now = theirs.now();
    theirs.client.create_permission(TransportType::Udp, at_peer.ip(), now).unwrap();
    theirs.until(|happened| matches!(happened.event()?, TurnEvent::PermissionCreated(..)).then_some(()));
    theirs.send(at_peer, b"as an indication");
    assert_eq!(peer.receive(channel), b"as an indication");
    peer.send(channel, b"and back");
    assert_eq!(theirs.until(Happened::data), (at_peer, b"and back".to_vec()));

    let now = theirs.now();
    theirs.client.bind_channel(TransportType::Udp, at_peer, now).unwrap();
    theirs.until(|happened| matches!(happened.event()?, TurnEvent::ChannelCreated(..)).then_some(()));
    theirs.send(at_peer, b"through the channel");
    assert_eq!(peer.receive(channel), b"through the channel");
    peer.send(channel, b"and back again");
    assert_eq!(theirs.until(Happened::data), (at_peer, b"and back again".to_vec()));

    let now = theirs.now();
    theirs.client.delete(now).unwrap();
    theirs.until_closed();
    let relay = relay.to_string();
    let reason = server.wait_for("allocation ended", |line| {
        (line["relay"] == relay.as_str()).then(|| line["reason"].as_str().unwrap().to_owned())
    });
    assert_eq!(reason, "released");
}

#[test]
fn a_client_with_sha1_converses_over_ipv4() {
    converse(IntegrityAlgorithm::Sha1, "127.0.0.1", "proto-sha1-4");
}

#[test]
fn a_client_with_sha1_converses_over_ipv6() {
    converse(IntegrityAlgorithm::Sha1, "::1", "proto-sha1-6");
}

#[test]
fn a_client_with_sha256_and_a_hidden_name_converses_over_ipv4() {
    converse(IntegrityAlgorithm::Sha256, "127.0.0.1", "proto-sha256-4");
}

#[test]
fn a_client_with_sha256_and_a_hidden_name_converses_over_ipv6() {
    converse(IntegrityAlgorithm::Sha256, "::1", "proto-sha256-6");
}
