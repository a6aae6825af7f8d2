//! Clients that come over TCP, plain or with TLS.
//!
//! A connection lives on the worker that accepted it and is served by that worker's loop like any other socket: it is
//! read from when the kernel says so, what it brings is cut into frames, and each frame goes to the core like a
//! datagram. What the core sends to the client is gathered in an outbox and written once per round. The outbox has a
//! limit: to a client that reads too slowly relayed data is dropped, answers are not, and nobody else notices.

mod admission;
mod arena;
mod caps;
mod connection;
mod end;
mod listener;
mod passage;
mod passages;
mod pump;
mod session;

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::FixedState;
use mio::{Interest, Registry};

pub(crate) use arena::{Arena, ArenaRound};
pub use caps::{CapLimits, Caps};
pub(crate) use connection::{Connection, Course, STRANGERS_FRAME_MAX, TURN_ROOM, Turn};
pub use connection::{Patience, Security};
pub(crate) use end::End;
pub use listener::{Neighbours, StreamListen, StreamListener, open_stream_listeners};
pub use passage::{Announce, Fallback};
pub(crate) use pump::End as PumpEnd;
pub(crate) use session::ReadEnd;
use session::{Greeter, READ_MAX};

use super::counters::Counters;
use super::outbox::KEPT_MAX;
use super::socket_id::SocketId;
use super::throttle::Throttle;
use super::tls::TlsConfigs;
use crate::turn::{FiveTuple, Millis};
use passage::Passage;
use passages::Passages;

/// What the operator decided about connections.
#[derive(Clone, Debug)]
pub struct StreamOptions {
    /// How long they may take when they hold no allocation.
    pub patience: Patience,
    /// Bytes that may wait to be sent to one client before relayed data is dropped.
    pub send_queue: usize,
    /// How TLS clients are met, if there is a listener for them.
    pub tls: Option<TlsConfigs>,
}

impl Default for StreamOptions {
    fn default() -> Self {
        let patience = Patience {
            handshake: Duration::from_secs(10),
            first_request: Duration::from_secs(30),
            idle: Duration::from_secs(600),
        };
        Self { patience, send_queue: 256 << 10, tls: None }
    }
}

/// The connections of one worker.
pub(crate) struct Streams {
    listeners: Vec<StreamListener>,
    options: StreamOptions,
    /// How many there may be; shared by all workers.
    caps: Arc<Caps>,
    connections: Vec<Option<Box<Connection>>>,
    free: Vec<u32>,
    by_client: HashMap<FiveTuple, u32, FixedState>,
    /// Connections to write to.
    dirty: Vec<u32>,
    /// Connections that can be read from again.
    resumed: Vec<u32>,
    /// Peers whose clients take more again.
    resumed_peers: Vec<u32>,
    next_sweep: Option<Millis>,
    cipher: Box<[u8; READ_MAX]>,
    refused: Throttle,
    starved: Throttle,
    unannounced: Throttle,
    /// What is not for us; their places in the table stay taken.
    pub(crate) passages: Passages,
}

/// How often deadlines are looked at, and accepting is tried again.
const SWEEP: Duration = Duration::from_secs(1);

impl Streams {
    pub(crate) fn new(listeners: Vec<StreamListener>, options: StreamOptions, caps: Arc<Caps>) -> Self {
        let by_client = HashMap::with_hasher(caps.hasher());
        Self {
            listeners,
            options,
            caps,
            connections: Vec::new(),
            free: Vec::new(),
            by_client,
            dirty: Vec::new(),
            resumed: Vec::new(),
            resumed_peers: Vec::new(),
            next_sweep: None,
            cipher: Box::new([0; READ_MAX]),
            refused: Throttle::default(),
            starved: Throttle::default(),
            unannounced: Throttle::default(),
            passages: Passages::default(),
        }
    }

    /// For tables of what clients can name.
    pub(crate) fn hasher(&self) -> FixedState {
        self.caps.hasher()
    }

    /// Goes on under other options, and with other neighbours of the listeners, in their order. Connections that stand
    /// are measured by them from their next step on; how one has begun it stays.
    pub(crate) fn reconfigure(&mut self, options: StreamOptions, neighbours: &[Neighbours]) {
        self.options = options;
        for (listener, neighbours) in self.listeners.iter_mut().zip(neighbours) {
            listener.set_neighbours(neighbours.clone());
        }
    }

    /// Lets the poll tell when somebody connects.
    pub(crate) fn register(&mut self, registry: &Registry) -> io::Result<()> {
        for (listener, number) in self.listeners.iter_mut().zip(0..) {
            let token = SocketId::stream_listener(number).token();
            registry.register(&mut listener.socket, token, Interest::READABLE)?;
        }
        Ok(())
    }

    pub(crate) fn listener(&mut self, number: u16) -> Option<&mut StreamListener> {
        self.listeners.get_mut(usize::from(number))
    }

    pub(crate) fn connection(&mut self, place: u32) -> Option<&mut Connection> {
        self.connections.get_mut(place as usize)?.as_deref_mut()
    }

    /// One turn of reading from a connection.
    pub(crate) fn receive<'s>(
        &mut self,
        place: u32,
        arena: &mut ArenaRound<'s>,
        counters: &mut Counters,
        now: Millis,
    ) -> Option<Turn<'s>> {
        let Self { connections, listeners, options, cipher, .. } = self;
        let connection = connections.get_mut(place as usize)?.as_deref_mut()?;
        let listener = listeners.get(usize::from(connection.client().listener().number()));
        let has_fallback = listener.is_some_and(|listener| listener.fallback().is_some());
        let greeter = Greeter { configs: options.tls.as_ref(), has_fallback };
        let kept = connection.kept();
        let turn = connection.receive(greeter, cipher, arena, now);
        counters.stream_bytes_received += turn.bytes.len().saturating_sub(kept) as u64;
        if connection.has_more_to_say() {
            self.mark_dirty(place);
        }
        Some(turn)
    }

    /// Passes a connection on if it is not for us and there is somebody to have it. Whether that was done.
    pub(crate) fn pass_on(
        &mut self,
        place: u32,
        turn: &Turn<'_>,
        registry: &Registry,
        counters: &mut Counters,
        now: Millis,
    ) -> bool {
        let Some(connection) = self.connection(place).filter(|it| it.is_foreign(turn.bytes)) else {
            return false;
        };
        let (client, hung_up) = (connection.client(), connection.marks.hung_up);
        let listener = self.listeners.get(usize::from(client.listener().number()));
        let Some(fallback) = listener.and_then(StreamListener::fallback).cloned() else { return false };
        let Some(connection) = self.connections.get_mut(place as usize).and_then(Option::take) else {
            return false;
        };
        counters.connections_passed_on += 1;
        connection.count_handshake(counters);
        let (near, right) = connection.into_parts();
        let begun =
            Passage::new(near, client.client(), right, fallback, turn.bytes, now).and_then(|mut passage| {
                passage.note(PumpEnd::Near, hung_up);
                if turn.end.is_some() {
                    passage.note_end();
                }
                self.passages.insert(place, passage, registry)
            });
        if let Err(error) = begun {
            self.passages.fail(&error, now, counters);
            self.free.push(place);
        }
        self.schedule_sweep(now);
        true
    }

    /// Gives some of the connections that are passed on a turn.
    pub(crate) fn turn_passages(&mut self, registry: &Registry, counters: &mut Counters, now: Millis) {
        let Self { passages, free, .. } = self;
        passages.turn(now, registry, counters, |place| free.push(place));
    }

    /// Ends those that are passed on and have been silent for too long.
    pub(crate) fn sweep_passages(&mut self, registry: &Registry, counters: &mut Counters, now: Millis) {
        let Self { passages, free, options, .. } = self;
        passages.sweep(options.patience.idle, now, registry, counters, |place| free.push(place));
    }

    /// Makes a connection known as its client's, once messages can pass. Returns the one the client had before from
    /// the same address, which must be dead.
    pub(crate) fn enter(&mut self, place: u32, counters: &mut Counters) -> Option<u32> {
        let connection = self.connection(place).filter(|connection| connection.is_open())?;
        if std::mem::replace(&mut connection.marks.entered, true) {
            return None;
        }
        connection.count_handshake(counters);
        let client = connection.client();
        self.by_client.insert(client, place)
    }

    /// Takes a frame that is to be sent to a client.
    #[inline]
    pub(crate) fn send(
        &mut self,
        client: FiveTuple,
        head: &[u8],
        payload: &[u8],
        padding: u8,
        counters: &mut Counters,
    ) {
        let limit = self.options.send_queue;
        let Some(&place) = self.by_client.get(&client) else {
            counters.dropped_closed += 1;
            return;
        };
        let Some(connection) = self.connection(place) else { return };
        if connection.send(head, payload, padding, limit) {
            self.mark_dirty(place);
        } else {
            counters.dropped_slow_reader += 1;
        }
    }

    /// Notes that there may be something to write.
    #[inline]
    pub(crate) fn mark_dirty(&mut self, place: u32) {
        if let Some(connection) = self.connection(place)
            && !std::mem::replace(&mut connection.marks.dirty, true)
        {
            self.dirty.push(place);
        }
    }

    /// Whether something waits to be written.
    pub(crate) const fn has_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Writes what waits. Connections that turn out to be broken end when they are read from.
    pub(crate) fn flush(&mut self, counters: &mut Counters) {
        while let Some(place) = self.dirty.pop() {
            let limit = self.options.send_queue;
            let Some(connection) = self.connection(place) else { continue };
            connection.marks.dirty = false;
            counters.stream_writes += 1;
            match connection.write() {
                Ok(count) => counters.stream_bytes_sent += count as u64,
                Err(_) => connection.marks.broken = true,
            }
            connection.end_when_all_is_said();
            if let Course::Diverted(peer) = connection.course()
                && connection.waiting() <= KEPT_MAX / 2
            {
                self.resumed_peers.push(peer);
            }
            let Some(connection) = self.connection(place) else { continue };
            if connection.marks.broken || connection.marks.paused && !connection.is_clogged(limit) {
                connection.marks.paused = false;
                self.resumed.push(place);
            }
        }
    }

    /// The next peer that can be read from again.
    pub(crate) fn pop_resumed_peer(&mut self) -> Option<u32> {
        self.resumed_peers.pop()
    }

    /// Lets go of a client: what waits for it is still sent, and then its connection is closed. From here on its
    /// 5-tuple is free. Whether there was such a client.
    pub(crate) fn dismiss(&mut self, client: FiveTuple, now: Millis) -> bool {
        let Some(place) = self.by_client.remove(&client) else { return false };
        if let Some(connection) = self.connection(place) {
            connection.dismiss(now);
        }
        self.mark_dirty(place);
        true
    }

    /// Lets the stream of a client be its peer's. Returns the place of its connection.
    pub(crate) fn divert(&mut self, client: FiveTuple, peer: u32) -> Option<u32> {
        let place = *self.by_client.get(&client)?;
        let connection = self.connection(place)?;
        // The last answer goes out alone: bytes of the peer that came along would be taken for a part of it.
        connection.marks.broken |= connection.write().is_err();
        connection.set_course(Course::Diverted(peer));
        Some(place)
    }

    /// Notes that a client's connection must go to another worker.
    pub(crate) fn send_away(&mut self, client: FiveTuple, worker: u16) {
        let Some(&place) = self.by_client.get(&client) else { return };
        if let Some(connection) = self.connection(place) {
            connection.set_course(Course::Departing(worker));
        }
    }

    /// How a connection is served.
    pub(crate) fn course(&mut self, place: u32) -> Option<Course> {
        self.connection(place).map(|connection| connection.course())
    }

    /// How many bytes wait for a client to take them.
    pub(crate) fn waiting_for(&mut self, place: u32) -> usize {
        self.connection(place).map_or(0, |connection| connection.waiting())
    }

    /// Takes bytes of a peer that are to be sent to a client as they are.
    pub(crate) fn pour(&mut self, place: u32, bytes: &[u8]) {
        if let Some(connection) = self.connection(place) {
            connection.pour(bytes);
            self.mark_dirty(place);
        }
    }

    /// Tells a client behind all that waits for it that this was all.
    pub(crate) fn end_output(&mut self, place: u32) {
        if let Some(connection) = self.connection(place) {
            connection.marks.ending = true;
            self.mark_dirty(place);
        }
    }

    /// Takes a connection out of the table, to be put into another worker's, and what was read from it with it.
    pub(crate) fn part_with(
        &mut self,
        place: u32,
        unserved: &[u8],
        registry: &Registry,
    ) -> Option<Box<Connection>> {
        let mut connection = self.connections.get_mut(place as usize)?.take()?;
        self.free.push(place);
        self.by_client.remove(&connection.client());
        connection.pack(unserved);
        registry.deregister(connection.socket()).ok()?;
        Some(connection)
    }

    /// Takes over a connection of another worker. Returns its place, and the connection that the client had before
    /// from the same address, which must be dead.
    pub(crate) fn adopt(
        &mut self,
        connection: Box<Connection>,
        registry: &Registry,
        counters: &mut Counters,
        now: Millis,
    ) -> Option<(u32, Option<u32>)> {
        let client = connection.client();
        let place = self.place_for(connection, registry, counters, now)?;
        Some((place, self.by_client.insert(client, place)))
    }

    /// The next connection that can be read from again.
    pub(crate) fn pop_resumed(&mut self) -> Option<u32> {
        self.resumed.pop()
    }

    /// Whether a connection has to wait until some of its answers have been sent; if so it is not served until then.
    pub(crate) fn pause(&mut self, place: u32) -> bool {
        let limit = self.options.send_queue;
        let Some(connection) = self.connection(place) else { return false };
        let clogged = connection.is_clogged(limit) && !connection.marks.hung_up;
        connection.marks.paused = clogged;
        clogged
    }

    /// Closes a connection and forgets it. Returns its client if the core may have heard of it.
    pub(crate) fn close(&mut self, place: u32, end: End, counters: &mut Counters) -> Option<FiveTuple> {
        let mut connection = self.connections.get_mut(place as usize)?.take()?;
        *end.counter(counters) += 1;
        counters.tls_handshakes_failed += u64::from(connection.is_handshake());
        connection.close();
        self.free.push(place);
        let client = connection.client();
        tracing::debug!(client = %client.client(), reason = end.reason(), "connection ended");
        if self.by_client.get(&client) != Some(&place) {
            return None;
        }
        self.by_client.remove(&client);
        if self.by_client.is_empty() {
            // A crowd that has left should leave its room behind.
            self.by_client.shrink_to_fit();
        }
        Some(client)
    }

    /// Closes all connections: the server stops.
    pub(crate) fn close_all(&mut self) {
        for connection in self.connections.iter_mut().flatten() {
            connection.close();
        }
        self.connections.clear();
        self.passages.clear();
    }

    /// When [`Self::sweep`] wants to be called.
    pub(crate) const fn next_sweep(&self) -> Option<Millis> {
        self.next_sweep
    }

    /// The connections whose time is over. `holds` tells whether a client has an allocation, `retry` is given the
    /// listeners that are worth trying again.
    pub(crate) fn sweep(
        &mut self,
        now: Millis,
        mut holds: impl FnMut(FiveTuple) -> bool,
        mut retry: impl FnMut(u16),
    ) -> Vec<(u32, End)> {
        self.next_sweep = None;
        for (listener, number) in self.listeners.iter_mut().zip(0..) {
            if std::mem::take(&mut listener.starved) {
                retry(number);
            }
        }
        let mut overdue = Vec::new();
        let mut any = false;
        for (connection, place) in self.connections.iter_mut().zip(0..) {
            let Some(connection) = connection else { continue };
            any = true;
            connection.trim();
            if let Some(end) = connection.overdue(&self.options.patience, now)
                && (connection.course() == Course::Leaving || !holds(connection.client()))
            {
                overdue.push((place, end));
            }
        }
        if any || !self.passages.is_empty() {
            self.schedule_sweep(now);
        } else {
            self.connections = Vec::new();
            self.free = Vec::new();
        }
        overdue
    }

    fn schedule_sweep(&mut self, now: Millis) {
        if self.next_sweep.is_none() {
            self.next_sweep = Some(now.after(SWEEP));
        }
    }
}
