//! The whole core: datagrams of clients and peers, time, and a driver that opens ports well, badly or late.
//! After each step what came out is held against what was granted before; in the end all must be given back.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, LazyLock};

use turnbridge::auth::authenticator::Credentials;
use turnbridge::auth::users::{User, userhash};
use turnbridge::auth::{Authenticator, PasswordAlgorithm, Secret};
use turnbridge::turn::*;
use turnbridge::wire::*;

use super::script::Script;

const REALM: &str = "realm";
const UNIX: u64 = 1_760_000_000;
/// RFC 8656 §9: how long a permission lasts.
const PERMISSION_MS: u64 = 300_000;
/// Two static users, one credential that ends soon, and one that ended before.
const USERS: [&str; 4] = ["alice", "bob", "1760000400:carol", "1759999999:dave"];

static AUTHENTICATOR: LazyLock<Arc<Authenticator>> = LazyLock::new(|| {
    let password =
        |name: &str| User::with_password(name, &Secret::new("password")).expect("it is a good name");
    Arc::new(Authenticator::new(Credentials {
        realm: REALM.into(),
        secrets: vec![Secret::new("north")],
        users: vec![password("alice"), password("bob")],
        ..Credentials::default()
    }))
});

/// Carries out a script.
pub fn sequence(bytes: &[u8]) {
    let mut script = Script(bytes);
    let mut world = World::new(&mut script);
    while !script.0.is_empty() {
        world.step(&mut script);
    }
    world.end();
}

/// What a driver does when it is asked for a port.
#[derive(Clone, Copy)]
enum Ports {
    Open,
    Fail(OpenError),
    Wait,
}

/// An output, its borrowed bytes copied.
enum Seen {
    ToClient { client: FiveTuple, bytes: Vec<u8>, payload: Vec<u8> },
    ToPeer { relay: RelayId, peer: SocketAddr, bytes: Vec<u8> },
    Open { relay: RelayId, client: FiveTuple },
    Close(RelayId),
    Other,
}

impl Seen {
    fn of(output: Output<'_, '_>) -> Self {
        match output {
            Output::ToClient { client, head, payload, padding } => {
                assert!(padding < 4);
                let bytes = [head, payload, &[0; 3][..usize::from(padding)]].concat();
                assert!(bytes.len() <= 65_507);
                Self::ToClient { client, bytes, payload: payload.to_vec() }
            }
            Output::ToPeer { relay, peer, bytes, .. } => Self::ToPeer { relay, peer, bytes: bytes.to_vec() },
            Output::OpenRelay { relay, client, .. } => Self::Open { relay, client },
            Output::CloseRelay { relay } => Self::Close(relay),
            Output::CloseClient { .. }
            | Output::HandOver { .. }
            | Output::FindKey { .. }
            | Output::ConnectPeer { .. }
            | Output::KeepPeer { .. }
            | Output::ClosePeer { .. }
            | Output::Splice { .. }
            | Output::ChannelUp { .. }
            | Output::ChannelDown { .. }
            | Output::Event(_) => Self::Other,
        }
    }
}

struct World {
    relay: Relay,
    quota: Arc<Quota>,
    policy: PeerPolicy,
    now: Now,
    ports: Ports,
    clients: [FiveTuple; 4],
    nonces: HashMap<FiveTuple, Vec<u8>>,
    open: HashMap<RelayId, FiveTuple>,
    waiting: Vec<(RelayId, FiveTuple)>,
    asked: HashSet<RelayId>,
    /// When a client was last told that it may talk to this address.
    permitted: HashMap<(FiveTuple, IpAddr), u64>,
    requests: u8,
}

impl World {
    fn new(script: &mut Script<'_>) -> Self {
        let mode = script.byte();
        let settings = Settings {
            channels: if mode & 1 == 0 { ChannelRange::Rfc8656 } else { ChannelRange::Rfc5766 },
            expiry: if mode & 2 == 0 { CredentialExpiry::Strict } else { CredentialExpiry::AtAllocation },
            dont_fragment: mode & 4 == 0,
            allocations: AllocationLimits { per_user: 2, per_address: 2, total: 3 },
            permissions_per_allocation: 3,
            channels_per_allocation: 3,
            bandwidth_per_allocation: (mode & 8 != 0).then_some(Rate { per_second: 1000, burst: 2000 }),
            bandwidth: (mode & 16 != 0).then_some(Rate { per_second: 1000, burst: 3000 }),
            ..Settings::default()
        };
        let quota = Arc::new(Quota::new(7));
        let relay = Relay::new(Parts {
            settings: Arc::new(settings),
            authenticator: AUTHENTICATOR.clone(),
            quota: quota.clone(),
            nonce_key: [5; 32],
            seed: 9,
            number: RelayNumber::ALONE,
        });
        let client = |text: &str, listener| FiveTuple::new(text.parse().unwrap(), ListenerId(listener));
        Self {
            relay,
            quota,
            policy: PeerPolicy::new(PeerRules::default()),
            now: Now { mono: Millis(1_000_000), unix: UNIX },
            ports: Ports::Open,
            clients: [
                client("9.9.9.1:1000", 0),
                client("9.9.9.1:1001", 0),
                client("9.9.9.1:1000", 1),
                client("[2a00::1]:1000", 2),
            ],
            nonces: HashMap::new(),
            open: HashMap::new(),
            waiting: Vec::new(),
            asked: HashSet::new(),
            permitted: HashMap::new(),
            requests: 0,
        }
    }

    fn step(&mut self, script: &mut Script<'_>) {
        match script.byte() % 12 {
            0 => {
                let client = *script.pick(&self.clients);
                let length = usize::from(script.byte());
                let bytes = script.take(length).to_vec();
                self.hear_client(client, &bytes);
            }
            1 => {
                let client = *script.pick(&self.clients);
                let channel = 0x4000 + u16::from(script.byte() % 5) * 0x0801;
                let length = usize::from(script.byte());
                let payload = script.take(length);
                let announced = u16::try_from(payload.len()).unwrap();
                let head = [channel.to_be_bytes(), announced.to_be_bytes()].concat();
                self.hear_client(client, &[&head, payload].concat());
            }
            2 => {
                let (relay, peer) = (self.some_relay(script), peer(script));
                let length = usize::from(script.number());
                self.hear_peer(relay, peer, &vec![0x5A; length]);
            }
            3 => {
                let (relay, peer) = (self.some_relay(script), peer(script));
                let icmp = Icmp { kind: script.byte(), code: script.byte(), data: 1280 };
                let seen = self.handle(Input::PeerUnreachable { relay, peer, icmp });
                self.check_told(relay, &seen);
            }
            4 => self.pass(script),
            5 => {
                let errors = [OpenError::FamilyUnsupported, OpenError::NoCapacity, OpenError::TokenUnknown];
                self.ports = match script.byte() % 5 {
                    at @ 0..=2 => Ports::Fail(errors[usize::from(at)]),
                    3 => Ports::Wait,
                    _ => Ports::Open,
                };
            }
            6 => {
                let ports = self.ports;
                self.ports = Ports::Open;
                self.open_waiting();
                self.ports = ports;
            }
            7 => {
                let relay = self.some_relay(script);
                self.open_unasked(relay);
            }
            _ => self.request(script),
        }
    }

    /// An answer to what was not asked, or not asked any more: a port that nobody waits for is closed.
    fn open_unasked(&mut self, relay: RelayId) {
        if self.open.contains_key(&relay) || self.waiting.iter().any(|(waiting, _)| *waiting == relay) {
            return;
        }
        let address = "8.8.4.4:49999".parse().unwrap();
        let opened = Ok(OpenedRelay { address, reservation: None });
        let seen = self.handle(Input::RelayOpened { relay, result: opened });
        assert!(matches!(seen[..], [Seen::Close(closed)] if closed == relay));
        let seen = self.handle(Input::RelayOpened { relay, result: Err(OpenError::NoCapacity) });
        assert!(seen.is_empty());
    }

    /// Lets time pass; the sweep may come late.
    fn pass(&mut self, script: &mut Script<'_>) {
        let seconds = u64::from(script.number() % 4000);
        self.now.mono.0 += seconds * 1000 + 1;
        // The wall clock may stand still or jump.
        self.now.unix = match script.byte() % 8 {
            0 => self.now.unix,
            1 => UNIX - 86_400,
            _ => self.now.unix + seconds,
        };
        if !script.byte().is_multiple_of(4) {
            self.expire();
        }
    }

    fn expire(&mut self) {
        let mut seen = Vec::new();
        self.relay.expire(self.now, &mut |output| seen.push(Seen::of(output)));
        assert!(self.relay.next_deadline().is_none_or(|at| at > self.now.mono), "it did what was due");
        for one in seen {
            match one {
                Seen::Close(relay) => self.close(relay),
                Seen::Other => {}
                Seen::ToClient { .. } | Seen::ToPeer { .. } | Seen::Open { .. } => {
                    panic!("expiry says nothing")
                }
            }
        }
    }

    /// A relay socket that is open, or waited for, or made up.
    fn some_relay(&self, script: &mut Script<'_>) -> RelayId {
        let mut known: Vec<RelayId> = self.asked.iter().copied().collect();
        known.sort_by_key(|relay| (relay.allocation, relay.family));
        let at = usize::from(script.byte());
        let made_up = AllocationId { index: u32::from(script.byte() % 4), generation: 0 };
        known.get(at).copied().unwrap_or(RelayId { allocation: made_up, family: Family::V4 })
    }

    fn request(&mut self, script: &mut Script<'_>) {
        let client = *script.pick(&self.clients);
        let method = *script.pick(&[
            Method::ALLOCATE,
            Method::REFRESH,
            Method::CREATE_PERMISSION,
            Method::CHANNEL_BIND,
            Method::SEND,
            Method::BINDING,
            Method::DATA,
        ]);
        let class = if method == Method::SEND { Class::Indication } else { Class::Request };
        // Now and then the transaction of the request before: a retransmission.
        let (proof, again) = (script.byte(), script.byte().is_multiple_of(4));
        self.requests = self.requests.wrapping_add(u8::from(!again));
        let header = Header::new(class, method, TransactionId([self.requests; 12]));
        if proof % 8 != 0 && !self.nonces.contains_key(&client) {
            self.ask_for_a_nonce(client);
        }
        let mut buffer = [0; 2048];
        let mut writer = Writer::new(&mut buffer, header);
        if method == Method::ALLOCATE && !script.byte().is_multiple_of(8) {
            writer = writer.attribute(AttributeType::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
        }
        for _ in 0..script.byte() % 5 {
            writer = attribute(writer, script);
        }
        let writer = self.sign(writer, client, proof, script);
        let writer = if script.byte().is_multiple_of(2) { writer } else { writer.fingerprint() };
        let Ok(bytes) = writer.finish() else { return };
        let bytes = bytes.to_vec();
        self.hear_client(client, &bytes);
    }

    fn ask_for_a_nonce(&mut self, client: FiveTuple) {
        let header = Header::new(Class::Request, Method::ALLOCATE, TransactionId([0xEE; 12]));
        let mut buffer = [0; 20];
        let bytes = Writer::new(&mut buffer, header).finish().expect("a header fits").to_vec();
        self.hear_client(client, &bytes);
    }

    fn sign<'b>(
        &self,
        writer: Writer<'b>,
        client: FiveTuple,
        proof: u8,
        script: &mut Script<'_>,
    ) -> Writer<'b> {
        let user = *script.pick(&USERS);
        let nonce = self.nonces.get(&client).map_or(&b"made up"[..], |nonce| nonce);
        let key = |algorithm| {
            let found = AUTHENTICATOR.find(user.as_bytes(), UNIX - 1000);
            found.ok().and_then(|mut found| found.next()?.key(algorithm)).expect("it was good back then")
        };
        let named = |writer: Writer<'b>| {
            writer
                .attribute(AttributeType::USERNAME, user.as_bytes())
                .attribute(AttributeType::REALM, REALM.as_bytes())
                .attribute(AttributeType::NONCE, nonce)
        };
        let both = |writer: Writer<'b>| {
            writer
                .attribute(AttributeType::PASSWORD_ALGORITHMS, &[0, 2, 0, 0, 0, 1, 0, 0])
                .attribute(AttributeType::PASSWORD_ALGORITHM, &[0, 2, 0, 0])
        };
        match proof % 8 {
            0 => writer,
            1 => named(writer).integrity_sha1(b"wrong"),
            2 => both(named(writer)).integrity_sha256(key(PasswordAlgorithm::Sha256).as_bytes()),
            3 => {
                let hashed = writer
                    .attribute(AttributeType::USERHASH, &userhash(user, REALM))
                    .attribute(AttributeType::REALM, REALM.as_bytes())
                    .attribute(AttributeType::NONCE, nonce);
                both(hashed).integrity_sha256(key(PasswordAlgorithm::Sha256).as_bytes())
            }
            _ => named(writer).integrity_sha1(key(PasswordAlgorithm::Md5).as_bytes()),
        }
    }

    fn handle(&mut self, input: Input<'_>) -> Vec<Seen> {
        let mut seen = Vec::new();
        self.relay.handle(self.now, input, &mut |output| seen.push(Seen::of(output)));
        seen.retain(|one| !matches!(one, Seen::Other));
        seen
    }

    /// A client's datagram is answered to it alone, and reaches only peers that were granted to it.
    fn hear_client(&mut self, sender: FiveTuple, bytes: &[u8]) {
        let request = Message::parse(bytes).ok();
        for one in self.handle(Input::FromClient { client: sender, bytes }) {
            match one {
                Seen::ToClient { client, bytes: answer, .. } => {
                    assert_eq!(client, sender);
                    self.answered(client, request.as_ref().expect("only messages are answered"), &answer);
                }
                Seen::ToPeer { relay, peer, bytes: payload } => {
                    assert_eq!(self.open.get(&relay), Some(&sender), "another client's relay");
                    assert_eq!(relay.family, Family::of(peer.ip()));
                    self.check_permitted(sender, peer.ip());
                    assert!(self.policy.judge(peer, None).is_ok(), "{peer} is forbidden");
                    assert!(payload.is_empty() || bytes.windows(payload.len()).any(|part| part == payload));
                }
                Seen::Open { relay, client } => {
                    assert_eq!(client, sender);
                    assert!(self.asked.insert(relay), "a name is used once");
                    self.waiting.push((relay, client));
                }
                Seen::Close(relay) => self.close(relay),
                Seen::Other => {}
            }
        }
        self.open_waiting();
    }

    fn answered(&mut self, client: FiveTuple, request: &Message<'_>, answer: &[u8]) {
        let answer = Message::parse(answer).expect("an answer is a message");
        let (asked, told) = (request.header(), answer.header());
        assert_eq!(asked.class, Class::Request);
        assert_eq!(
            (told.method, told.cookie, told.transaction),
            (asked.method, asked.cookie, asked.transaction)
        );
        match told.class {
            Class::Success if matches!(told.method, Method::CREATE_PERMISSION | Method::CHANNEL_BIND) => {
                let peers = request.attributes().filter(|a| a.kind == AttributeType::XOR_PEER_ADDRESS);
                for peer in peers.filter_map(|peer| decode_xor_address(peer.value, asked)) {
                    self.permitted.insert((client, peer.ip()), self.now.mono.0);
                    if told.method == Method::CHANNEL_BIND {
                        break;
                    }
                }
            }
            Class::Success => {}
            Class::Error => {
                let code = answer.get(AttributeType::ERROR_CODE).expect("an error has a code");
                assert!(code.len() >= 4 && (3..=6).contains(&code[2]) && code[3] < 100);
                if let Some(nonce) = answer.get(AttributeType::NONCE) {
                    self.nonces.insert(client, nonce.to_vec());
                }
            }
            Class::Request | Class::Indication => panic!("this is no answer"),
        }
    }

    fn hear_peer(&mut self, relay: RelayId, peer: SocketAddr, bytes: &[u8]) {
        let seen = self.handle(Input::FromPeer { relay, peer, bytes });
        self.check_told(relay, &seen);
        for one in &seen {
            let Seen::ToClient { client, bytes: datagram, payload } = one else { continue };
            self.check_permitted(*client, peer.ip());
            assert_eq!(payload, bytes);
            match kind(datagram) {
                Kind::Stun => {
                    let message = Message::parse(datagram).expect("a Data indication is a message");
                    let from = message.get(AttributeType::XOR_PEER_ADDRESS).expect("it says from whom");
                    assert_eq!(decode_xor_address(from, message.header()), Some(peer));
                    assert_eq!(message.get(AttributeType::DATA), Some(bytes));
                }
                Kind::ChannelData | Kind::OldChannelData => {
                    assert_eq!(ChannelData::parse(datagram).map(|frame| frame.payload), Some(bytes));
                }
                Kind::Other => panic!("{datagram:?} is not for a client"),
            }
        }
    }

    /// What happens at a relay socket is told to its owner, and to nobody else.
    fn check_told(&self, relay: RelayId, seen: &[Seen]) {
        assert!(seen.len() <= 1);
        for one in seen {
            let Seen::ToClient { client, .. } = one else { panic!("only the client is told") };
            assert_eq!(self.open.get(&relay), Some(client), "another client's relay");
        }
    }

    fn check_permitted(&self, client: FiveTuple, ip: IpAddr) {
        let granted = self.permitted.get(&(client, ip)).expect("a permission was granted");
        assert!(self.now.mono.0 - granted <= PERMISSION_MS, "the permission is over");
    }

    /// Answers what the relay asked its driver for, unless the driver lets it wait.
    fn open_waiting(&mut self) {
        if matches!(self.ports, Ports::Wait) {
            return;
        }
        while let Some((relay, client)) = self.waiting.pop() {
            let ip: IpAddr = match relay.family {
                Family::V4 => [8, 8, 4, 4].into(),
                Family::V6 => "2a00::4444".parse().unwrap(),
            };
            let port = 50_000 + u16::try_from(self.asked.len() % 10_000).unwrap();
            let result = match self.ports {
                Ports::Open => Ok(OpenedRelay { address: SocketAddr::new(ip, port), reservation: None }),
                Ports::Fail(error) => Err(error),
                Ports::Wait => return,
            };
            if result.is_ok() {
                self.open.insert(relay, client);
            }
            let seen = self.handle(Input::RelayOpened { relay, result });
            self.settle(seen);
        }
    }

    /// What follows an opened or failed port: an answer, perhaps ports that are closed again.
    fn settle(&mut self, seen: Vec<Seen>) {
        for one in seen {
            match one {
                Seen::Close(relay) => self.close(relay),
                Seen::ToClient { bytes, .. } => {
                    let message = Message::parse(&bytes).expect("an answer is a message");
                    assert_eq!(message.header().method, Method::ALLOCATE);
                    assert!(message.integrity().is_some(), "its client was authenticated");
                }
                Seen::ToPeer { .. } | Seen::Open { .. } | Seen::Other => panic!("this is not asked for here"),
            }
        }
    }

    fn close(&mut self, relay: RelayId) {
        let client = self.open.remove(&relay).expect("only what is open is closed");
        self.permitted.retain(|(owner, ip), _| *owner != client || Family::of(*ip) != relay.family);
    }

    /// After all lifetimes nothing is left.
    fn end(mut self) {
        self.ports = Ports::Open;
        self.open_waiting();
        self.now.mono.0 += 24 * 3_600_000;
        self.expire();
        assert_eq!(self.relay.allocations(), 0);
        assert_eq!(self.relay.next_deadline(), None);
        assert_eq!(self.quota.total(), 0);
        assert!(self.open.is_empty(), "all ports are back");
    }
}

/// Peers of both families, allowed and forbidden.
fn peer(script: &mut Script<'_>) -> SocketAddr {
    const PEERS: [&str; 9] = [
        "1.1.1.1:5000",
        "1.1.1.1:5001",
        "1.1.1.2:5000",
        "8.8.4.4:50001",
        "[2a00::9]:5000",
        "127.0.0.1:5000",
        "10.0.0.1:5000",
        "[::ffff:1.1.1.1]:5000",
        "1.1.1.3:0",
    ];
    script.pick(&PEERS).parse().unwrap()
}

/// An attribute that means something to the server, with a value that may.
fn attribute<'b>(writer: Writer<'b>, script: &mut Script<'_>) -> Writer<'b> {
    match script.byte() % 13 {
        0 => writer.number(AttributeType::LIFETIME, *script.pick(&[0, 1, 600, 3600, u32::MAX])),
        1 => writer.attribute(AttributeType::EVEN_PORT, &[script.byte()]),
        2 => writer.attribute(AttributeType::RESERVATION_TOKEN, &script.array::<8>()),
        3 => writer.flag(AttributeType::DONT_FRAGMENT),
        4 => writer.attribute(AttributeType::REQUESTED_ADDRESS_FAMILY, &[script.byte() % 4, 0, 0, 0]),
        5 => writer.attribute(AttributeType::ADDITIONAL_ADDRESS_FAMILY, &[script.byte() % 4, 0, 0, 0]),
        6 | 7 => writer.xor_address(AttributeType::XOR_PEER_ADDRESS, peer(script)),
        8 => {
            let channel = 0x4000 + u16::from(script.byte() % 5) * 0x0801;
            let [high, low] = channel.to_be_bytes();
            writer.attribute(AttributeType::CHANNEL_NUMBER, &[high, low, 0, 0])
        }
        9 => {
            let length = usize::from(script.byte());
            writer.attribute(AttributeType::DATA, script.take(length))
        }
        10 => writer.flag(AttributeType(0x7ABC)),
        11 => writer.attribute(AttributeType::REQUESTED_TRANSPORT, &[script.byte(), 0, 0, 0]),
        _ => {
            let (kind, length) = (AttributeType(script.number()), usize::from(script.byte()));
            writer.attribute(kind, script.take(length))
        }
    }
}
