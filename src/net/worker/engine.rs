//! The sockets of a worker and the core between them.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;

use mio::unix::SourceFd;
use mio::{Interest, Poll};

use super::siblings::Siblings;
use super::sink::{Sink, Wish};
use super::{Core, NetSettings, Observer, Readiness};
use crate::net::batch::{Batch, Outlet, Sockets};
use crate::net::counters::Counters;
use crate::net::listener::WorkerListeners;
use crate::net::peer::Peers;
use crate::net::ports::Mapping;
use crate::net::relay_sockets::{RelaySockets, socket_id};
use crate::net::socket_id::{SocketId, SocketKind};
use crate::net::stream::{ArenaRound, Streams, TURN_ROOM};
use crate::net::sys::{Message, Received, Round, SlotSize};
use crate::turn::{
    ConnectionId, FiveTuple, Icmp, Input, ListenerId, Now, Output, PortRequest, RelayId, RelayTransport,
};

pub(super) struct Engine<C> {
    pub(super) core: C,
    pub(super) counters: Counters,
    pub(super) sockets: Sources,
    pub(super) mapping: Mapping,
    pub(super) observer: Observer,
    wishes: VecDeque<Wish>,
    /// The name of the peer's connection that the core has just kept.
    pub(super) kept: Option<ConnectionId>,
    pub(super) siblings: Siblings,
    /// Relay sockets at which nobody could be accepted for want of something.
    pub(super) starved: Vec<SocketId>,
    /// Sockets with something to receive, each once. Readiness is told only when it begins, so a socket stays in this
    /// list until it is drained, and goes to the end after each turn.
    ready: VecDeque<SocketId>,
    /// Connections with something to read on which messages cannot pass yet.
    pub(super) handshakes: VecDeque<u32>,
    /// Relay sockets with something in their error queue.
    errors: VecDeque<SocketId>,
}

/// All that a worker receives from.
pub(super) struct Sources {
    pub(super) listeners: WorkerListeners,
    pub(super) streams: Streams,
    pub(super) relays: RelaySockets,
    pub(super) peers: Peers,
}

/// Memory that is received into; a batch borrows from it until it is flushed.
pub(super) struct Rooms<'s> {
    pub(super) round: Round<'s>,
    pub(super) arena: ArenaRound<'s>,
}

impl Rooms<'_> {
    /// Whether any socket could be given a turn.
    pub(super) fn are_free(&self) -> bool {
        self.round.free() > 0 && self.arena.has_room(TURN_ROOM)
    }
}

/// Messages that a listener, with all its clients, receives in one turn.
const LISTENER_TURN: usize = 32;
/// Messages that a relay socket receives in one turn, so that a flooded one does not hold up the others.
const RELAY_TURN: usize = 8;
/// The same where a message can be a run of many datagrams.
const RUNS_TURN: usize = 2;
/// Datagrams of a run that cost no more than a single one.
const JOINED_PER_SINGLE: usize = 2;
/// Receive calls that may fail in one turn: an ICMP error is reported by one and gone with it.
const RECEIVE_ATTEMPTS: usize = 3;
/// Error reports read from one socket in one turn.
const ERRORS_TURN: usize = 16;
/// Sockets whose error reports are read in one wake-up.
const ERRORS_PER_WAKEUP: usize = 64;

impl Sockets for Sources {
    #[inline]
    fn outlet(&mut self, socket: SocketId) -> Option<Outlet<'_>> {
        match socket.kind() {
            SocketKind::Listener(number) => Some(self.listeners.get_mut(usize::from(number))?.outlet()),
            SocketKind::Relay(place) => Some(self.relays.at(place)?.1.outlet()),
            SocketKind::StreamListener(_)
            | SocketKind::Connection(_)
            | SocketKind::Peer(_)
            | SocketKind::FarEnd(_) => None,
        }
    }
}

impl Sources {
    /// The mark that a socket is in the list of those that are ready.
    fn queued(&mut self, socket: SocketId) -> Option<&mut bool> {
        match socket.kind() {
            SocketKind::Listener(number) => Some(&mut self.listeners.get_mut(usize::from(number))?.queued),
            SocketKind::Relay(place) => Some(&mut self.relays.at(place)?.1.queued),
            SocketKind::StreamListener(number) => Some(&mut self.streams.listener(number)?.queued),
            SocketKind::Connection(place) => Some(&mut self.streams.connection(place)?.marks.queued),
            SocketKind::FarEnd(_) => None,
            SocketKind::Peer(place) => Some(&mut self.peers.at(place)?.queued),
        }
    }

    /// The mark that a socket is in the list of those with errors to report; only relay sockets have any.
    fn failing(&mut self, socket: SocketId) -> Option<&mut bool> {
        match socket.kind() {
            SocketKind::Relay(place) => Some(&mut self.relays.at(place)?.1.failing),
            SocketKind::Listener(_)
            | SocketKind::StreamListener(_)
            | SocketKind::Connection(_)
            | SocketKind::Peer(_)
            | SocketKind::FarEnd(_) => None,
        }
    }

    /// The mark that the kernel joins datagrams, and the count of lost ones.
    fn observed(&mut self, socket: SocketId) -> Option<(&mut bool, &mut u32)> {
        match socket.kind() {
            SocketKind::Listener(number) => {
                let listener = self.listeners.get_mut(usize::from(number))?;
                Some((&mut listener.joins, &mut listener.lost))
            }
            SocketKind::Relay(place) => {
                let socket = self.relays.at(place)?.1;
                Some((&mut socket.joins, &mut socket.lost))
            }
            SocketKind::StreamListener(_)
            | SocketKind::Connection(_)
            | SocketKind::Peer(_)
            | SocketKind::FarEnd(_) => None,
        }
    }

    /// Receives one turn's worth of messages.
    fn receive<'s>(
        &mut self,
        source: Source,
        round: &mut Round<'s>,
        counters: &mut Counters,
    ) -> Option<Received<'s>> {
        let (socket, size, limit) = match source {
            Source::Listener(ListenerId(number)) => {
                let (socket, size) = self.listeners.get(usize::from(number))?.inlet();
                (socket, size, LISTENER_TURN)
            }
            Source::Relay(_, place) => {
                let (socket, size) = self.relays.at(place)?.1.inlet();
                let turn = match size {
                    SlotSize::Small => RELAY_TURN,
                    SlotSize::Large => RUNS_TURN,
                };
                (socket, size, turn)
            }
        };
        for _ in 0..RECEIVE_ATTEMPTS {
            counters.receive_calls += 1;
            match round.receive(socket, limit, size) {
                Ok(received) => return Some(received),
                Err(_) => counters.receive_errors += 1,
            }
        }
        None
    }
}

/// The socket that is being served.
#[derive(Clone, Copy)]
enum Source {
    Listener(ListenerId),
    Relay(RelayId, u32),
}

impl<C: Core> Engine<C> {
    pub(super) fn new(core: C, sockets: Sources, observer: Observer, siblings: Siblings) -> Self {
        let mapping = sockets.relays.mapping();
        Self {
            core,
            counters: Counters::default(),
            sockets,
            mapping,
            observer,
            wishes: VecDeque::new(),
            kept: None,
            siblings,
            starved: Vec::new(),
            ready: VecDeque::new(),
            handshakes: VecDeque::new(),
            errors: VecDeque::new(),
        }
    }

    /// Goes on under other settings, and with the relay ports as they are now. Nothing that lives is touched.
    pub(super) fn reconfigure(&mut self, settings: NetSettings) {
        let NetSettings { streams, neighbours } = settings;
        self.sockets.streams.reconfigure(streams, &neighbours);
        self.mapping = self.sockets.relays.mapping();
    }

    pub(super) fn has_work(&self) -> bool {
        self.has_ready() || self.has_errors() || self.has_handshakes() || self.has_passages()
    }

    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    pub(super) fn has_errors(&self) -> bool {
        !self.errors.is_empty()
    }

    /// The poll has reported a socket.
    pub(super) fn note_ready(&mut self, socket: SocketId, readiness: Readiness) {
        if readiness.error
            && let Some(failing) = self.sockets.failing(socket)
            && !std::mem::replace(failing, true)
        {
            self.errors.push_back(socket);
        }
        match socket.kind() {
            SocketKind::Connection(place) => return self.note_connection(place, readiness),
            SocketKind::FarEnd(place) => return self.note_far_end(place, readiness),
            SocketKind::Listener(_)
            | SocketKind::Relay(_)
            | SocketKind::StreamListener(_)
            | SocketKind::Peer(_) => {}
        }
        self.enqueue(socket);
    }

    /// Notes that a socket is not in the list any more.
    pub(super) fn unqueue(&mut self, socket: SocketId) {
        if let Some(queued) = self.sockets.queued(socket) {
            *queued = false;
        }
    }

    /// Puts a socket into the list of those with something to receive.
    pub(super) fn enqueue(&mut self, socket: SocketId) {
        if let Some(queued) = self.sockets.queued(socket)
            && !std::mem::replace(queued, true)
        {
            self.ready.push_back(socket);
        }
    }

    /// Gives the next ready socket its turn. Returns what that cost, in single datagrams.
    pub(super) fn serve_next<'s>(
        &mut self,
        now: Now,
        rooms: &mut Rooms<'s>,
        batch: &mut Batch<'s>,
        poll: &Poll,
    ) -> usize {
        let Some(socket) = self.ready.pop_front() else { return 0 };
        match socket.kind() {
            SocketKind::StreamListener(number) => return self.accept(now, number, poll),
            SocketKind::Connection(place) => {
                return self.serve_connection(now, place, &mut rooms.arena, batch, poll);
            }
            SocketKind::Peer(place) => return self.serve_peer(now, place, batch, poll),
            SocketKind::Listener(_) | SocketKind::Relay(_) | SocketKind::FarEnd(_) => {}
        }
        // A socket that was closed while it waited has no source, and one opened in its place is no worse for a turn.
        let Some(source) = self.source(socket) else { return 0 };
        if let Source::Relay(relay, place) = source
            && self.sockets.relays.at(place).is_some_and(|(_, it)| it.transport == RelayTransport::Tcp)
        {
            return self.accept_peers(now, (relay, place), batch, poll);
        }
        let received = self.sockets.receive(source, &mut rooms.round, &mut self.counters);
        let is_drained = received.as_ref().is_none_or(Received::is_drained);
        let mut cost = 0;
        for message in received.into_iter().flatten() {
            self.counters.messages_received += 1;
            self.observe(socket, &message);
            if message.truncated {
                self.counters.truncated += 1;
                continue;
            }
            cost += 1 + message.bytes.len() / message.segment / JOINED_PER_SINGLE;
            for bytes in message.datagrams() {
                let input = self.input(source, message.from, bytes);
                self.handle(now, input, batch, poll);
            }
            if batch.is_full() {
                self.flush(batch);
            }
        }
        if let Some(queued) = self.sockets.queued(socket) {
            *queued = !is_drained;
            if !is_drained {
                self.ready.push_back(socket);
            }
        }
        cost
    }

    /// Tells the core which datagrams did not reach their peers (RFC 8656 §11.5).
    pub(super) fn report_errors<'s>(&mut self, now: Now, batch: &mut Batch<'s>, poll: &Poll) {
        for _ in 0..self.errors.len().min(ERRORS_PER_WAKEUP) {
            let Some(socket) = self.errors.pop_front() else { return };
            let Some(Source::Relay(relay, place)) = self.source(socket) else { continue };
            let mut reports = 0;
            while reports < ERRORS_TURN
                && let Some(report) = self.sockets.relays.at(place).and_then(|(_, socket)| socket.icmp())
            {
                reports += 1;
                self.counters.icmp_received += 1;
                let peer = self.mapping.outward(report.peer);
                let icmp = Icmp { kind: report.kind, code: report.code, data: report.info };
                self.handle(now, Input::PeerUnreachable { relay, peer, icmp }, batch, poll);
            }
            if let Some(failing) = self.sockets.failing(socket) {
                *failing = reports == ERRORS_TURN;
                if *failing {
                    self.errors.push_back(socket);
                }
            }
        }
    }

    /// Lets somebody else use the core, and carries out what it then asks for.
    pub(super) fn with_core(
        &mut self,
        now: Now,
        batch: &mut Batch<'static>,
        poll: &Poll,
        act: impl FnOnce(&mut C, &mut dyn FnMut(Output<'static, '_>)),
    ) {
        let (core, mut sink) = self.parts(batch);
        act(core, &mut |output| sink.take(output));
        self.settle(now, batch, poll);
    }

    /// Sends what is waiting.
    pub(super) fn flush(&mut self, batch: &mut Batch<'_>) {
        batch.flush(&mut self.sockets, &mut self.counters);
        self.write_streams();
    }

    #[inline]
    pub(super) fn handle<'s>(&mut self, now: Now, input: Input<'s>, batch: &mut Batch<'s>, poll: &Poll) {
        let (core, mut sink) = self.parts(batch);
        core.handle(now, input, &mut |output| sink.take(output));
        if !self.wishes.is_empty() {
            self.settle(now, batch, poll);
        }
    }

    /// Does what the core asks for until it asks for no more.
    fn settle<'s>(&mut self, now: Now, batch: &mut Batch<'s>, poll: &Poll) {
        while let Some(wish) = self.wishes.pop_front() {
            match wish {
                Wish::OpenRelay(relay, client, port, transport) => {
                    self.open_relay(now, (relay, client), (port, transport), batch, poll);
                }
                Wish::CloseRelay(relay) => {
                    // What the core sent before it closed the socket still goes out through it.
                    if batch.uses(socket_id(relay)) {
                        self.flush(batch);
                    }
                    self.counters.relays_closed += u64::from(self.sockets.relays.close(relay));
                }
                Wish::CloseClient(client) => {
                    if self.sockets.streams.dismiss(client, now.mono) {
                        self.handle(now, Input::ClientGone { client }, batch, poll);
                    }
                }
                Wish::ConnectPeer(connection, relay, peer) => {
                    self.connect_peer(now, (connection, relay, peer), batch, poll);
                }
                Wish::ClosePeer(connection) => drop(self.sockets.peers.close(connection)),
                Wish::Splice(client, connection) => self.splice(client, connection),
                Wish::HandOver(client, worker) => self.sockets.streams.send_away(client, worker),
            }
        }
    }

    fn open_relay<'s>(
        &mut self,
        now: Now,
        (relay, client): (RelayId, FiveTuple),
        wanted: (PortRequest, RelayTransport),
        batch: &mut Batch<'s>,
        poll: &Poll,
    ) {
        let register = |socket: SocketId, descriptor: std::os::fd::BorrowedFd<'_>| {
            let descriptor = descriptor.as_raw_fd();
            poll.registry().register(&mut SourceFd(&descriptor), socket.token(), Interest::READABLE)
        };
        let result = self.sockets.relays.open(now.mono, relay, client.client().ip(), wanted, register);
        match result {
            Ok(_) => self.counters.relays_opened += 1,
            Err(_) => self.counters.relays_refused += 1,
        }
        self.handle(now, Input::RelayOpened { relay, result }, batch, poll);
    }

    fn parts<'w, 's>(&'w mut self, batch: &'w mut Batch<'s>) -> (&'w mut C, Sink<'w, 's>) {
        let sink = Sink {
            batch,
            relays: &self.sockets.relays,
            streams: &mut self.sockets.streams,
            mapping: &self.mapping,
            wishes: &mut self.wishes,
            kept: &mut self.kept,
            observer: &mut self.observer,
            counters: &mut self.counters,
        };
        (&mut self.core, sink)
    }

    fn source(&mut self, socket: SocketId) -> Option<Source> {
        match socket.kind() {
            SocketKind::Listener(number) => Some(Source::Listener(ListenerId(number))),
            SocketKind::Relay(place) => Some(Source::Relay(self.sockets.relays.at(place)?.0, place)),
            SocketKind::StreamListener(_)
            | SocketKind::Connection(_)
            | SocketKind::Peer(_)
            | SocketKind::FarEnd(_) => None,
        }
    }

    #[inline]
    fn input<'s>(&mut self, source: Source, from: SocketAddr, bytes: &'s [u8]) -> Input<'s> {
        match source {
            Source::Listener(listener) => {
                self.counters.client_datagrams_received += 1;
                self.counters.client_bytes_received += bytes.len() as u64;
                Input::FromClient { client: FiveTuple::new(from, listener), bytes }
            }
            Source::Relay(relay, _) => {
                self.counters.peer_datagrams_received += 1;
                self.counters.peer_bytes_received += bytes.len() as u64;
                Input::FromPeer { relay, peer: self.mapping.outward(from), bytes }
            }
        }
    }

    /// Learns from a message how to receive the next ones, and how many were lost before it.
    #[inline]
    fn observe(&mut self, socket: SocketId, message: &Message<'_>) {
        if !message.is_joined() && message.lost.is_none() {
            return;
        }
        let Some((joins, lost)) = self.sockets.observed(socket) else { return };
        *joins |= message.is_joined();
        if let Some(count) = message.lost {
            let new = u64::from(count.wrapping_sub(*lost));
            *lost = count;
            match socket.kind() {
                SocketKind::Listener(_) => self.counters.lost_in_listener += new,
                SocketKind::Relay(_) => self.counters.lost_in_relay += new,
                SocketKind::StreamListener(_)
                | SocketKind::Connection(_)
                | SocketKind::Peer(_)
                | SocketKind::FarEnd(_) => {}
            }
        }
    }
}
