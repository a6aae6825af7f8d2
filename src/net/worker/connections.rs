//! The part of the engine that serves connections.

use mio::Poll;

use super::engine::{Engine, Sources};
use super::{Core, Readiness, Report};
use crate::net::batch::Batch;
use crate::net::socket_id::SocketId;
use crate::net::stream::{
    ArenaRound, Connection, Course, End, PumpEnd, ReadEnd, STRANGERS_FRAME_MAX, TURN_ROOM,
};
use crate::net::tls::TlsFailure;
use crate::turn::{Input, Millis, Now};
use crate::wire::stream::{Next, next_frame};
use crate::wire::{Kind, kind};

/// How many datagrams a turn of accepting costs about as much as.
const ACCEPT_COST: usize = 16;

/// What is to be done with the part of a stream that was not served as messages.
enum Rest<'s> {
    /// It is the beginning of one.
    Part(&'s [u8]),
    /// It is for a peer.
    Diverted(u32, &'s [u8]),
    /// It is for another worker.
    Departing(u16, &'s [u8]),
    /// Nobody hears it.
    Leaving,
}

impl<C: Core> Engine<C> {
    pub(super) fn has_handshakes(&self) -> bool {
        !self.handshakes.is_empty()
    }

    /// When there is something to do though no socket is ready.
    pub(super) fn next_deadline(&self) -> Option<Millis> {
        let Sources { streams, peers, .. } = &self.sockets;
        [self.core.next_deadline(), streams.next_sweep(), peers.next_wake()].into_iter().flatten().min()
    }

    /// The poll has reported a connection.
    pub(super) fn note_connection(&mut self, place: u32, readiness: Readiness) {
        self.sockets.streams.passages.note(place, PumpEnd::Near, readiness.hung_up);
        if readiness.writable {
            self.sockets.streams.mark_dirty(place);
        }
        if let Some(connection) = self.sockets.streams.connection(place) {
            connection.marks.hung_up |= readiness.hung_up;
        }
        self.enqueue_connection(place);
    }

    /// The poll has reported the other end of what is passed on.
    pub(super) fn note_far_end(&mut self, place: u32, readiness: Readiness) {
        self.sockets.streams.passages.note(place, PumpEnd::Far, readiness.hung_up);
    }

    /// Whether some of what is passed on waits for its turn.
    pub(super) fn has_passages(&self) -> bool {
        self.sockets.streams.passages.has_ready()
    }

    /// Passes on what is not for us.
    pub(super) fn pass_on(&mut self, now: Now, poll: &Poll) {
        self.sockets.streams.turn_passages(poll.registry(), &mut self.counters, now.mono);
    }

    fn enqueue_connection(&mut self, place: u32) {
        let Some(connection) = self.sockets.streams.connection(place) else { return };
        if connection.is_open() {
            self.enqueue(SocketId::connection(place));
        } else if !std::mem::replace(&mut connection.marks.queued, true) {
            self.handshakes.push_back(place);
        }
    }

    /// Takes new connections.
    pub(super) fn accept(&mut self, now: Now, number: u16, poll: &Poll) -> usize {
        let more = self.sockets.streams.accept(number, poll.registry(), &mut self.counters, now.mono);
        if let Some(listener) = self.sockets.streams.listener(number) {
            listener.queued = false;
        }
        if more {
            self.enqueue(SocketId::stream_listener(number));
        }
        ACCEPT_COST
    }

    /// Gives a connection its turn that is still shaking hands.
    pub(super) fn serve_handshake<'s>(
        &mut self,
        now: Now,
        arena: &mut ArenaRound<'s>,
        batch: &mut Batch<'s>,
        poll: &Poll,
    ) {
        if let Some(place) = self.handshakes.pop_front() {
            self.serve_connection(now, place, arena, batch, poll);
        }
    }

    /// Reads once from a connection and serves the frames that are whole. Returns how many there were.
    pub(super) fn serve_connection<'s>(
        &mut self,
        now: Now,
        place: u32,
        arena: &mut ArenaRound<'s>,
        batch: &mut Batch<'s>,
        poll: &Poll,
    ) -> usize {
        debug_assert!(arena.has_room(TURN_ROOM));
        let streams = &mut self.sockets.streams;
        let Some(connection) = streams.connection(place) else { return 0 };
        connection.marks.queued = false;
        if connection.marks.broken {
            self.end_connection(now, place, End::Broken, batch, poll);
            return 0;
        }
        match connection.course() {
            Course::Diverted(peer) => return self.serve_diverted(now, (place, peer), arena, batch, poll),
            Course::Leaving => return self.see_off(now, place, arena, batch, poll),
            Course::Messages | Course::Departing(_) => {}
        }
        if streams.pause(place) {
            return 0;
        }
        let Some(turn) = streams.receive(place, arena, &mut self.counters, now.mono) else { return 0 };
        if streams.pass_on(place, &turn, poll.registry(), &mut self.counters, now.mono) {
            return 1;
        }
        if let Some(before) = streams.enter(place, &mut self.counters) {
            self.end_connection(now, before, End::Replaced, batch, poll);
        }
        let (frames, served) = self.serve_frames(now, place, turn.bytes, batch, poll);
        match (served, turn.end) {
            (Ok(Rest::Diverted(peer, rest)), end) => {
                if end.is_none() && !turn.is_drained {
                    self.enqueue(SocketId::connection(place));
                }
                self.feed(now, (place, peer), rest, end, batch, poll);
            }
            (Ok(Rest::Leaving), Some(_)) => self.end_connection(now, place, End::Dismissed, batch, poll),
            (Ok(Rest::Leaving), None) => {
                if !turn.is_drained {
                    self.enqueue_connection(place);
                }
            }
            (Ok(Rest::Departing(worker, rest)), _) => self.hand_over(place, worker, rest, poll),
            (Err(end), _) => self.end_connection(now, place, end, batch, poll),
            (Ok(Rest::Part(_)), Some(end)) => {
                let end = self.judge_read_end(now, place, end);
                self.end_connection(now, place, end, batch, poll);
            }
            (Ok(Rest::Part(rest)), None) => {
                if let Some(connection) = self.sockets.streams.connection(place) {
                    connection.keep(rest);
                }
                if !turn.is_drained {
                    self.enqueue_connection(place);
                }
            }
        }
        frames
    }

    /// Listens to a client that was let go until it hangs up too: to close at once would take from it what was sent last.
    fn see_off<'s>(
        &mut self,
        now: Now,
        place: u32,
        arena: &mut ArenaRound<'s>,
        batch: &mut Batch<'s>,
        poll: &Poll,
    ) -> usize {
        if let Some(turn) = self.sockets.streams.receive(place, arena, &mut self.counters, now.mono) {
            if turn.end.is_some() {
                self.end_connection(now, place, End::Dismissed, batch, poll);
            } else if !turn.is_drained {
                self.enqueue_connection(place);
            }
        }
        1
    }

    /// Hands a connection to another worker, with what was read from it and not served.
    fn hand_over(&mut self, place: u32, worker: u16, unserved: &[u8], poll: &Poll) {
        if let Some(connection) = self.sockets.streams.part_with(place, unserved, poll.registry()) {
            self.counters.connections_handed_over += 1;
            self.siblings.hand_over(worker, connection);
        }
    }

    /// Takes over a connection of another worker, and serves what was not served there.
    pub(super) fn adopt(
        &mut self,
        now: Now,
        connection: Box<Connection>,
        batch: &mut Batch<'static>,
        poll: &Poll,
    ) {
        let streams = &mut self.sockets.streams;
        let adopted = streams.adopt(connection, poll.registry(), &mut self.counters, now.mono);
        let Some((place, before)) = adopted else { return };
        if let Some(before) = before {
            self.end_connection(now, before, End::Replaced, batch, poll);
        }
        self.enqueue_connection(place);
    }

    /// Hands the frames of a stream to the core. Returns how many there were, and what is to be done with the rest.
    fn serve_frames<'s>(
        &mut self,
        now: Now,
        place: u32,
        bytes: &'s [u8],
        batch: &mut Batch<'s>,
        poll: &Poll,
    ) -> (usize, Result<Rest<'s>, End>) {
        let (mut frames, mut rest) = (0, bytes);
        if rest.is_empty() {
            return (0, Ok(Rest::Part(rest)));
        }
        loop {
            let (frame, behind) = match next_frame(rest) {
                Ok(Next::Frame(frame, behind)) => (frame, behind),
                Ok(Next::Part(length)) => {
                    return (frames, self.await_frame(place, rest, length).map(|()| Rest::Part(rest)));
                }
                Err(_) => return (frames, Err(End::Garbage)),
            };
            // Within one turn a client can ask for more answers than may wait for it.
            if self.sockets.streams.pause(place) {
                return (frames, Ok(Rest::Part(rest)));
            }
            let Some(connection) = self.sockets.streams.connection(place) else {
                return (frames, Ok(Rest::Part(&[])));
            };
            if let Err(end) = connection.heard(frame, now.mono) {
                return (frames, Err(end));
            }
            let client = connection.client();
            frames += 1;
            self.counters.frames_received += 1;
            self.handle(now, Input::FromClient { client, bytes: frame }, batch, poll);
            match self.sockets.streams.course(place) {
                Some(Course::Messages) | None => {}
                Some(Course::Diverted(peer)) => return (frames, Ok(Rest::Diverted(peer, behind))),
                Some(Course::Departing(worker)) => return (frames, Ok(Rest::Departing(worker, rest))),
                Some(Course::Leaving) => return (frames, Ok(Rest::Leaving)),
            }
            rest = behind;
            if batch.is_full() {
                self.flush(batch);
            }
        }
    }

    /// Whether a connection may go on with a frame that begins like this and is to be this long.
    fn await_frame(&mut self, place: u32, part: &[u8], length: usize) -> Result<(), End> {
        let Some(connection) = self.sockets.streams.connection(place) else { return Ok(()) };
        if connection.is_silent() && !part.is_empty() && kind(part) != Kind::Stun {
            return Err(End::Garbage);
        }
        let client = connection.client();
        if length > STRANGERS_FRAME_MAX && !self.core.holds(client) {
            return Err(End::TooLong);
        }
        Ok(())
    }

    /// Why a connection ends that cannot be read from any more; says so where TLS is the reason.
    fn judge_read_end(&mut self, now: Now, place: u32, end: ReadEnd) -> End {
        let Some(connection) = self.sockets.streams.connection(place) else { return End::Broken };
        let (failure, refused) = match &end {
            ReadEnd::Tls(failed) => (failed.failure(), failed.sni()),
            ReadEnd::Closed if connection.is_handshake() => (TlsFailure::HungUp, None),
            ReadEnd::Closed => return End::Closed,
            ReadEnd::Broken => return End::Broken,
            ReadEnd::Announcement(error) => {
                let balancer = connection.client().client();
                self.sockets.streams.tell_unannounced(balancer, *error, now.mono);
                return End::Announcement;
            }
            ReadEnd::Refused(cap) => {
                let client = connection.client().client();
                self.sockets.streams.tell_refused(*cap, client, now.mono);
                return End::Refused;
            }
        };
        let (client, sni) = (connection.client().client(), connection.sni().or(refused));
        (self.observer)(Report::Tls { client, sni, failure });
        End::Tls
    }

    /// Closes a connection, and with it what its client held.
    pub(super) fn end_connection<'s>(
        &mut self,
        now: Now,
        place: u32,
        end: End,
        batch: &mut Batch<'s>,
        poll: &Poll,
    ) {
        if end == End::HandshakeTimeout
            && let Some(connection) = self.sockets.streams.connection(place)
            && connection.is_handshake()
        {
            let (client, sni) = (connection.client().client(), connection.sni());
            (self.observer)(Report::Tls { client, sni, failure: TlsFailure::TimedOut });
        }
        if let Some(client) = self.sockets.streams.close(place, end, &mut self.counters) {
            self.handle(now, Input::ClientGone { client }, batch, poll);
        }
    }

    /// Writes to connections what waits for them.
    pub(super) fn write_streams(&mut self) {
        if !self.sockets.streams.has_dirty() {
            return;
        }
        self.sockets.streams.flush(&mut self.counters);
        while let Some(place) = self.sockets.streams.pop_resumed() {
            self.enqueue_connection(place);
        }
        while let Some(place) = self.sockets.streams.pop_resumed_peer() {
            if self.sockets.peers.at(place).is_some_and(|peer| std::mem::take(&mut peer.down.stalled)) {
                self.enqueue(SocketId::peer(place));
            }
        }
    }

    /// Ends the connections whose time is over.
    pub(super) fn sweep_streams(&mut self, now: Now, batch: &mut Batch<'static>, poll: &Poll) {
        if self.sockets.streams.next_sweep().is_none_or(|at| at > now.mono) {
            return;
        }
        self.sockets.streams.sweep_passages(poll.registry(), &mut self.counters, now.mono);
        self.sweep_peers(now, batch, poll);
        let mut retry = Vec::new();
        let core = &self.core;
        let holds = |client| core.holds(client);
        let overdue = self.sockets.streams.sweep(now.mono, holds, |number| retry.push(number));
        for (place, end) in overdue {
            self.end_connection(now, place, end, batch, poll);
        }
        for number in retry {
            self.enqueue(SocketId::stream_listener(number));
        }
    }

    /// Says good-bye on all connections.
    pub(super) fn close_streams(&mut self) {
        self.sockets.streams.close_all();
    }
}
