//! Nothing is allocated per relayed packet. One test in a process of its own, because the counting allocator
//! sees all threads.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a test looks at few of many")]
#![allow(unsafe_code, reason = "a global allocator is an unsafe trait")]

mod counting;

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;

use turnbridge::auth::authenticator::Credentials;
use turnbridge::auth::users::User;
use turnbridge::auth::{Authenticator, Key, PasswordAlgorithm, Secret};
use turnbridge::turn::{
    Family, FiveTuple, Input, ListenerId, Millis, Now, OpenedRelay, Output, Parts, Quota, Rate, Relay,
    RelayId, RelayNumber, Settings,
};
use turnbridge::wire::{AttributeType, Class, Header, Message, Method, TransactionId, Writer};

/// How many allocations `work` makes. The harness's own thread may allocate meanwhile, so the least of
/// many tries counts: what the work itself allocates, it allocates every time.
fn allocations(mut work: impl FnMut()) -> u64 {
    (0..100)
        .map(|_| {
            let before = counting::made();
            work();
            counting::made() - before
        })
        .min()
        .unwrap()
}

const NOW: Now = Now { mono: Millis(1_000_000), unix: 1_760_000_000 };

/// Peers of each family: one with a channel, one with a permission alone, one with neither.
const PEERS: [[&str; 3]; 2] = [
    ["8.8.8.8:5000", "8.8.8.8:5001", "8.8.4.4:5000"],
    ["[2606:4700::1]:5000", "[2606:4700::1]:5001", "[2606:4700::2]:5000"],
];

/// A client with a dual allocation.
struct Rig {
    relay: Relay,
    client: FiveTuple,
    key: Key,
    nonce: Vec<u8>,
    relays: Vec<RelayId>,
}

impl Rig {
    fn new(client: &str) -> Self {
        let plenty = Some(Rate { per_second: 1 << 40, burst: 1 << 40 });
        // With bandwidth limits, which are the longer way.
        let settings =
            Settings { bandwidth: plenty, bandwidth_per_allocation: plenty, ..Settings::default() };
        let authenticator = Authenticator::new(Credentials {
            realm: "example.org".into(),
            users: vec![User::with_password("alice", &Secret::new("pw")).unwrap()],
            ..Credentials::default()
        });
        let relay = Relay::new(Parts {
            settings: Arc::new(settings),
            authenticator: Arc::new(authenticator),
            quota: Arc::new(Quota::new(1)),
            nonce_key: [7; 32],
            seed: 1,
            number: RelayNumber::ALONE,
        });
        let key = Key::derive(PasswordAlgorithm::Md5, "alice", "example.org", b"pw");
        let client = FiveTuple::new(client.parse().unwrap(), ListenerId(0));
        let mut rig = Self { relay, client, key, nonce: Vec::new(), relays: Vec::new() };
        let challenge = rig.request(Method::ALLOCATE, |writer| writer);
        let challenge = Message::parse(&challenge).unwrap();
        rig.nonce = challenge.get(AttributeType::NONCE).unwrap().to_vec();
        rig.request(Method::ALLOCATE, |writer| {
            let writer = writer.attribute(AttributeType::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
            writer.attribute(AttributeType::ADDITIONAL_ADDRESS_FAMILY, &[2, 0, 0, 0])
        });
        for (number, [peer, ..]) in (0x4000..).zip(PEERS) {
            rig.request(Method::CHANNEL_BIND, |writer| {
                let writer = writer.number(AttributeType::CHANNEL_NUMBER, number << 16);
                writer.xor_address(AttributeType::XOR_PEER_ADDRESS, peer.parse().unwrap())
            });
        }
        rig
    }

    /// Sends a request, opens what relay sockets it asks for, and returns its answer.
    fn request(&mut self, method: Method, attributes: impl FnOnce(Writer<'_>) -> Writer<'_>) -> Vec<u8> {
        let mut buffer = [0; 512];
        let header = Header::new(Class::Request, method, TransactionId([9; 12]));
        let writer = attributes(Writer::new(&mut buffer, header))
            .attribute(AttributeType::USERNAME, b"alice")
            .attribute(AttributeType::REALM, b"example.org")
            .attribute(AttributeType::NONCE, &self.nonce)
            .integrity_sha1(self.key.as_bytes());
        let (mut answer, mut opened) = (Vec::new(), Vec::new());
        let input = Input::FromClient { client: self.client, bytes: writer.finish().unwrap() };
        self.relay.handle(NOW, input, &mut |output| match output {
            Output::ToClient { head, .. } => answer = head.to_vec(),
            Output::OpenRelay { relay, .. } => opened.push(relay),
            _ => {}
        });
        for relay in opened.iter().copied() {
            let address = match relay.family {
                Family::V4 => "203.0.113.5:50000",
                Family::V6 => "[2001:db8::5]:50000",
            };
            let result = Ok(OpenedRelay { address: address.parse().unwrap(), reservation: None });
            self.relay.handle(NOW, Input::RelayOpened { relay, result }, &mut |_| ());
        }
        self.relays.extend(opened);
        answer
    }

    /// Hands an input in many times over; the outputs must be as many, and nothing allocated for them.
    fn relays(&mut self, name: &str, input: Input<'_>, outputs: usize) {
        let mut seen = 0;
        let counted = allocations(|| {
            self.relay.handle(NOW, black_box(input), &mut |output| {
                seen += 1;
                black_box(output);
            });
        });
        assert_eq!((counted, seen), (0, 100 * outputs), "{name}: allocations, outputs");
    }
}

#[test]
fn relaying_a_packet_allocates_nothing() {
    let counted = allocations(|| drop(black_box(Box::new(1))));
    assert_eq!(counted, 1, "the allocator counts");

    for client in ["198.51.100.10:4000", "[2001:db8:1::10]:4000"] {
        let mut rig = Rig::new(client);
        for size in [0, 160, 1200, 60_000] {
            let payload = vec![0x5A; size];
            for (number, peers) in (0x4000_u16..).zip(PEERS) {
                let relay = rig.relays[usize::from(number - 0x4000)];
                up(&mut rig, number, peers, &payload);
                down(&mut rig, relay, peers, &payload);
            }
        }
    }
}

fn up(rig: &mut Rig, number: u16, peers: [&str; 3], payload: &[u8]) {
    let client = rig.client;
    let length = u16::try_from(payload.len()).unwrap();
    let frame = |number: u16| [&number.to_be_bytes(), &length.to_be_bytes(), payload].concat();
    let sends = |rig: &mut Rig, name: &str, bytes: &[u8], outputs| {
        rig.relays(&format!("{name} from {client:?}"), Input::FromClient { client, bytes }, outputs);
    };
    sends(rig, "ChannelData", &frame(number), 1);
    sends(rig, "ChannelData without a channel", &frame(0x4FFF), 0);
    for (peer, outputs) in peers.into_iter().zip([1, 1, 0]) {
        let mut buffer = vec![0; payload.len() + 64];
        let header = Header::new(Class::Indication, Method::SEND, TransactionId([8; 12]));
        let bytes = Writer::new(&mut buffer, header)
            .xor_address(AttributeType::XOR_PEER_ADDRESS, peer.parse().unwrap())
            .attribute(AttributeType::DATA, payload)
            .finish()
            .unwrap();
        sends(rig, &format!("a Send indication to {peer}"), bytes, outputs);
    }
}

fn down(rig: &mut Rig, relay: RelayId, peers: [&str; 3], payload: &[u8]) {
    for (peer, outputs) in peers.into_iter().zip([1, 1, 0]) {
        let from: SocketAddr = peer.parse().unwrap();
        let input = Input::FromPeer { relay, peer: from, bytes: payload };
        rig.relays(&format!("a datagram from {peer}"), input, outputs);
    }
}
