//! Options of connections that change while connections stand.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};

use rustls::pki_types::ServerName;
use rustls::server::ServerConfig;
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion, version};

use super::*;
use crate::net::stream::{Announce, Fallback, Patience};
use crate::net::tls::TlsConfigs;

/// A client's connection.
struct Wire<S = TcpStream>(S);

/// A Binding request: what a stream has to begin with.
const HELLO: [u8; 20] = [0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];

impl Wire {
    fn connect(to: SocketAddr) -> Self {
        let stream = TcpStream::connect(to).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        Self(stream)
    }
}

impl<S: Read + Write> Wire<S> {
    /// Sends these bytes and a request. Returns who the server says is asking, if it is served.
    fn greet(&mut self, before: &[u8]) -> io::Result<SocketAddr> {
        let Self(stream) = self;
        stream.write_all(&[before, &HELLO].concat())?;
        let mut answer = [0; 8];
        stream.read_exact(&mut answer)?;
        let [1, 1, a, b, c, d, high, low] = answer else { panic!("{answer:?}") };
        Ok(SocketAddr::from(([a, b, c, d], u16::from_be_bytes([high, low]))))
    }

    fn say(&mut self, payload: &[u8]) {
        let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
        let padding = &[0; 3][..payload.len().wrapping_neg() % 4];
        self.0.write_all(&[&[0x40, 0], &length[..], payload, padding].concat()).unwrap();
    }

    #[track_caller]
    fn expect(&mut self, bytes: &[u8]) {
        let mut read = vec![0; bytes.len()];
        self.0.read_exact(&mut read).unwrap();
        assert_eq!(read, bytes);
    }

    /// Waits for the connection to be closed.
    #[track_caller]
    fn expect_end(&mut self) {
        let read = self.0.read(&mut [0; 100]);
        let is_reset = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionReset;
        assert!(
            read.as_ref().is_ok_and(|count| *count == 0) || read.as_ref().is_err_and(is_reset),
            "{read:?}"
        );
    }
}

/// A connection with an allocation, and its peer.
struct Call {
    wire: Wire,
    relay: SocketAddr,
    peer: Socket,
    sent: u32,
}

impl Call {
    fn new(rig: &Rig) -> Self {
        let mut wire = Wire::connect(rig.streams[0]);
        wire.greet(b"").unwrap();
        wire.say(b"A");
        let mut answer = [0; 3];
        wire.0.read_exact(&mut answer).unwrap();
        assert_eq!(answer[0], b'R');
        let relay = peer(Family::V4, u16::from_be_bytes([answer[1], answer[2]]));
        Self { wire, relay, peer: Socket::new(Family::V4), sent: 0 }
    }

    /// Sends numbers in both directions while `change` happens: all arrive, in order.
    fn talk(&mut self, change: impl FnOnce()) {
        let first = self.sent;
        self.send_burst();
        change();
        self.send_burst();
        for number in first..self.sent {
            assert_eq!(self.peer.receive(), number.to_be_bytes());
            self.wire.expect(&[b"D", &self.peer.port()[..], &number.to_be_bytes()].concat());
        }
    }

    fn send_burst(&mut self) {
        for number in self.sent..self.sent + 30 {
            self.wire.say(&[b"T", &self.peer.port()[..], &number.to_be_bytes()].concat());
            self.peer.0.send_to(&number.to_be_bytes(), self.relay).unwrap();
        }
        self.sent += 30;
    }
}

fn patience(idle: Duration) -> StreamOptions {
    let options = StreamOptions::default();
    StreamOptions { patience: Patience { idle, ..options.patience }, ..options }
}

#[test]
fn an_allocation_over_a_connection_goes_on_whatever_changes() {
    let rig = Rig::new(Family::V4, 25_000..=25_009);
    let mut call = Call::new(&rig);
    let balancers = Neighbours { proxies: ["127.0.0.0/8".parse().unwrap()].into(), fallback: None };
    let nobody = Fallback { backends: [].into(), announce: Announce::Off };
    let web = Neighbours { proxies: [].into(), fallback: Some(nobody) };
    let second = Duration::from_secs(1);
    let shortest = Patience { handshake: second, first_request: second, idle: second };
    let changes = [
        (StreamOptions { patience: shortest, ..StreamOptions::default() }, Neighbours::default()),
        (StreamOptions { send_queue: 64 << 10, ..StreamOptions::default() }, balancers),
        (StreamOptions::default(), web),
        (StreamOptions::default(), Neighbours::default()),
    ];
    for (options, plain) in changes {
        call.talk(|| {
            rig.caps.set_limits(CapLimits { total: 0, per_source: 0 });
            rig.reconfigure(options.clone(), plain.clone());
        });
    }
    assert_eq!(rig.worker.line().counters().dropped(), 0);
}

#[test]
fn other_caps_hold_for_the_next_connection_and_end_none() {
    let rig = Rig::new(Family::V4, 25_010..=25_019);
    let mut standing = [Wire::connect(rig.streams[0]), Wire::connect(rig.streams[0])];
    let greet_all = |standing: &mut [Wire]| {
        for wire in standing {
            wire.greet(b"").unwrap();
        }
    };
    greet_all(&mut standing);
    for limits in [CapLimits { total: 9, per_source: 2 }, CapLimits { total: 2, per_source: 9 }] {
        rig.caps.set_limits(limits);
        Wire::connect(rig.streams[0]).expect_end();
        greet_all(&mut standing);
    }
    rig.caps.set_limits(CapLimits { total: 3, per_source: 3 });
    Wire::connect(rig.streams[0]).greet(b"").unwrap();
}

#[test]
fn another_patience_is_for_connections_that_stand_as_well() {
    let rig = Rig::new(Family::V4, 25_020..=25_029);
    let mut idle = Wire::connect(rig.streams[0]);
    idle.greet(b"").unwrap();
    let mut call = Call::new(&rig);
    rig.reconfigure(patience(Duration::ZERO), Neighbours::default());
    idle.expect_end();
    assert_eq!(rig.counters_when(|counters| counters.connections_idle == 1).connections_closed_by_client, 0);
    call.talk(|| ());
}

#[test]
fn a_send_queue_that_shrinks_drops_what_does_not_fit_and_nothing_else() {
    let rig = Rig::new(Family::V4, 25_030..=25_039);
    let mut call = Call::new(&rig);
    rig.reconfigure(StreamOptions { send_queue: 0, ..StreamOptions::default() }, Neighbours::default());
    call.peer.0.send_to(b"no room for this", call.relay).unwrap();
    rig.counters_when(|counters| counters.dropped_slow_reader == 1);
    // An answer is not dropped.
    call.wire.greet(b"").unwrap();
    rig.reconfigure(StreamOptions::default(), Neighbours::default());
    call.talk(|| ());
}

#[test]
fn a_fallback_comes_and_goes_and_what_was_passed_on_stays_so() {
    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\n\r\n";
    let rig = Rig::new(Family::V4, 25_040..=25_049);
    let backend = TcpListener::bind("127.0.0.1:0").unwrap();
    socket2::SockRef::from(&backend).set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let fallback = |announce| {
        let backends = [backend.local_addr().unwrap()].into();
        Neighbours { proxies: [].into(), fallback: Some(Fallback { backends, announce }) }
    };
    let ask = || {
        let mut wire = Wire::connect(rig.streams[0]);
        wire.0.write_all(REQUEST).unwrap();
        wire
    };
    let passed_on = |announced: &str| {
        let client = ask();
        let mut served = Wire(backend.accept().unwrap().0);
        let address = client.0.local_addr().unwrap();
        let announced = announced.replace("CLIENT", &format!("127.0.0.1 127.0.0.1 {}", address.port()));
        served.expect(announced.as_bytes());
        (client, served)
    };
    let end_all = |pairs: Vec<(Wire, Wire)>| {
        for (mut client, mut served) in pairs {
            served.0.write_all(b"still here").unwrap();
            client.expect(b"still here");
        }
    };
    ask().expect_end();
    rig.reconfigure(StreamOptions::default(), fallback(Announce::Off));
    let plain = passed_on("GET / HTTP/1.1\r\n\r\n");
    rig.reconfigure(StreamOptions::default(), fallback(Announce::V1));
    let announced = passed_on("PROXY TCP4 CLIENT");
    rig.reconfigure(StreamOptions::default(), Neighbours::default());
    ask().expect_end();
    end_all(vec![plain, announced]);
    Wire::connect(rig.streams[0]).greet(b"").unwrap();
}

#[test]
fn load_balancers_come_and_go_and_what_they_brought_stays() {
    const HEADER: &[u8] = b"PROXY TCP4 192.0.2.7 127.0.0.1 1000 3478\r\n";
    let rig = Rig::new(Family::V4, 25_050..=25_059);
    let connect = || Wire::connect(rig.streams[0]);
    let mut direct = connect();
    let address = direct.greet(b"").unwrap();
    assert!(connect().greet(HEADER).is_err());
    let proxies = ["127.0.0.1/32".parse().unwrap()].into();
    rig.reconfigure(StreamOptions::default(), Neighbours { proxies, fallback: None });
    let mut brought = connect();
    assert_eq!(brought.greet(HEADER).unwrap(), "192.0.2.7:1000".parse().unwrap());
    assert!(connect().greet(b"").is_err(), "a balancer has to say whose a connection is");
    assert_eq!(direct.greet(b"").unwrap(), address);
    rig.reconfigure(StreamOptions::default(), Neighbours::default());
    assert_eq!(brought.greet(b"").unwrap(), "192.0.2.7:1000".parse().unwrap());
    assert!(connect().greet(HEADER).is_err());
    connect().greet(b"").unwrap();
}

#[test]
fn another_tls_is_for_the_next_handshake() {
    let rig = Rig::new(Family::V4, 25_060..=25_069);
    let identity = rcgen::generate_simple_self_signed(["turn.example.org".to_owned()]).unwrap();
    let serve = |versions: &[&'static SupportedProtocolVersion]| {
        let key = identity.signing_key.serialize_der().try_into().unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
        let chain = vec![identity.cert.der().clone()];
        let config = Arc::new(builder.with_no_client_auth().with_single_cert(chain, key).unwrap());
        let [turn, bare, web, acme] = [(); 4].map(|()| config.clone());
        let tls = Some(TlsConfigs { turn, bare, web, acme });
        rig.reconfigure(StreamOptions { tls, ..StreamOptions::default() }, Neighbours::default());
    };
    let connect = |version: &'static SupportedProtocolVersion| {
        let mut roots = RootCertStore::empty();
        roots.add(identity.cert.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder =
            ClientConfig::builder_with_provider(provider).with_protocol_versions(&[version]).unwrap();
        let config = builder.with_root_certificates(roots).with_no_client_auth();
        let name = ServerName::try_from("turn.example.org").unwrap();
        let client = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut wire = Wire(rustls::StreamOwned::new(client, Wire::connect(rig.streams[1]).0));
        wire.greet(b"").map(|_| wire)
    };
    assert!(connect(&version::TLS13).is_err(), "there is no certificate");
    serve(&[&version::TLS12, &version::TLS13]);
    let mut old = connect(&version::TLS12).unwrap();
    serve(&[&version::TLS13]);
    assert!(connect(&version::TLS12).is_err());
    let mut new = connect(&version::TLS13).unwrap();
    rig.reconfigure(StreamOptions::default(), Neighbours::default());
    assert!(connect(&version::TLS13).is_err());
    old.greet(b"").unwrap();
    new.greet(b"").unwrap();
}
