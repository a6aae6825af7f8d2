//! The part of the engine that connects clients with the peers of their TCP allocations (RFC 6062).

use std::io;
use std::net::SocketAddr;

use mio::Poll;

use super::Core;
use super::engine::Engine;
use crate::net::batch::Batch;
use crate::net::outbox::KEPT_MAX;
use crate::net::peer::{self, Stage};
use crate::net::socket_id::SocketId;
use crate::net::stream::{ArenaRound, End, ReadEnd};
use crate::net::sys::tcp::is_exhausted;
use crate::turn::{ConnectError, ConnectionId, Direction, FiveTuple, Input, Now, Passage, RelayId};

/// Peers accepted in one turn.
const ACCEPT_TURN: usize = 8;
/// How many datagrams a turn of a peer costs about as much as.
const PEER_COST: usize = 8;

/// The peer's side of a splice is broken.
struct Broken;

impl From<io::Error> for Broken {
    fn from(_: io::Error) -> Self {
        Self
    }
}

impl<C: Core> Engine<C> {
    /// Begins to connect to a peer.
    pub(super) fn connect_peer<'s>(
        &mut self,
        now: Now,
        (connection, relay, to): (ConnectionId, RelayId, SocketAddr),
        batch: &mut Batch<'s>,
        poll: &Poll,
    ) {
        let to = self.mapping.inward(to);
        let begun = self.sockets.relays.bound_to(relay).and_then(|from| {
            let socket = peer::connect(from, to)?;
            let stage = Stage::Connecting;
            self.sockets.peers.insert(socket, connection, stage, poll.registry(), now.mono)
        });
        if let Err(error) = begun {
            let exhausted = is_exhausted(&error);
            let error = if exhausted { ConnectError::NoCapacity } else { ConnectError::Failed };
            self.handle(now, Input::PeerConnected { connection, result: Err(error) }, batch, poll);
        }
    }

    /// Takes the peers that have connected to a relay address.
    pub(super) fn accept_peers<'s>(
        &mut self,
        now: Now,
        (relay, place): (RelayId, u32),
        batch: &mut Batch<'s>,
        poll: &Poll,
    ) -> usize {
        let socket = SocketId::relay(place);
        self.unqueue(socket);
        for _ in 0..ACCEPT_TURN {
            let Some((_, listener)) = self.sockets.relays.at(place).filter(|(at, _)| *at == relay) else {
                return PEER_COST;
            };
            match peer::accept(listener.inlet().0) {
                Ok((stream, from)) => {
                    self.counters.peers_accepted += 1;
                    let peer = self.mapping.outward(from);
                    self.handle(now, Input::PeerAccepted { relay, peer }, batch, poll);
                    let Some(connection) = self.kept.take() else { continue };
                    let (stage, registry) = (Stage::Waiting, poll.registry());
                    if self.sockets.peers.insert(stream, connection, stage, registry, now.mono).is_err() {
                        self.handle(now, Input::PeerGone { connection }, batch, poll);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return PEER_COST,
                Err(error) => {
                    self.counters.accept_errors += 1;
                    if is_exhausted(&error) {
                        // Asking again at once would only keep the core busy.
                        self.starved.push(socket);
                        return PEER_COST;
                    }
                }
            }
        }
        self.enqueue(socket);
        PEER_COST
    }

    /// A peer's socket has something to tell.
    pub(super) fn serve_peer<'s>(
        &mut self,
        now: Now,
        place: u32,
        batch: &mut Batch<'s>,
        poll: &Poll,
    ) -> usize {
        let Some(peer) = self.sockets.peers.at(place) else { return 0 };
        peer.queued = false;
        let connection = peer.name;
        match peer.stage {
            Stage::Connecting => match peer.outcome() {
                Some(Ok(())) => {
                    peer.stage = Stage::Waiting;
                    self.handle(now, Input::PeerConnected { connection, result: Ok(()) }, batch, poll);
                }
                Some(Err(_)) => {
                    self.sockets.peers.close(connection);
                    let result = Err(ConnectError::Failed);
                    self.handle(now, Input::PeerConnected { connection, result }, batch, poll);
                }
                None => {}
            },
            Stage::Waiting if peer.is_broken() => {
                self.handle(now, Input::PeerGone { connection }, batch, poll);
            }
            Stage::Waiting => {}
            Stage::Spliced(_) => self.pump(now, place, batch, poll),
        }
        PEER_COST
    }

    /// From here on bytes pass between a client's connection and a peer's.
    pub(super) fn splice(&mut self, client: FiveTuple, connection: ConnectionId) {
        let Some(place) = self.sockets.peers.place(connection) else { return };
        let Some(at) = self.sockets.streams.divert(client, place) else { return };
        if let Some(peer) = self.sockets.peers.at(place) {
            peer.stage = Stage::Spliced(at);
        }
        // What it has sent before was not read.
        self.enqueue(SocketId::peer(place));
    }

    /// Reads from a client's connection what is for its peer.
    pub(super) fn serve_diverted<'s>(
        &mut self,
        now: Now,
        (place, peer_place): (u32, u32),
        arena: &mut ArenaRound<'s>,
        batch: &mut Batch<'s>,
        poll: &Poll,
    ) -> usize {
        let Some(peer) = self.sockets.peers.at(peer_place) else { return 0 };
        if peer.up.len() >= KEPT_MAX {
            peer.up.stalled = true;
            return 0;
        }
        let Some(turn) = self.sockets.streams.receive(place, arena, &mut self.counters, now.mono) else {
            return 0;
        };
        if turn.end.is_none() && !turn.is_drained {
            self.enqueue(SocketId::connection(place));
        }
        self.feed(now, (place, peer_place), turn.bytes, turn.end, batch, poll);
        PEER_COST
    }

    /// Passes on what a client's connection has brought, and its end.
    pub(super) fn feed<'s>(
        &mut self,
        now: Now,
        (place, peer_place): (u32, u32),
        bytes: &[u8],
        end: Option<ReadEnd>,
        batch: &mut Batch<'s>,
        poll: &Poll,
    ) {
        let Some(peer) = self.sockets.peers.at(peer_place) else { return };
        peer.up.push(bytes);
        match end {
            None => {}
            Some(ReadEnd::Closed) => peer.up.ended = true,
            Some(ReadEnd::Broken | ReadEnd::Tls(_) | ReadEnd::Announcement(_) | ReadEnd::Refused(_)) => {
                return self.end_connection(now, place, End::Broken, batch, poll);
            }
        }
        self.pump(now, peer_place, batch, poll);
    }

    /// Moves bytes in both directions, as many as may and can go on.
    fn pump<'s>(&mut self, now: Now, place: u32, batch: &mut Batch<'s>, poll: &Poll) {
        let moved = self.pump_up(now, place).and_then(|()| self.pump_down(now, place));
        let Some(peer) = self.sockets.peers.at(place) else { return };
        if moved.is_err() || peer.up.shut && peer.down.shut {
            let connection = peer.name;
            self.handle(now, Input::PeerGone { connection }, batch, poll);
        }
    }

    fn pump_up(&mut self, now: Now, place: u32) -> Result<(), Broken> {
        let Some(peer) = self.sockets.peers.at(place) else { return Ok(()) };
        let mut wake = None;
        if peer.up.held_back() > 0 {
            match self.core.pass(now, peer.name, Direction::Up, peer.up.held_back()) {
                Passage::Now(count) => {
                    peer.up.allow(count);
                    // There may be more for the rest soon.
                    wake = (peer.up.held_back() > 0).then(|| now.mono.after(SOON));
                }
                Passage::At(at) => wake = Some(at),
                Passage::Never => return Ok(()),
            }
        }
        peer.write_up(now.mono)?;
        let resumed = match (peer.stage, peer.up.len() <= KEPT_MAX / 2) {
            (Stage::Spliced(client), true) if std::mem::take(&mut peer.up.stalled) => Some(client),
            _ => None,
        };
        if let Some(client) = resumed {
            self.enqueue(SocketId::connection(client));
        }
        if let Some(at) = wake {
            self.sockets.peers.wake_at(place, at);
        }
        Ok(())
    }

    fn pump_down(&mut self, now: Now, place: u32) -> Result<(), Broken> {
        let Some(peer) = self.sockets.peers.at(place) else { return Ok(()) };
        let Stage::Spliced(client) = peer.stage else { return Ok(()) };
        if self.sockets.streams.waiting_for(client) >= KEPT_MAX {
            peer.down.stalled = true;
            return Ok(());
        }
        // What was held back before goes first.
        if peer.down.len() == 0 && !peer.down.ended {
            let Some((peer, read)) = self.sockets.peers.read(place) else { return Ok(()) };
            match read {
                Ok([]) => peer.down.ended = true,
                Ok(bytes) => {
                    peer.down.push(bytes);
                    peer.since = now.mono;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
            self.enqueue(SocketId::peer(place));
        }
        self.pour(now, place, client);
        Ok(())
    }

    /// Gives a client what may go on of what its peer has sent, and tells it of the end.
    fn pour(&mut self, now: Now, place: u32, client: u32) {
        let Some(peer) = self.sockets.peers.at(place) else { return };
        if peer.down.held_back() > 0 {
            match self.core.pass(now, peer.name, Direction::Down, peer.down.held_back()) {
                Passage::Now(count) => {
                    peer.down.allow(count);
                    self.sockets.streams.pour(client, peer.down.allowed());
                    peer.down.advance(count);
                    if peer.down.held_back() > 0 {
                        self.sockets.peers.wake_at(place, now.mono.after(SOON));
                        return;
                    }
                }
                Passage::At(at) => return self.sockets.peers.wake_at(place, at),
                Passage::Never => return,
            }
        }
        if peer.down.is_over() {
            peer.down.shut = true;
            self.sockets.streams.end_output(client);
        }
    }

    /// Looks at the peers whose time has come: bandwidth has grown, or nothing happened for too long.
    pub(super) fn wake_peers(&mut self, now: Now, batch: &mut Batch<'static>, poll: &Poll) {
        while let Some(place) = self.sockets.peers.pop_due(now.mono) {
            self.pump(now, place, batch, poll);
        }
    }

    /// Ends what is half closed and not used any more, and tries again to accept.
    pub(super) fn sweep_peers(&mut self, now: Now, batch: &mut Batch<'static>, poll: &Poll) {
        for connection in self.sockets.peers.overdue(now.mono) {
            self.handle(now, Input::PeerGone { connection }, batch, poll);
        }
        for socket in std::mem::take(&mut self.starved) {
            self.enqueue(socket);
        }
    }
}

/// When to ask again for bytes of which some could just pass.
const SOON: std::time::Duration = std::time::Duration::from_millis(1);
