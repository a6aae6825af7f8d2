//! Clients, peers and a driver around one [`Relay`], all played by one source of choices, and a model that knows
//! what must come of each thing that happens.
#![allow(clippy::unwrap_used, reason = "whoever simulates fails by panicking")]
#![allow(clippy::print_stderr, reason = "a failure is only worth something with what led to it")]
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "the model takes what it expects, and then looks for leftovers"
)]

mod cast;
mod datagrams;
mod model;
mod network;
mod outputs;
mod random;
mod rules;
mod seen;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use turnbridge::turn::{
    ConnectError, ConnectionId, FiveTuple, Icmp, Input, Millis, Now, Parts, Quota, Relay, RelayId,
    RelayNumber,
};

use cast::{Cast, Directory, EPOCH};
use datagrams::{Datagrams, Memory};
use model::{Model, Moment};
use network::{Network, Waiting};
use outputs::{Outputs, Owned};
pub use random::Random;
use rules::Rules;
pub use seen::Seen;

/// How many of the latest steps are shown when something is wrong.
const TRAIL: usize = 12;

pub struct Simulation {
    random: Random,
    cast: Rc<Cast>,
    relay: Relay,
    quota: Arc<Quota>,
    model: Model,
    network: Network,
    now: Moment,
    /// Whether the driver is late with most of what is due: things are over long before they are freed.
    is_lazy: bool,
    memories: Vec<Memory>,
    /// Datagrams that were sent lately, to be sent again, or by somebody else.
    sent: VecDeque<(usize, Vec<u8>)>,
    /// Connections that the driver was asked for and has not told of, the latest of them.
    connecting: Vec<ConnectionId>,
    steps: u64,
    trail: VecDeque<String>,
    peers: Vec<IpAddr>,
}

impl Simulation {
    pub fn new(mut random: Random) -> Self {
        let directory = *random.pick(&[
            Directory::SecretsAndUsers,
            Directory::SecretsAndUsers,
            Directory::OldUser,
            Directory::UsersAlone,
        ]);
        let cast = Rc::new(Cast::new(directory));
        let rules = Rules::random(&mut random);
        let is_lazy = random.once_in(3);
        let quota = Arc::new(Quota::new(u64::from_be_bytes(random.array())));
        let relay = Relay::new(Parts {
            settings: Arc::new(rules.settings()),
            authenticator: Arc::new(Cast::authenticator(directory)),
            quota: Arc::clone(&quota),
            nonce_key: random.array(),
            seed: u64::from_be_bytes(random.array()),
            number: RelayNumber::ALONE,
        });
        let good = cast.accounts.iter().filter(|account| !account.keys.is_empty()).count();
        let memories = cast.clients.iter().map(|_| Memory {
            nonce: None,
            account: random.below(good.min(8)),
            key: random.below(2),
        });
        let memories = memories.collect();
        let model = Model::new(rules, Rc::clone(&cast));
        let peers = model.peers.judged.iter().map(|(ip, _)| *ip).collect();
        Self {
            random,
            relay,
            quota,
            model,
            network: Network::default(),
            now: Moment { mono: 0, unix: EPOCH },
            is_lazy,
            memories,
            sent: VecDeque::new(),
            connecting: Vec::new(),
            steps: 0,
            trail: VecDeque::new(),
            peers,
            cast,
        }
    }

    /// Lets this many things happen, or as many as there are choices for, and then sends everybody away.
    pub fn play(mut self, steps: u64) -> Seen {
        while self.steps < steps && !self.random.is_spent() {
            self.step();
        }
        self.end();
        self.model.seen.clone()
    }

    /// One thing happens.
    fn step(&mut self) {
        self.steps += 1;
        match self.random.below(256) {
            0..100 => self.client_sends(),
            100..150 => self.relayed(),
            150..160 => self.connections(),
            160..206 => self.peer_sends(),
            206..209 => self.unreachable(),
            209..212 => self.reopened(),
            212..222 => self.relays_talk(),
            222..225 => self.connections(),
            225 => self.disconnect(),
            226..248 => self.pass_time(),
            248..253 if !self.is_lazy || self.random.once_in(8) => self.expire(),
            253 => self.jump(),
            254 => self.swap(),
            // Mostly when there is something half done.
            _ if self.random.once_in(if self.network.waiting.is_empty() { 32 } else { 2 }) => self.stop(),
            _ => self.client_sends(),
        }
        // Most drivers open a socket at once; what is left waits until somebody looks again.
        while !self.network.waiting.is_empty() && !self.random.once_in(6) {
            self.open_next();
        }
        self.check();
    }

    /// Everybody goes away; nothing may be left of them.
    fn end(&mut self) {
        while !self.network.waiting.is_empty() {
            self.open_next();
        }
        let mut rounds = 0;
        while let Some(next) = self.relay.next_deadline() {
            self.now.mono = self.now.mono.max(next.0);
            self.expire();
            rounds += 1;
            assert!(rounds < 10_000, "deadlines never end");
        }
        self.check();
        assert_eq!(self.relay.allocations(), 0, "all that is left without refresh is over one day");
        assert!(self.network.open.is_empty(), "still open: {:?}", self.network.open);
        assert!(self.model.up.is_empty());
        assert_eq!((self.quota.total(), self.quota.holders()), (0, (0, 0)));
    }

    /// What must hold whatever happened.
    fn check(&mut self) {
        let held = self.model.allocations.len();
        assert_eq!(self.relay.allocations(), held, "allocations");
        assert_eq!(self.quota.total() as usize, held, "quota");
        let counters = self.relay.counters();
        let [up, down] = [counters.up, counters.down].map(|flow| (flow.packets, flow.bytes));
        let total = self.model.total;
        assert_eq!([up, down], [total.up, total.down].map(|flow| (flow.packets, flow.bytes)), "totals");
        let connections: usize = self.model.allocations.iter().map(|own| own.connections.len()).sum();
        assert_eq!(self.relay.connections(), connections, "connections");
        if held == 0 {
            assert!(self.network.open.is_empty(), "open without an allocation: {:?}", self.network.open);
            assert_eq!(self.quota.holders(), (0, 0));
            assert_eq!(self.relay.next_deadline(), None, "there is nothing to wait for");
        }
        if self.steps.is_multiple_of(16) {
            let mut users: Vec<_> = self.model.allocations.iter().map(|it| &it.quota_id).collect();
            let mut addresses: Vec<_> =
                self.model.allocations.iter().map(|it| cast::source(it.client)).collect();
            users.sort();
            users.dedup();
            addresses.sort();
            addresses.dedup();
            assert_eq!(self.quota.holders(), (users.len(), addresses.len()), "holders");
        }
    }

    fn note(&mut self, step: impl FnOnce() -> String) {
        if self.trail.len() == TRAIL {
            self.trail.pop_front();
        }
        self.trail.push_back(step());
    }

    fn client_sends(&mut self) {
        let at = self.some_client();
        let memory = self.memories[at].clone();
        // A client whose nonce was stolen by its neighbour, and the other way round.
        let memory = match self.random.once_in(64) {
            true => Memory { nonce: self.random.pick(&self.memories).nonce.clone(), ..memory },
            false => memory,
        };
        let choice = self.random.below(64);
        let payload = self.payload();
        let client = self.cast.clients[at];
        let own = self.model.allocations.iter().find(|allocation| allocation.client == client);
        let made_by = own.map(|own| own.transaction);
        let is_held = made_by.is_some();
        let mut write = Datagrams {
            random: &mut self.random,
            cast: &self.cast,
            tokens: &self.network.tokens,
            peers: &self.peers,
            made_by,
        };
        let (at, bytes) = match choice {
            0..3 => (at, write.allocate(&memory)),
            3..38 if !is_held => (at, write.allocate(&memory)),
            3..10 => (at, write.refresh(&memory)),
            10..30 => (at, write.create_permission(&memory)),
            30..51 => (at, write.channel_bind(&memory)),
            51 => (at, write.binding()),
            52 => (at, write.bare()),
            53 => (at, write.stray(&memory)),
            _ => match (choice, self.sent.len()) {
                (54..56, _) | (_, 0) => {
                    let good =
                        if choice == 54 { write.send(None, &payload) } else { write.channel_data(&payload) };
                    (at, write.mutate(good))
                }
                // A retransmission; the same from somebody else; garbage that looks like it.
                (choice, sent) => {
                    let (own, bytes) = self.sent[write.random.below(sent)].clone();
                    match choice {
                        56..61 => (own, bytes),
                        61 => (at, bytes),
                        _ => (own, write.mutate(bytes)),
                    }
                }
            },
        };
        self.deliver(at, bytes);
    }

    /// Mostly one of those who use the server as it is meant.
    fn some_client(&mut self) -> usize {
        let end = if self.random.once_in(4) { self.memories.len() } else { 6 };
        self.random.below(end)
    }

    /// Data from a client to a peer.
    fn relayed(&mut self) {
        let at = self.some_client();
        let payload = self.payload();
        let (indication, known) = (self.random.once_in(2), self.random.below(4));
        // Mostly by a channel, to a peer, that is there.
        let client = self.cast.clients[at];
        let own = self.model.allocations.iter().find(|allocation| allocation.client == client);
        let channel = own.and_then(|own| own.channels.get(known)).map(|(number, _, _)| *number);
        let mut write = Datagrams {
            random: &mut self.random,
            cast: &self.cast,
            tokens: &self.network.tokens,
            peers: &self.peers,
            made_by: None,
        };
        let known_peer = own.and_then(|own| own.permissions.get(known)).map(|(ip, _)| *ip);
        let mut bytes = match indication {
            true => write.send(known_peer, &payload),
            false => write.channel_data(&payload),
        };
        if let Some(number) = channel
            && !indication
        {
            bytes[..2].copy_from_slice(&number.to_be_bytes());
        }
        self.deliver(at, bytes);
    }

    fn deliver(&mut self, at: usize, bytes: Vec<u8>) {
        let client = self.cast.clients[at];
        self.note(|| format!("{client:?} sends {}", hex(&bytes)));
        let mut out = Outputs::default();
        let input = Input::FromClient { client, bytes: &bytes };
        self.relay.handle(self.at(), input, &mut |output| out.push(output));
        let is_last = out.list.contains(&Owned::CloseClient { client });
        self.follow(&out);
        self.model.client_sent(self.now, client, &bytes, &mut out, &mut self.network);
        if let Some(nonce) = self.model.challenge.take() {
            self.memories[at].nonce = Some(nonce);
        }
        if bytes.len() < 1000 {
            self.sent.push_back((at, bytes));
        }
        if self.sent.len() > 16 {
            self.sent.pop_front();
        }
        if is_last {
            self.hang_up(client);
        }
    }

    /// What the driver does about outputs that the model only reads.
    fn follow(&mut self, out: &Outputs) {
        for output in &out.list {
            match output {
                Owned::OpenRelay { relay, port, .. } => {
                    self.network.waiting.push(Waiting { relay: *relay, port: *port });
                }
                Owned::ToPeer { relay, peer, bytes, .. } => self.network.carry(*relay, *peer, bytes),
                Owned::ConnectPeer { connection, .. } => {
                    self.connecting.push(*connection);
                    if self.connecting.len() > 8 {
                        self.connecting.remove(0);
                    }
                }
                _ => {}
            }
        }
    }

    fn open_next(&mut self) {
        let place = self.random.below(self.network.waiting.len());
        let waiting = self.network.waiting.swap_remove(place);
        let result = self.network.open(waiting, self.now.mono, &mut self.random);
        self.note(|| format!("{waiting:?}: {result:?}"));
        let mut out = Outputs::default();
        let input = Input::RelayOpened { relay: waiting.relay, result };
        self.relay.handle(self.at(), input, &mut |output| out.push(output));
        self.model.opened(self.now.mono, waiting.relay, result, &mut out, &mut self.network);
    }

    /// The driver says again, and for all it knows too late, that a socket is open.
    fn reopened(&mut self) {
        if self.network.answered.is_empty() {
            return;
        }
        let (relay, opened) = *self.random.pick(&self.network.answered);
        self.note(|| format!("{relay:?} is opened again: {opened:?}"));
        let mut out = Outputs::default();
        let input = Input::RelayOpened { relay, result: Ok(opened) };
        self.relay.handle(self.at(), input, &mut |output| out.push(output));
        self.model.opened(self.now.mono, relay, Ok(opened), &mut out, &mut self.network);
    }

    /// A connection is closed, mostly one with an allocation.
    fn disconnect(&mut self) {
        let streams = |clients: &mut dyn Iterator<Item = FiveTuple>| -> Vec<_> {
            clients.filter(|client| client.is_stream()).collect()
        };
        let mut some = streams(&mut self.model.allocations.iter().map(|own| own.client));
        if some.is_empty() || self.random.once_in(8) {
            some = streams(&mut self.cast.clients.iter().copied());
        }
        let client = *self.random.pick(&some);
        self.hang_up(client);
    }

    /// Something happens around the peers of TCP allocations.
    fn connections(&mut self) {
        let all: Vec<_> =
            self.model.allocations.iter().flat_map(|own| &own.connections).map(|it| it.id).collect();
        let connecting: Vec<_> = self.connecting.clone();
        match self.random.below(12) {
            0..3 => self.asks_for_a_connection(),
            3..5 if !connecting.is_empty() => {
                let id = *self.random.pick(&connecting);
                // Sometimes it is told twice.
                if !self.random.once_in(8) {
                    self.connecting.retain(|other| *other != id);
                }
                self.connected(id);
            }
            3..7 => self.accepted(),
            7..11 if !all.is_empty() => {
                let connections = self.model.allocations.iter().flat_map(|own| &own.connections);
                let pending: Vec<_> = connections.filter(|it| it.is_pending()).map(|it| it.id).collect();
                let some = if pending.is_empty() || self.random.once_in(4) { &all } else { &pending };
                let id = *self.random.pick(some);
                self.binds(id);
            }
            _ if !all.is_empty() => {
                let id = *self.random.pick(&all);
                self.note(|| format!("the peer of {id:?} is gone"));
                let mut out = Outputs::default();
                let input = Input::PeerGone { connection: id };
                self.relay.handle(self.at(), input, &mut |output| out.push(output));
                self.model.peer_gone(self.now.mono, id, &mut out, &mut self.network);
            }
            _ => {}
        }
    }

    /// Who holds a TCP allocation asks for a connection; while nobody does, mostly somebody asks for such an allocation.
    fn asks_for_a_connection(&mut self) {
        let owners: Vec<_> =
            self.model.allocations.iter().filter(|own| own.is_tcp).map(|own| own.client).collect();
        let at = match owners.is_empty() {
            true => self.some_free_stream(),
            false => {
                let owner = *self.random.pick(&owners);
                self.cast.clients.iter().position(|client| *client == owner).unwrap()
            }
        };
        let memory = self.memories[at].clone();
        let is_first = owners.is_empty() && !self.random.once_in(8);
        let mut write = Datagrams {
            random: &mut self.random,
            cast: &self.cast,
            tokens: &self.network.tokens,
            peers: &self.peers,
            made_by: None,
        };
        let bytes = if is_first { write.allocate_tcp(&memory) } else { write.connect(&memory) };
        self.deliver(at, bytes);
    }

    /// Mostly a client over a stream that has no allocation.
    fn some_free_stream(&mut self) -> usize {
        let is_free = |client: &FiveTuple| self.model.allocations.iter().all(|own| own.client != *client);
        let clients = self.cast.clients.iter().enumerate();
        let free: Vec<_> =
            clients.filter(|(_, client)| client.is_stream() && is_free(client)).map(|(at, _)| at).collect();
        match free.is_empty() || self.random.once_in(4) {
            true => self.some_client(),
            false => *self.random.pick(&free),
        }
    }

    /// A client, mostly one over a stream, without an allocation and of the right user, wants to carry the data of
    /// a connection.
    fn binds(&mut self, id: ConnectionId) {
        let at = self.some_free_stream();
        let owner = self.model.allocations.iter().find(|own| own.connections.iter().any(|it| it.id == id));
        let user = owner.map(|owner| owner.user.clone());
        let account = self.cast.accounts.iter().position(|account| Some(&account.name) == user.as_ref());
        let mut memory = self.memories[at].clone();
        memory.account = match account {
            Some(account) if !self.random.once_in(3) => account,
            // Those that are always good.
            _ => self.random.below(2),
        };
        let mut write = Datagrams {
            random: &mut self.random,
            cast: &self.cast,
            tokens: &self.network.tokens,
            peers: &self.peers,
            made_by: None,
        };
        let bytes = write.connection_bind(id.0, &memory);
        self.deliver(at, bytes);
    }

    fn connected(&mut self, connection: ConnectionId) {
        let result = match self.random.below(6) {
            0..4 => Ok(()),
            4 => Err(ConnectError::Failed),
            _ => Err(ConnectError::NoCapacity),
        };
        self.note(|| format!("{connection:?} is connected: {result:?}"));
        let mut out = Outputs::default();
        let input = Input::PeerConnected { connection, result };
        self.relay.handle(self.at(), input, &mut |output| out.push(output));
        self.model.peer_connected(self.now.mono, connection, result, &mut out, &mut self.network);
    }

    fn accepted(&mut self) {
        let for_tcp = self.model.allocations.iter().filter(|own| own.is_tcp);
        let for_tcp: Vec<_> = for_tcp.flat_map(|own| own.relays).flatten().map(|relay| relay.id).collect();
        let relay = match for_tcp.is_empty() || self.random.once_in(8) {
            true => self.some_relay(),
            false => Some(*self.random.pick(&for_tcp)),
        };
        let Some(relay) = relay else { return };
        let peer = self.some_peer(relay);
        self.note(|| format!("{peer} connects to {relay:?}"));
        let mut out = Outputs::default();
        let input = Input::PeerAccepted { relay, peer };
        self.relay.handle(self.at(), input, &mut |output| out.push(output));
        self.model.peer_accepted(self.now.mono, relay, peer, &mut out, &mut self.network);
    }

    fn hang_up(&mut self, client: FiveTuple) {
        self.note(|| format!("{client:?} is disconnected"));
        let mut out = Outputs::default();
        self.relay.handle(self.at(), Input::ClientGone { client }, &mut |output| out.push(output));
        self.model.disconnected(self.now.mono, client, &mut out, &mut self.network);
    }

    fn peer_sends(&mut self) {
        let Some(relay) = self.some_relay() else { return };
        let payload = self.payload();
        let peer = self.some_peer(relay);
        self.note(|| format!("{peer} sends {} to {relay:?}", hex(&payload)));
        self.deliver_from_peer(relay, peer, &payload);
    }

    fn deliver_from_peer(&mut self, relay: RelayId, peer: SocketAddr, payload: &[u8]) {
        let mut out = Outputs::default();
        let input = Input::FromPeer { relay, peer, bytes: payload };
        self.relay.handle(self.at(), input, &mut |output| out.push(output));
        self.model.peer_sent(self.now.mono, relay, peer, payload, &mut out, &mut self.network);
    }

    /// Two of our clients talk to each other.
    fn relays_talk(&mut self) {
        if self.network.in_flight.is_empty() {
            return;
        }
        let flight = self.network.in_flight.swap_remove(0);
        self.note(|| format!("{flight:?}"));
        self.deliver_from_peer(flight.to, flight.from, &flight.bytes);
    }

    fn unreachable(&mut self) {
        let Some(relay) = self.some_relay() else { return };
        let peer = self.some_peer(relay);
        let [kind, code] = [self.random.below(13), self.random.below(6)].map(|it| u8::try_from(it).unwrap());
        let icmp = Icmp { kind, code, data: u32::from_be_bytes(self.random.array()) };
        self.note(|| format!("{peer} does not hear {relay:?}: {icmp:?}"));
        let mut out = Outputs::default();
        let input = Input::PeerUnreachable { relay, peer, icmp };
        self.relay.handle(self.at(), input, &mut |output| out.push(output));
        self.model.unreachable(self.now.mono, relay, peer, icmp, &mut out, &mut self.network);
    }

    /// An open relay socket, or one that is not any more.
    fn some_relay(&mut self) -> Option<RelayId> {
        let closed = self.random.once_in(16);
        let answered = &self.network.answered;
        if closed && !answered.is_empty() {
            return Some(self.random.pick(answered).0);
        }
        let open = &self.network.order;
        (!open.is_empty()).then(|| *self.random.pick(open))
    }

    /// Mostly somebody the client of this relay socket talks to.
    fn some_peer(&mut self, relay: RelayId) -> SocketAddr {
        let (choice, known) = (self.random.below(8), self.random.below(5));
        let mut write = Datagrams {
            random: &mut self.random,
            cast: &self.cast,
            tokens: &self.network.tokens,
            peers: &self.peers,
            made_by: None,
        };
        let any = write.peer();
        let own = self.model.allocations.iter().find(|allocation| allocation.id == relay.allocation);
        let Some(own) = own else { return any };
        match choice {
            0..3 => own.channels.get(known).map_or(any, |(_, peer, _)| *peer),
            3..6 => own.permissions.get(known).map_or(any, |(ip, _)| SocketAddr::new(*ip, any.port())),
            _ => any,
        }
    }

    fn pass_time(&mut self) {
        let step = match self.random.below(64) {
            0..48 => self.random.below(2_000),
            48..60 => self.random.below(30_000),
            // To where something is just over, or just not.
            60..63 => match self.relay.next_deadline() {
                Some(next) => {
                    let left = usize::try_from(next.0.saturating_sub(self.now.mono)).unwrap();
                    (left + self.random.below(3)).saturating_sub(1)
                }
                None => 0,
            },
            _ if self.random.once_in(8) => self.random.below(8_000_000),
            _ => *self.random.pick(&[299_999, 300_000, 300_001, 599_999, 600_000, 599_000, 180_000]),
        };
        let step = u64::try_from(step).unwrap();
        self.advance(step);
        self.note(|| format!("{step} ms pass"));
        let is_due = self.relay.next_deadline().is_some_and(|deadline| deadline.0 <= self.now.mono);
        let is_late = if self.is_lazy { !self.random.once_in(16) } else { self.random.once_in(4) };
        if is_due && !is_late {
            self.expire();
        }
    }

    /// The two clocks tick together.
    fn advance(&mut self, step: u64) {
        self.now.unix += (self.now.mono + step) / 1000 - self.now.mono / 1000;
        self.now.mono += step;
    }

    fn expire(&mut self) {
        self.note(|| "what is over is freed".to_owned());
        let mut out = Outputs::default();
        self.relay.expire(self.at(), &mut |output| out.push(output));
        self.model.expire(self.now.mono, &mut out, &mut self.network);
        let next = self.relay.next_deadline();
        assert!(next.is_none_or(|next| next.0 > self.now.mono), "{next:?} was due");
    }

    /// Somebody sets the wall clock (THREATS R11).
    fn jump(&mut self) {
        let by = *self.random.pick(&[-86_400_i64, -600, 600, 86_400, 0]);
        // Mostly back to where it should be.
        self.now.unix =
            (EPOCH + self.now.mono / 1000).saturating_add_signed(by * i64::from(self.random.once_in(3)));
        let unix = self.now.unix;
        self.note(|| format!("it is {unix} now"));
    }

    fn swap(&mut self) {
        // Budgets that grow are full from the next millisecond on.
        self.advance(1);
        let rules = Rules::random(&mut self.random);
        self.note(|| format!("{rules:?}"));
        let mut out = Outputs::default();
        let settings = Arc::new(rules.settings());
        self.relay.set_settings(self.at(), settings, &mut |output| out.push(output));
        self.model.swap(self.now.mono, rules, &mut out, &mut self.network);
    }

    fn stop(&mut self) {
        self.note(|| "the server stops".to_owned());
        let mut out = Outputs::default();
        self.relay.stop(self.at(), &mut |output| out.push(output));
        self.model.stop(self.now.mono, &mut out, &mut self.network);
    }

    fn at(&self) -> Now {
        Now { mono: Millis(self.now.mono), unix: self.now.unix }
    }

    /// Bytes that no other step has, so that none can take the place of others unnoticed.
    fn payload(&mut self) -> Vec<u8> {
        let length = match self.random.below(64) {
            0..50 => self.random.below(40),
            50..60 => self.random.below(1500),
            60..63 => 0,
            _ => *self.random.pick(&[
                65_455, 65_459, 65_460, 65_467, 65_471, 65_472, 65_479, 65_503, 65_504, 65_505, 65_507,
                65_508, 65_527, 65_535,
            ]),
        };
        let mut bytes = vec![0x5A; length];
        for (byte, mark) in bytes.iter_mut().zip(self.steps.to_be_bytes().into_iter().rev()) {
            *byte = mark;
        }
        bytes
    }
}

/// Tells what led to a failure, whoever noticed it.
impl Drop for Simulation {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("step {}, at {:?}, after:", self.steps, self.now);
            self.trail.iter().for_each(|step| eprintln!("  {step}"));
            eprintln!("rules: {:?}", self.model.rules);
            eprintln!("held: {:#?}", self.model.allocations);
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().take(400).map(|byte| format!("{byte:02x}")).collect()
}
