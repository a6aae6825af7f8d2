//! Workers on real sockets over loopback, around a core whose every move is known.

mod relay_changes;
mod stream_changes;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::mpsc;

use super::*;
use crate::net::listener::open_listeners;
use crate::net::ports::RelayAddress;
use crate::net::stream::{CapLimits, Neighbours, Security, StreamListen, open_stream_listeners};
use crate::turn::{
    AllocationId, ConnectionId, Direction, Family, FiveTuple, Input, Output, Passage, PortRequest, RelayId,
    RelayTransport,
};

/// Does what the first byte of a datagram says.
///
/// `A` and `6` open a relay socket (answer: `R` and its port, or `E`), `C` closes it, `T` with a port sends the rest
/// there, `H` with an IPv4 address before the port as well; `X` asks for a call after 20 ms. What peers send comes back
/// as `D`, their port and the payload.
///
/// ChannelData stands for its payload, and a STUN request asks who is asking: 1, 1, address and port.
#[derive(Default)]
struct TinyCore {
    relays: HashMap<FiveTuple, RelayId>,
    clients: HashMap<RelayId, FiveTuple>,
    next: u32,
    deadline: Option<(Millis, FiveTuple)>,
    /// First bytes of what came in, in order; `p` for what came from a peer.
    log: Vec<u8>,
    /// Who that was last.
    last_peer: Option<SocketAddr>,
}

impl Core for TinyCore {
    fn handle<'a>(&mut self, now: Now, input: Input<'a>, out: &mut impl FnMut(Output<'a, '_>)) {
        match input {
            Input::FromClient { client, bytes } => {
                self.log.extend(bytes.first());
                self.obey(now, client, bytes, out);
            }
            Input::FromPeer { relay, peer, bytes } => {
                self.log.push(b'p');
                self.last_peer = Some(peer);
                let client = self.clients[&relay];
                let [high, low] = peer.port().to_be_bytes();
                out(Output::ToClient { client, head: &[b'D', high, low], payload: bytes, padding: 0 });
            }
            Input::RelayOpened { relay, result } => {
                let client = self.clients[&relay];
                let head = match result {
                    Ok(opened) => {
                        let [high, low] = opened.address.port().to_be_bytes();
                        [b'R', high, low]
                    }
                    Err(_) => *b"E  ",
                };
                out(Output::ToClient { client, head: &head, payload: &[], padding: 0 });
            }
            Input::PeerUnreachable { relay, peer, icmp } => {
                let client = self.clients[&relay];
                let [high, low] = peer.port().to_be_bytes();
                let head = [b'U', high, low, icmp.kind, icmp.code];
                out(Output::ToClient { client, head: &head, payload: &[], padding: 0 });
            }
            Input::KeyFound { .. } => {}
            Input::ClientGone { .. }
            | Input::PeerConnected { .. }
            | Input::PeerAccepted { .. }
            | Input::PeerGone { .. } => {}
        }
    }

    fn next_deadline(&self) -> Option<Millis> {
        self.deadline.map(|(deadline, _)| deadline)
    }

    fn expire(&mut self, now: Now, out: &mut impl FnMut(Output<'static, '_>)) {
        if let Some((deadline, client)) = self.deadline.take() {
            assert!(deadline <= now.mono);
            out(Output::ToClient { client, head: b"expired", payload: &[], padding: 0 });
        }
    }

    fn pass(&mut self, _: Now, _: ConnectionId, _: Direction, _: usize) -> Passage {
        Passage::Never
    }

    fn holds(&self, client: FiveTuple) -> bool {
        self.relays.contains_key(&client)
    }
}

impl TinyCore {
    fn obey<'a>(
        &mut self,
        now: Now,
        client: FiveTuple,
        bytes: &'a [u8],
        out: &mut impl FnMut(Output<'a, '_>),
    ) {
        match bytes {
            [b'A' | b'6', ..] => {
                let family = if bytes[0] == b'6' { Family::V6 } else { Family::V4 };
                let allocation = AllocationId { index: self.next, generation: 7 };
                let relay = RelayId { allocation, family };
                self.next += 1;
                self.relays.insert(client, relay);
                self.clients.insert(relay, client);
                out(Output::OpenRelay {
                    relay,
                    client,
                    port: PortRequest::Any,
                    transport: RelayTransport::Udp,
                });
            }
            [b'C', ..] => {
                let relay = self.relays[&client];
                // Sent before the socket is closed, and after.
                if let [_, high, low] = *bytes {
                    let peer = peer(relay.family, u16::from_be_bytes([high, low]));
                    out(Output::ToPeer { relay, peer, bytes: b"last", dont_fragment: false });
                }
                out(Output::CloseRelay { relay });
            }
            [b'T', high, low, bytes @ ..] => {
                let relay = self.relays[&client];
                let peer = peer(relay.family, u16::from_be_bytes([*high, *low]));
                out(Output::ToPeer { relay, peer, bytes, dont_fragment: false });
            }
            [b'H', a, b, c, d, high, low, bytes @ ..] => {
                let relay = self.relays[&client];
                let peer = SocketAddr::from(([*a, *b, *c, *d], u16::from_be_bytes([*high, *low])));
                out(Output::ToPeer { relay, peer, bytes, dont_fragment: false });
            }
            [0x40, 0, _, _, bytes @ ..] => self.obey(now, client, bytes, out),
            [0, 1, ..] => {
                let SocketAddr::V4(address) = client.client() else { return };
                let ([a, b, c, d], [high, low]) = (address.ip().octets(), address.port().to_be_bytes());
                let head = [1, 1, a, b, c, d, high, low];
                out(Output::ToClient { client, head: &head, payload: &[], padding: 0 });
            }
            [b'X', ..] => self.deadline = Some((now.mono.after(Duration::from_millis(20)), client)),
            _ => {}
        }
    }
}

fn peer(family: Family, port: u16) -> SocketAddr {
    SocketAddr::new(loopback(family), port)
}

fn loopback(family: Family) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::LOCALHOST.into(),
        Family::V6 => Ipv6Addr::LOCALHOST.into(),
    }
}

struct Rig {
    worker: WorkerHandle<TinyCore>,
    server: SocketAddr,
    /// Where connections are taken, plain and with TLS.
    streams: [SocketAddr; 2],
    ports: Arc<RelayPorts>,
    caps: Arc<Caps>,
    clock: Clock,
}

impl Rig {
    fn new(family: Family, range: std::ops::RangeInclusive<u16>) -> Self {
        Self::relaying_from(&LOOPBACK, family, range)
    }

    fn relaying_from(
        addresses: &[RelayAddress],
        family: Family,
        range: std::ops::RangeInclusive<u16>,
    ) -> Self {
        let ports = Arc::new(RelayPorts::new(addresses, range, [1; 32]));
        let caps = Arc::new(Caps::new(CapLimits::NONE, 0));
        let buffers = BufferSizes { receive: Some(4 << 20), send: None };
        let listeners = open_listeners(&[peer(family, 0)], 1, buffers, |_| Vec::new()).unwrap().remove(0);
        let server = listeners[0].address();
        let stream_listeners = stream_listeners();
        let streams = [0, 1].map(|number| StreamListener::address(&stream_listeners[number]));
        let clock = Clock::new();
        let setup = Setup {
            listeners,
            stream_listeners,
            streams: StreamOptions::default(),
            caps: caps.clone(),
            siblings: Siblings::family(1).remove(0),
            ports: Arc::clone(&ports),
            relay_buffers: BufferSizes::default(),
            clock,
            observer: Box::new(|_: Report<'_>| ()),
        };
        let worker = start("test", setup, TinyCore::default()).unwrap();
        Self { worker, server, streams, ports, caps, clock }
    }

    fn client(&self) -> Socket {
        let socket = Socket::new(Family::of(self.server.ip()));
        socket.0.connect(self.server).unwrap();
        socket
    }

    /// Asks the core something.
    fn ask<T: Send + 'static>(&self, question: impl FnOnce(&mut TinyCore) -> T + Send + 'static) -> T {
        let (sender, receiver) = mpsc::channel();
        self.worker.line().with_core(move |core, _, _| sender.send(question(core)).unwrap()).unwrap();
        receiver.recv_timeout(Duration::from_secs(5)).unwrap()
    }

    /// Gives the worker these settings, and waits until it has them.
    fn reconfigure(&self, streams: StreamOptions, plain: Neighbours) {
        let neighbours = [plain, Neighbours::default()].into();
        self.worker.line().reconfigure(NetSettings { streams, neighbours }).unwrap();
        self.ask(|_| ());
    }

    /// The counters once they say so.
    fn counters_when(
        &self,
        reached: impl Fn(&crate::net::counters::Counters) -> bool,
    ) -> crate::net::counters::Counters {
        for _ in 0..5000 {
            // Answered by the worker, so it goes through its loop each time.
            self.ask(|_| ());
            let counters = self.worker.line().counters();
            if reached(&counters) {
                return counters;
            }
        }
        panic!("{:?}", self.worker.line().counters());
    }

    fn taken(&self) -> u32 {
        self.ports.usage(self.clock.now().mono).iter().map(|usage| usage.taken).sum()
    }
}

/// Both loopback addresses.
const LOOPBACK: [RelayAddress; 2] = [
    RelayAddress::direct(IpAddr::V4(Ipv4Addr::LOCALHOST)),
    RelayAddress::direct(IpAddr::V6(Ipv6Addr::LOCALHOST)),
];

/// One for plain connections and one for TLS.
fn stream_listeners() -> Vec<StreamListener> {
    let listen =
        |security| StreamListen { address: peer(Family::V4, 0), security, neighbours: Neighbours::default() };
    open_stream_listeners(&[listen(Security::Plain), listen(Security::Tls)], 1, |_| Vec::new())
        .unwrap()
        .remove(0)
}

struct Socket(UdpSocket);

impl Socket {
    fn new(family: Family) -> Self {
        let socket = UdpSocket::bind(peer(family, 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        Self(socket)
    }

    fn port(&self) -> [u8; 2] {
        self.0.local_addr().unwrap().port().to_be_bytes()
    }

    fn receive(&self) -> Vec<u8> {
        let mut buffer = vec![0; 65_536];
        let length = self.0.recv(&mut buffer).unwrap();
        buffer.truncate(length);
        buffer
    }

    /// Opens a relay socket and returns its address.
    fn open(&self, family: Family) -> SocketAddr {
        self.0.send(if family == Family::V4 { b"A" } else { b"6" }).unwrap();
        let answer = self.receive();
        assert_eq!(answer[0], b'R', "{answer:?}");
        peer(family, u16::from_be_bytes([answer[1], answer[2]]))
    }

    fn send_through(&self, to: &Self, payload: &[u8]) {
        self.0.send(&[b"T", &to.port()[..], payload].concat()).unwrap();
    }
}

fn payload(length: usize, seed: usize) -> Vec<u8> {
    (0..length).map(|index| (index * 11 + seed * 5 + index / 256).to_le_bytes()[0]).collect()
}

#[test]
fn datagrams_of_all_sizes_go_both_ways_between_all_families() {
    let cases = [
        (Family::V4, Family::V4),
        (Family::V4, Family::V6),
        (Family::V6, Family::V4),
        (Family::V6, Family::V6),
    ];
    for (number, (client_family, relay_family)) in (0..).zip(cases) {
        let rig = Rig::new(client_family, 21_000 + number * 100..=21_099 + number * 100);
        let (client, peer) = (rig.client(), Socket::new(relay_family));
        let relay = client.open(relay_family);
        for (seed, length) in [0, 1, 160, 1200, 2048, 9000, 65_000].into_iter().enumerate() {
            let sent = payload(length, seed);
            client.send_through(&peer, &sent);
            let mut buffer = vec![0; 65_536];
            let (received, from) = peer.0.recv_from(&mut buffer).unwrap();
            assert!(buffer[..received] == sent);
            assert_eq!(from, relay);
            peer.0.send_to(&sent, relay).unwrap();
            assert!(client.receive() == [b"D", &peer.port()[..], &sent].concat());
        }
        rig.worker.stop().unwrap();
        assert_eq!(rig.ports.usage(Millis(0)).iter().map(|usage| usage.taken).sum::<u32>(), 0);
        UdpSocket::bind(rig.server).unwrap();
    }
}

#[test]
fn a_burst_goes_through_in_order_and_in_few_messages() {
    let rig = Rig::new(Family::V4, 21_400..=21_499);
    let (client, peer) = (rig.client(), Socket::new(Family::V4));
    let relay = client.open(Family::V4);
    let before = rig.counters_when(|counters| counters.datagrams_sent == 1);
    // The worker waits until the whole burst is there.
    let (release, held) = mpsc::channel::<()>();
    rig.worker.line().with_core(move |_, _, _| held.recv().unwrap()).unwrap();
    for seed in 0..40 {
        client.send_through(&peer, &payload(1200, seed));
        peer.0.send_to(&payload(900, seed), relay).unwrap();
    }
    release.send(()).unwrap();
    for seed in 0..40 {
        assert!(peer.receive() == payload(1200, seed), "{seed}");
        assert!(client.receive() == [b"D", &peer.port()[..], &payload(900, seed)].concat(), "{seed}");
    }
    let after = rig.counters_when(|counters| counters.datagrams_sent == 81);
    let messages = after.messages_sent - before.messages_sent;
    // 32 and 8 from the listener, 8 at a time from the relay socket, and two batches of 64 messages at least.
    assert!(messages <= if crate::net::sys::MAX_SEGMENTS > 1 { 8 } else { 80 }, "{messages}");
    assert_eq!(after.dropped(), 0);
}

#[test]
fn a_flood_on_the_listener_does_not_keep_a_relay_socket_waiting() {
    let rig = Rig::new(Family::V4, 21_500..=21_599);
    let (client, flooder, peer) = (rig.client(), rig.client(), Socket::new(Family::V4));
    let relay = client.open(Family::V4);
    let (release, held) = mpsc::channel::<()>();
    rig.worker.line().with_core(move |_, _, _| held.recv().unwrap()).unwrap();
    for _ in 0..1500 {
        flooder.0.send(b"flood").unwrap();
    }
    peer.0.send_to(b"voice", relay).unwrap();
    release.send(()).unwrap();
    client.receive();
    rig.counters_when(|counters| counters.client_datagrams_received >= 1501);
    let position = rig.ask(|core| core.log.iter().position(|byte| *byte == b'p')).unwrap();
    // The listener may have been the only one known to be ready; then it is so for one wake-up at most.
    assert!(position <= DATAGRAMS_PER_WAKEUP + 64, "after {position} others");
}

#[test]
fn an_unreachable_peer_is_reported_and_the_others_are_served() {
    for (number, family) in (0..).zip([Family::V4, Family::V6]) {
        let rig = Rig::new(family, 21_600 + number * 50..=21_649 + number * 50);
        let (client, peer) = (rig.client(), Socket::new(family));
        client.open(family);
        let closed = Socket::new(family).port();
        client.0.send(&[b"T", &closed[..], b"nobody"].concat()).unwrap();
        client.send_through(&peer, b"somebody");
        assert_eq!(peer.receive(), b"somebody");
        if crate::net::sys::ERROR_QUEUE {
            // Port unreachable: type 3 code 3 (RFC 792), type 1 code 4 (RFC 4443).
            let icmp = if family == Family::V4 { [3, 3] } else { [1, 4] };
            assert_eq!(client.receive(), [b"U", &closed[..], &icmp].concat());
            assert_eq!(rig.counters_when(|counters| counters.icmp_received == 1).dropped(), 0);
        }
    }
}

#[test]
fn a_closed_relay_socket_sends_what_was_sent_before_and_nothing_after() {
    let rig = Rig::new(Family::V4, 21_700..=21_799);
    let (client, peer) = (rig.client(), Socket::new(Family::V4));
    let relay = client.open(Family::V4);
    assert_eq!(rig.taken(), 1);
    client.0.send(&[b"C", &peer.port()[..]].concat()).unwrap();
    assert_eq!(peer.receive(), b"last");
    client.send_through(&peer, b"too late");
    let counters = rig.counters_when(|counters| counters.dropped_closed == 1);
    assert_eq!((counters.relays_opened, counters.relays_closed), (1, 1));
    assert_eq!(rig.taken(), 0);
    UdpSocket::bind(relay).unwrap();
}

#[test]
fn r09_clients_that_find_no_port_are_told_and_the_next_gets_one_that_is_given_back() {
    let rig = Rig::new(Family::V4, 21_800..=21_801);
    let clients: Vec<_> = (0..3).map(|_| rig.client()).collect();
    clients[0].open(Family::V4);
    let second = clients[1].open(Family::V4);
    clients[2].0.send(b"A").unwrap();
    assert_eq!(clients[2].receive(), b"E  ");
    clients[1].0.send(b"C").unwrap();
    rig.counters_when(|counters| counters.relays_closed == 1);
    assert_eq!(clients[2].open(Family::V4), second);
    assert_eq!(rig.worker.line().counters().relays_refused, 1);
}

#[test]
fn the_core_is_called_at_its_deadline_without_any_packet() {
    let rig = Rig::new(Family::V4, 21_900..=21_900);
    let client = rig.client();
    client.0.send(b"X").unwrap();
    assert_eq!(client.receive(), b"expired");
}

#[test]
fn commands_may_send_and_are_refused_after_the_end() {
    let rig = Rig::new(Family::V4, 21_901..=21_901);
    let client = rig.client();
    let to = FiveTuple::new(client.0.local_addr().unwrap(), crate::turn::ListenerId(0));
    rig.worker
        .line()
        .with_core(move |_, _, out| {
            out(Output::ToClient { client: to, head: b"hello", payload: &[], padding: 0 });
        })
        .unwrap();
    assert_eq!(client.receive(), b"hello");
    rig.worker.line().with_core(|_, _, _| panic!("on purpose: the thread of the worker ends")).unwrap();
    for _ in 0..5000 {
        if rig.worker.is_finished() {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(rig.worker.line().with_core(|_, _, _| ()), Err(Busy { ended: true }));
    assert!(rig.worker.stop().is_err());
}

#[test]
fn a_thousand_relay_sockets_come_and_go() {
    let rig = Rig::new(Family::V4, 22_000..=22_999);
    let clients: Vec<_> = (0..250).map(|_| rig.client()).collect();
    for lap in 1..=4 {
        let relays: Vec<_> = clients.iter().map(|client| client.open(Family::V4)).collect();
        for (client, relay) in clients.iter().zip(&relays) {
            let peer = Socket::new(Family::V4);
            peer.0.send_to(b"x", relay).unwrap();
            assert_eq!(client.receive(), [b"D", &peer.port()[..], b"x"].concat());
        }
        assert_eq!(rig.taken(), 250);
        for client in &clients {
            client.0.send(b"C").unwrap();
        }
        rig.counters_when(|counters| counters.relays_closed == lap * 250);
        assert_eq!(rig.taken(), 0);
    }
}
