//! What the TURN core costs per packet and per allocation, without a socket.

#![allow(
    clippy::cast_possible_truncation,
    clippy::wildcard_enum_match_arm,
    reason = "a bench knows its own numbers"
)]

use std::cell::Cell;
use std::hint::black_box;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use turnbridge::auth::authenticator::Credentials;
use turnbridge::auth::users::User;
use turnbridge::auth::{Authenticator, Key, PasswordAlgorithm, Secret};
use turnbridge::turn::{
    FiveTuple, Input, ListenerId, Millis, Now, OpenedRelay, Output, Parts, PeerPolicy, PeerRules, Quota,
    Rate, Relay, RelayId, RelayNumber, Settings,
};
use turnbridge::wire::{
    AttributeType, ChannelNumber, Class, Header, Message, Method, TransactionId, Writer, channel_head,
};

const NOW: Now = Now { mono: Millis(1_000), unix: 1_800_000_000 };
const REALM: &str = "turn";
const USER: &str = "alice";
const PASSWORD: &str = "password";

/// The core with clients that each have an allocation and a channel.
struct Rig {
    relay: Relay,
    key: Key,
    clients: Vec<Client>,
    next_port: u16,
    transaction: u128,
}

struct Client {
    five_tuple: FiveTuple,
    relay: RelayId,
    peer: SocketAddr,
}

impl Rig {
    fn new(allocations: u32) -> Self {
        let user = User::with_password(USER, &Secret::new(PASSWORD)).expect("the name is good");
        let credentials =
            Credentials { realm: REALM.to_owned(), users: vec![user], ..Credentials::default() };
        let unlimited = Rate { per_second: u64::from(u32::MAX), burst: u64::from(u32::MAX) };
        // Addresses for documentation are not relayed to unless that is asked for.
        let allow = vec!["203.0.113.0/24".parse().expect("it is a range")];
        let peers = PeerPolicy::new(PeerRules { allow, ..PeerRules::default() });
        let settings = Settings { challenge_budget: unlimited, peers, ..Settings::default() };
        let parts = Parts {
            settings: Arc::new(settings),
            authenticator: Arc::new(Authenticator::new(credentials)),
            quota: Arc::new(Quota::new(1)),
            nonce_key: [3; 32],
            seed: 4,
            number: RelayNumber::ALONE,
        };
        let key = Key::derive(PasswordAlgorithm::Md5, USER, REALM, PASSWORD.as_bytes());
        let mut rig =
            Self { relay: Relay::new(parts), key, clients: Vec::new(), next_port: 49_152, transaction: 0 };
        for number in 0..allocations {
            let client = rig.establish(number);
            rig.clients.push(client);
        }
        rig
    }

    /// All requests of a client up to its channel: 401, Allocate, ChannelBind.
    fn establish(&mut self, number: u32) -> Client {
        let ip = IpAddr::from([198, 51, 100, (number % 250) as u8]);
        let client = SocketAddr::new(ip, (1024 + number / 250) as u16);
        let five_tuple = FiveTuple::new(client, ListenerId(0));
        let peer = SocketAddr::from(([203, 0, 113, 9], (2000 + number % 60_000) as u16));
        let nonce = self.challenge(five_tuple);
        let opened = self.request(five_tuple, Method::ALLOCATE, &nonce, |writer| {
            writer.attribute(AttributeType::REQUESTED_TRANSPORT, &[17, 0, 0, 0])
        });
        self.request(five_tuple, Method::CHANNEL_BIND, &nonce, |writer| {
            writer
                .number(AttributeType::CHANNEL_NUMBER, u32::from(ChannelNumber::FIRST.get()) << 16)
                .xor_address(AttributeType::XOR_PEER_ADDRESS, peer)
        });
        Client { five_tuple, relay: opened.expect("an Allocate opens a relay"), peer }
    }

    fn release(&mut self, client: &Client) {
        let nonce = self.challenge(client.five_tuple);
        self.request(client.five_tuple, Method::REFRESH, &nonce, |writer| {
            writer.number(AttributeType::LIFETIME, 0)
        });
    }

    /// The nonce that an unauthenticated request is answered with.
    fn challenge(&mut self, client: FiveTuple) -> Vec<u8> {
        let mut buffer = [0; 64];
        // A request with nothing in it would draw a nonce that is good for nothing (THREATS L02).
        let request = Writer::new(&mut buffer, self.header(Method::ALLOCATE))
            .attribute(AttributeType::SOFTWARE, b"bench")
            .finish()
            .expect("it fits");
        let mut nonce = Vec::new();
        self.relay.handle(NOW, Input::FromClient { client, bytes: request }, &mut |output| {
            if let Output::ToClient { head, .. } = output {
                let answer = Message::parse(head).expect("an answer is well-formed");
                nonce.extend_from_slice(answer.get(AttributeType::NONCE).expect("a challenge has a nonce"));
            }
        });
        nonce
    }

    /// Has a request answered, and the relay opened if it asks for one.
    fn request(
        &mut self,
        client: FiveTuple,
        method: Method,
        nonce: &[u8],
        write: impl FnOnce(Writer<'_>) -> Writer<'_>,
    ) -> Option<RelayId> {
        let mut buffer = [0; 512];
        let request = write(Writer::new(&mut buffer, self.header(method)))
            .attribute(AttributeType::USERNAME, USER.as_bytes())
            .attribute(AttributeType::REALM, REALM.as_bytes())
            .attribute(AttributeType::NONCE, nonce)
            .integrity_sha1(self.key.as_bytes())
            .finish()
            .expect("it fits");
        let (opened, succeeded) = (Cell::new(None), Cell::new(false));
        let mut out = |output: Output<'_, '_>| match output {
            Output::OpenRelay { relay, .. } => opened.set(Some(relay)),
            Output::ToClient { head, .. } => {
                let answer = Message::parse(head).expect("an answer is well-formed");
                succeeded.set(answer.header().class == Class::Success);
            }
            _ => {}
        };
        self.relay.handle(NOW, Input::FromClient { client, bytes: request }, &mut out);
        if let Some(relay) = opened.get() {
            self.next_port = self.next_port.checked_add(1).unwrap_or(49_152);
            let address = SocketAddr::from(([192, 0, 2, 1], self.next_port));
            let result = Ok(OpenedRelay { address, reservation: None });
            self.relay.handle(NOW, Input::RelayOpened { relay, result }, &mut out);
        }
        assert!(succeeded.get(), "method {} is carried out", method.number());
        opened.get()
    }

    fn header(&mut self, method: Method) -> Header {
        self.transaction += 1;
        let mut id = [0; 12];
        id.copy_from_slice(&self.transaction.to_be_bytes()[4..]);
        Header::new(Class::Request, method, TransactionId(id))
    }
}

/// Consecutive packets are of different clients, so that tables larger than a cache show.
fn packets(criterion: &mut Criterion) {
    for allocations in [1, 1_000, 10_000] {
        let mut rig = Rig::new(allocations);
        let Rig { relay, clients, .. } = &mut rig;
        let mut frame = channel_head(ChannelNumber::FIRST, 160).to_vec();
        frame.resize(164, 0);
        let mut turns = (0..clients.len()).cycle();
        let mut turn = || turns.next().expect("a cycle has no end");
        let mut group = criterion.benchmark_group("packet");
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::new("up", allocations), |bench| {
            bench.iter(|| {
                let client = clients[turn()].five_tuple;
                let mut sent = 0;
                relay.handle(NOW, Input::FromClient { client, bytes: &frame }, &mut |output| {
                    if let Output::ToPeer { bytes, .. } = output {
                        sent += black_box(bytes).len();
                    }
                });
                assert_eq!(sent, 160);
            });
        });
        group.bench_function(BenchmarkId::new("down", allocations), |bench| {
            bench.iter(|| {
                let &Client { relay: at, peer, .. } = &clients[turn()];
                let mut sent = 0;
                relay.handle(NOW, Input::FromPeer { relay: at, peer, bytes: &frame[4..] }, &mut |output| {
                    if let Output::ToClient { head, payload, .. } = output {
                        sent += black_box(head).len() + black_box(payload).len();
                    }
                });
                assert_eq!(sent, 164);
            });
        });
        group.finish();
    }
}

/// The whole life of an allocation, the client's own work included.
fn life(criterion: &mut Criterion) {
    let mut rig = Rig::new(0);
    let mut number = 0;
    criterion.bench_function("allocation, from 401 to Refresh 0, both sides", |bench| {
        bench.iter(|| {
            number = (number + 1) % 1_000_000;
            let client = rig.establish(number);
            rig.release(&client);
        });
    });
}

criterion_group!(benches, packets, life);
criterion_main!(benches);
