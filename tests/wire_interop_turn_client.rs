//! A whole conversation of the `turn-client-proto` client with answers that our wire format wrote, and
//! requests that it read: challenge, allocation, permission, channel, data in both forms, ICMP, deletion.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::time::Duration;

use turn_client_proto::api::{Transmit, TurnConfig, TurnEvent, TurnPollRet, TurnRecvRet};
use turn_client_proto::prelude::*;
use turn_client_proto::stun::auth::Feature;
use turn_client_proto::udp::TurnClientUdp;
use turn_types::stun::message::IntegrityAlgorithm;
use turn_types::{Instant, TransportType, TurnCredentials};
use turnbridge::wire::*;

const NONCE: &[u8] = b"obMatJos2wAAA0123456789abcdef";
const RELAY: &str = "203.0.113.1:50000";
const PEER: &str = "198.51.100.7:9999";
const CREDENTIALS: &str = "user:realm:pass";

/// What a client has to be told for one kind of integrity: the script of a server, without a server.
struct Script {
    integrity: Integrity,
    key: Vec<u8>,
    channel: Option<ChannelNumber>,
    /// The methods of the authenticated requests, in order.
    seen: Vec<Method>,
}

impl Script {
    fn new(integrity: Integrity) -> Self {
        let key = match integrity {
            Integrity::Sha1 => <md5::Md5 as md5::Digest>::digest(CREDENTIALS).to_vec(),
            Integrity::Sha256 => <sha2::Sha256 as sha2::Digest>::digest(CREDENTIALS).to_vec(),
        };
        Self { integrity, key, channel: None, seen: Vec::new() }
    }

    fn answer(&mut self, bytes: &[u8], client: SocketAddr) -> Vec<u8> {
        let message = Message::parse(bytes).unwrap();
        let header = *message.header();
        assert_eq!(header.class, Class::Request);
        assert!(message.attributes().all(|attribute| attribute.kind.is_understood()));
        let mut buffer = [0; 512];
        if message.integrity().is_none() {
            return Writer::new(&mut buffer, header.answer(Class::Error))
                .error_code(401, "")
                .attribute(AttributeType::REALM, b"realm")
                .attribute(AttributeType::NONCE, NONCE)
                .attribute(AttributeType::PASSWORD_ALGORITHMS, &[0, 2, 0, 0, 0, 1, 0, 0])
                .fingerprint()
                .finish()
                .unwrap()
                .to_vec();
        }
        self.check_credentials(&message);
        self.seen.push(header.method);
        let writer = Writer::new(&mut buffer, header.answer(Class::Success));
        let writer = match header.method {
            Method::ALLOCATE => {
                assert_eq!(message.get(AttributeType::REQUESTED_TRANSPORT), Some(&[17, 0, 0, 0][..]));
                writer
                    .xor_address(AttributeType::XOR_RELAYED_ADDRESS, RELAY.parse().unwrap())
                    .number(AttributeType::LIFETIME, 600)
                    .xor_address(AttributeType::XOR_MAPPED_ADDRESS, client)
            }
            Method::REFRESH => {
                assert_eq!(message.get(AttributeType::LIFETIME), Some(&[0; 4][..]));
                writer.number(AttributeType::LIFETIME, 0)
            }
            Method::CHANNEL_BIND => {
                assert_eq!(peer_of(&message), PEER.parse().unwrap());
                let value = message.get(AttributeType::CHANNEL_NUMBER).unwrap();
                self.channel = ChannelNumber::new(u16::from_be_bytes([value[0], value[1]]));
                writer
            }
            Method::CREATE_PERMISSION => {
                assert_eq!(peer_of(&message).ip(), PEER.parse::<SocketAddr>().unwrap().ip());
                writer
            }
            other => panic!("no request with method {other:?} was asked for"),
        };
        let writer = match self.integrity {
            Integrity::Sha1 => writer.integrity_sha1(&self.key),
            Integrity::Sha256 => writer.integrity_sha256(&self.key),
        };
        writer.fingerprint().finish().unwrap().to_vec()
    }

    fn check_credentials(&self, message: &Message<'_>) {
        assert_eq!(message.integrity(), Some(self.integrity));
        assert_eq!(message.verify(&self.key), Ok(()));
        assert_eq!(message.verify(b"wrong"), Err(IntegrityError::Mismatch));
        assert_eq!(message.get(AttributeType::REALM), Some(&b"realm"[..]));
        assert_eq!(message.get(AttributeType::NONCE), Some(NONCE));
        match self.integrity {
            Integrity::Sha1 => assert_eq!(message.get(AttributeType::USERNAME), Some(&b"user"[..])),
            Integrity::Sha256 => {
                let hash = <sha2::Sha256 as sha2::Digest>::digest(b"user:realm");
                assert_eq!(message.get(AttributeType::USERHASH), Some(&hash[..]));
                assert!(!message.has(AttributeType::USERNAME));
                assert_eq!(message.get(AttributeType::PASSWORD_ALGORITHM), Some(&[0, 2, 0, 0][..]));
                let offered = message.get(AttributeType::PASSWORD_ALGORITHMS);
                assert_eq!(offered, Some(&[0, 2, 0, 0, 0, 1, 0, 0][..]));
            }
        }
    }
}

fn peer_of(message: &Message<'_>) -> SocketAddr {
    let value = message.get(AttributeType::XOR_PEER_ADDRESS).unwrap();
    decode_xor_address(value, message.header()).unwrap()
}

/// The client, its script and the clock they share.
struct Conversation {
    client: TurnClientUdp,
    script: Script,
    now: Instant,
}

impl Conversation {
    fn new(integrity: Integrity) -> Self {
        let mut config = TurnConfig::new(TurnCredentials::new("user", "pass"));
        match integrity {
            Integrity::Sha1 => config.set_anonymous_username(Feature::Disabled),
            Integrity::Sha256 => {
                config.set_supported_integrity(IntegrityAlgorithm::Sha256);
                config.set_anonymous_username(Feature::Required);
            }
        }
        let (client, server) = ("192.0.2.1:4000".parse().unwrap(), "192.0.2.2:3478".parse().unwrap());
        Self {
            client: TurnClientUdp::allocate(client, server, config),
            script: Script::new(integrity),
            now: Instant::from_nanos(0),
        }
    }

    fn hear(&mut self, bytes: Vec<u8>) -> TurnRecvRet<Vec<u8>> {
        let (server, client) = (self.client.remote_addr(), self.client.local_addr());
        self.client.recv(Transmit::new(bytes, TransportType::Udp, server, client), self.now)
    }

    /// Lets half a second pass, answers all that the client asks, and returns what happened.
    fn talk(&mut self) -> Vec<TurnEvent> {
        for _ in 0..50 {
            if matches!(self.client.poll(self.now), TurnPollRet::Closed) {
                break;
            }
            if let Some(transmit) = self.client.poll_transmit(self.now) {
                let answer = self.script.answer(transmit.data.as_ref(), self.client.local_addr());
                let heard = self.hear(answer);
                assert!(matches!(heard, TurnRecvRet::Handled), "{heard:?}");
            }
            self.now += Duration::from_millis(10);
        }
        std::iter::from_fn(|| self.client.poll_event()).collect()
    }

    fn send(&mut self, payload: &'static [u8]) -> Vec<u8> {
        let peer = PEER.parse().unwrap();
        self.client.send_to(TransportType::Udp, peer, payload, self.now).unwrap().unwrap().build().data
    }
}

fn speak(integrity: Integrity) {
    let peer: SocketAddr = PEER.parse().unwrap();
    let mut with = Conversation::new(integrity);

    let events = with.talk();
    assert!(
        matches!(events[..], [TurnEvent::AllocationCreated(_, relay)] if relay == RELAY.parse().unwrap())
    );

    with.client.create_permission(TransportType::Udp, peer.ip(), with.now).unwrap();
    let events = with.talk();
    assert!(matches!(events[..], [TurnEvent::PermissionCreated(_, ip)] if ip == peer.ip()), "{events:?}");

    let sent = with.send(b"as an indication");
    let message = Message::parse(&sent).unwrap();
    assert_eq!((message.header().class, message.header().method), (Class::Indication, Method::SEND));
    assert_eq!(peer_of(&message), peer);
    assert_eq!(message.get(AttributeType::DATA), Some(&b"as an indication"[..]));

    let mut head = [0; DATA_HEAD_MAX];
    let used = data_indication_head(&mut head, TransactionId([1; 12]), peer, 5);
    let heard = with.hear([&head[..used], b"hello\0\0\0"].concat());
    assert!(matches!(heard, TurnRecvRet::PeerData(ref d) if d.peer == peer && d.data() == b"hello"));

    let mut buffer = [0; 128];
    let icmp = Writer::new(&mut buffer, Header::new(Class::Indication, Method::DATA, TransactionId([2; 12])))
        .xor_address(AttributeType::XOR_PEER_ADDRESS, peer)
        .attribute(AttributeType::ICMP, &[0, 0, 3, 4, 0, 0, 5, 0])
        .finish()
        .unwrap();
    let heard = with.hear(icmp.to_vec());
    let TurnRecvRet::PeerIcmp { peer: from, icmp_type, icmp_code, icmp_data, .. } = heard else {
        panic!("{heard:?} is not the ICMP error")
    };
    assert_eq!((from, icmp_type, icmp_code, icmp_data), (peer, 3, 4, 1280));

    with.client.bind_channel(TransportType::Udp, peer, with.now).unwrap();
    let events = with.talk();
    assert!(matches!(events[..], [TurnEvent::ChannelCreated(_, to)] if to == peer), "{events:?}");
    let channel = with.script.channel.unwrap();

    let sent = with.send(b"as channel data");
    assert_eq!(ChannelData::parse(&sent), Some(ChannelData { channel, payload: b"as channel data" }));
    let heard = with.hear([&channel_head(channel, 5)[..], b"again"].concat());
    assert!(matches!(heard, TurnRecvRet::PeerData(ref d) if d.peer == peer && d.data() == b"again"));

    with.client.delete(with.now).unwrap();
    with.talk();
    assert!(matches!(with.client.poll(with.now), TurnPollRet::Closed));
    let methods = [Method::ALLOCATE, Method::CREATE_PERMISSION, Method::CHANNEL_BIND, Method::REFRESH];
    assert_eq!(with.script.seen, methods);
}

#[test]
fn a_client_with_md5_and_sha1_is_understood_and_understands() {
    speak(Integrity::Sha1);
}

#[test]
fn a_client_with_sha256_and_userhash_is_understood_and_understands() {
    speak(Integrity::Sha256);
}
