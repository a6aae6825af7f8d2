//! Drives the core as the server would, with a clock the test owns and relay sockets that are only numbers.

mod answer;
mod attributes;
mod client;
mod connections;
mod outputs;
mod sockets;

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use turnbridge::auth::authenticator::Credentials;
use turnbridge::auth::users::User;
use turnbridge::auth::{Authenticator, Secret};
use turnbridge::turn::*;
use turnbridge::wire::{AttributeType, Integrity, Method};

pub(crate) use answer::Answer;
pub(crate) use attributes::*;
pub(crate) use client::{Client, Scheme};
pub(crate) use outputs::{Out, Outs, Told};
pub(crate) use sockets::Sockets;

/// The realm of every rig; short enough for THREATS L02.
pub(crate) const REALM: &str = "turn";
/// Where the rig's relay sockets are.
pub(crate) const RELAY_V4: &str = "44.0.0.1";
pub(crate) const RELAY_V6: &str = "2a00:44::1";
/// Where the server listens.
pub(crate) const LISTENER: &str = "44.0.0.1:3478";
/// Unix time when the rig starts.
pub(crate) const START: u64 = 1_760_000_000;

/// What a test can change before the server starts.
pub(crate) struct Setup {
    pub(crate) settings: Settings,
    pub(crate) rules: PeerRules,
    pub(crate) credentials: Credentials,
    pub(crate) relay_v4: Option<IpAddr>,
    pub(crate) relay_v6: Option<IpAddr>,
    pub(crate) relay_ports: RangeInclusive<u16>,
    /// Which of several relays it is.
    pub(crate) number: RelayNumber,
}

/// A server without sockets, and the clock it lives by.
pub(crate) struct Rig {
    pub(crate) relay: Relay,
    pub(crate) quota: Arc<Quota>,
    pub(crate) sockets: Sockets,
    pub(crate) settings: Settings,
    pub(crate) rules: PeerRules,
    /// All that came out of the last input.
    pub(crate) last: Outs,
    mono: Millis,
    /// How far the wall clock was moved.
    jump: i64,
}

impl Rig {
    /// A server with two users, alice and bob, relaying on both families.
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut Setup)) -> Self {
        let user = |name, password| User::with_password(name, &Secret::new(password)).unwrap();
        let mut setup = Setup {
            settings: Settings::default(),
            rules: PeerRules {
                relay_addresses: vec![ip(RELAY_V4), ip(RELAY_V6)],
                host_addresses: vec![ip(RELAY_V4), ip(RELAY_V6)],
                services: vec![addr(LISTENER), addr("[2a00:44::1]:3478")],
                datagram_services: vec![addr(LISTENER), addr("[2a00:44::1]:3478")],
                ..PeerRules::default()
            },
            credentials: Credentials {
                realm: REALM.into(),
                users: vec![user("alice", "wonderland"), user("bob", "builder")],
                ..Credentials::default()
            },
            relay_v4: Some(ip(RELAY_V4)),
            relay_v6: Some(ip(RELAY_V6)),
            relay_ports: 50_000..=50_999,
            number: RelayNumber::ALONE,
        };
        change(&mut setup);
        let Setup { mut settings, rules, credentials, relay_v4, relay_v6, relay_ports, number } = setup;
        settings.peers = PeerPolicy::new(rules.clone());
        let quota = Arc::new(Quota::new(7));
        let relay = Relay::new(Parts {
            settings: Arc::new(settings.clone()),
            authenticator: Arc::new(Authenticator::new(credentials)),
            quota: Arc::clone(&quota),
            nonce_key: [3; 32],
            seed: 11,
            number,
        });
        let sockets = Sockets::new([relay_v4, relay_v6], relay_ports);
        Self { relay, quota, sockets, settings, rules, last: Outs::default(), mono: Millis(1), jump: 0 }
    }

    pub(crate) fn now(&self) -> Now {
        let unix = (START + self.mono.0 / 1000).checked_add_signed(self.jump).unwrap();
        Now { mono: self.mono, unix }
    }

    /// Lets time pass and wakes the server as often as it wants to be woken.
    pub(crate) fn advance(&mut self, wait: Duration) -> &Outs {
        let until = self.mono.after(wait);
        let mut outs = Outs::default();
        while let Some(deadline) = self.relay.next_deadline().filter(|deadline| *deadline <= until) {
            self.mono = self.mono.max(deadline);
            outs.0.append(&mut self.expire().0);
        }
        self.mono = until;
        self.last = outs;
        &self.last
    }

    /// Lets time pass while the server sleeps: what has expired is still there, and must not count.
    pub(crate) fn oversleep(&mut self, wait: Duration) {
        self.mono = self.mono.after(wait);
    }

    /// Moves the wall clock, not time.
    pub(crate) fn jump(&mut self, seconds: i64) {
        self.jump += seconds;
    }

    /// A datagram from a client.
    pub(crate) fn send(&mut self, client: &Client, bytes: &[u8]) -> &Outs {
        self.feed(Input::FromClient { client: client.tuple(), bytes })
    }

    /// The client's connection is closed.
    pub(crate) fn disconnect(&mut self, client: &Client) -> &Outs {
        self.feed(Input::ClientGone { client: client.tuple() })
    }

    /// A datagram from a peer to a relay address.
    pub(crate) fn receive(&mut self, relay: SocketAddr, peer: SocketAddr, bytes: &[u8]) -> &Outs {
        let relay = self.sockets.id(relay);
        self.feed(Input::FromPeer { relay, peer, bytes })
    }

    /// An ICMP error about a datagram sent from a relay address.
    pub(crate) fn icmp(&mut self, relay: SocketAddr, peer: SocketAddr, icmp: Icmp) -> &Outs {
        let relay = self.sockets.id(relay);
        self.feed(Input::PeerUnreachable { relay, peer, icmp })
    }

    /// Hands the server one input, and opens and closes the relay sockets it asks for.
    pub(crate) fn feed(&mut self, input: Input<'_>) -> &Outs {
        let now = self.now();
        let mut outs = Outs::default();
        let mut wanted = Vec::new();
        let Self { relay, sockets, .. } = self;
        relay.handle(now, input, &mut |output| {
            if let Output::OpenRelay { relay, client, port, .. } = output {
                wanted.push((relay, client.client().ip(), port));
            }
            outs.take(output, sockets);
        });
        for (id, client, port) in wanted {
            let result = sockets.open(now.mono, id, client, port);
            if let Ok(opened) = result {
                outs.0.push(Out::Opened(opened.address));
            }
            let input = Input::RelayOpened { relay: id, result };
            relay.handle(now, input, &mut |output| outs.take(output, sockets));
        }
        self.close(outs)
    }

    /// Takes changed settings and rules into use.
    pub(crate) fn reload(&mut self, change: impl FnOnce(&mut Settings, &mut PeerRules)) -> &Outs {
        change(&mut self.settings, &mut self.rules);
        self.settings.peers = PeerPolicy::new(self.rules.clone());
        let (now, settings) = (self.now(), Arc::new(self.settings.clone()));
        let mut outs = Outs::default();
        self.relay.set_settings(now, settings, &mut |output| outs.take(output, &self.sockets));
        self.close(outs)
    }

    /// Ends everything.
    pub(crate) fn stop(&mut self) -> &Outs {
        self.operate(|relay, now, mut out| relay.stop(now, &mut out));
        &self.last
    }

    /// Does what an operator can do.
    pub(crate) fn operate<T>(
        &mut self,
        act: impl FnOnce(&mut Relay, Now, &mut dyn FnMut(Output<'static, '_>)) -> T,
    ) -> T {
        let (now, mut outs) = (self.now(), Outs::default());
        let Self { relay, sockets, .. } = self;
        let done = act(relay, now, &mut |output| outs.take(output, sockets));
        self.close(outs);
        done
    }

    /// Does a request with credentials: answers the challenges of 401 and 438, and checks that every answer to an
    /// authenticated request proves to be the server's.
    pub(crate) fn call(&mut self, client: &mut Client, method: Method, attributes: &[Attr]) -> Answer {
        if client.challenge.is_none() {
            // RFC 8656 §5: clients SHOULD say what they are. A request with nothing in it is none of theirs.
            let software = raw(AttributeType::SOFTWARE, b"rig");
            let request = client.unsigned(method, &[attributes, &[software]].concat());
            let answer = self.ask(client, &request);
            assert_eq!(answer.code(), 401, "a request without credentials");
            client.accept_challenge(&answer);
        }
        let request = client.signed(method, attributes);
        let mut answer = self.ask(client, &request);
        if answer.code() == 438 {
            client.accept_challenge(&answer);
            let request = client.signed(method, attributes);
            answer = self.ask(client, &request);
        }
        let expected = (answer.code() != 401).then(|| client.scheme.answered_with());
        assert_eq!(answer.proof(&client.key()), expected, "{}: {answer:?}", answer.code());
        answer
    }

    /// Sends one datagram that must draw exactly one answer, to its sender and in its transaction.
    pub(crate) fn ask(&mut self, client: &Client, request: &[u8]) -> Answer {
        let outs = self.send(client, request);
        let [(to, bytes)] = &outs.to_client()[..] else { panic!("not one answer: {outs:?}") };
        assert_eq!(*to, client.tuple(), "an answer goes where its request came from (RFC 8489 §6.3.1.2)");
        let answer = Answer::parse(bytes);
        answer.assert_answers(request);
        answer
    }

    /// Allocates and gives the first relay address.
    pub(crate) fn allocate(&mut self, client: &mut Client, attributes: &[Attr]) -> SocketAddr {
        let attributes = [&[udp()], attributes].concat();
        let answer = self.call(client, Method::ALLOCATE, &attributes);
        assert_eq!(answer.code(), 0, "{answer:?}");
        answer.relayed()[0]
    }

    /// Permits a peer.
    pub(crate) fn permit(&mut self, client: &mut Client, peer: SocketAddr) {
        assert_eq!(self.call(client, Method::CREATE_PERMISSION, &[xor_peer(peer)]).code(), 0);
    }

    /// Binds a channel.
    pub(crate) fn bind(&mut self, client: &mut Client, number: u16, peer: SocketAddr) {
        let answer = self.call(client, Method::CHANNEL_BIND, &[channel(number), xor_peer(peer)]);
        assert_eq!(answer.code(), 0);
    }

    /// How many datagrams were dropped for a reason.
    pub(crate) fn dropped(&self, reason: DropReason) -> u64 {
        self.relay.counters().dropped(reason)
    }

    /// What must hold once nobody has anything: every port, count and table entry is back.
    pub(crate) fn assert_nothing_is_left(&self) {
        assert_eq!((self.relay.allocations(), self.relay.connections()), (0, 0));
        assert_eq!((self.quota.total(), self.quota.holders()), (0, (0, 0)));
        assert_eq!(self.sockets.open_count(), 0, "relay sockets");
        assert_eq!(self.sockets.ports_taken(self.mono), 0, "relay ports");
        assert_eq!(self.relay.next_deadline(), None);
    }

    fn expire(&mut self) -> Outs {
        let mut outs = Outs::default();
        self.relay.expire(self.now(), &mut |output| outs.take(output, &self.sockets));
        self.close(outs).clone()
    }

    fn close(&mut self, outs: Outs) -> &Outs {
        for out in &outs.0 {
            if let Out::Closed(relay) = out {
                self.sockets.close(*relay);
            }
        }
        self.last = outs;
        &self.last
    }
}

impl Scheme {
    /// Which integrity an answer must carry (RFC 8489 §9.2.4).
    pub(crate) fn answered_with(self) -> Integrity {
        match self {
            Self::Rfc5389 => Integrity::Sha1,
            Self::Md5 | Self::Sha256 | Self::UserHash => Integrity::Sha256,
        }
    }
}
