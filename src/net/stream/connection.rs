//! One client's connection.

mod opening;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use mio::net::TcpStream;
use rustls::ProtocolVersion;

use super::arena::ArenaRound;
use super::caps::{CapReached, Place};
use super::end::End;
use super::pump::Side;
use super::session::{Contents, Greeter, READ_MAX, READ_ROOM, ReadEnd, Session};
use crate::net::counters::Counters;
use crate::net::outbox::Outbox;
use crate::turn::{FiveTuple, ListenerId, Millis, Transport};
use crate::wire::stream::FRAME_MAX;
use crate::wire::{Kind, kind};

/// A connection between accept and close.
pub(crate) struct Connection {
    socket: TcpStream,
    stage: Stage,
    session: Session,
    /// The beginning of a frame of which the rest has not arrived.
    inbox: Vec<u8>,
    outbox: Outbox,
    client: FiveTuple,
    place: Place,
    /// The last step on its way, or the last whole frame, was then.
    since: Millis,
    course: Course,
    /// Lists of the worker that it is in.
    pub(crate) marks: Marks,
}

/// How what arrives on a connection is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Course {
    /// As messages.
    Messages,
    /// As bytes for the peer at this place (RFC 6062 §3).
    Diverted(u32),
    /// By the worker with this number.
    Departing(u16),
    /// Not at all: it ends as soon as what waits to be sent is out.
    Leaving,
}

/// Which of its worker's lists a connection is in, so that it is in each of them once.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Marks {
    /// To be read from.
    pub(crate) queued: bool,
    /// To be written to.
    pub(crate) dirty: bool,
    /// Not read from until some of the outbox has been sent.
    pub(crate) paused: bool,
    /// The kernel has said that the other side is closed, which it says only once.
    pub(crate) hung_up: bool,
    /// Nothing more can be sent.
    pub(crate) broken: bool,
    /// To be found by its client's 5-tuple.
    pub(crate) entered: bool,
    /// Behind what waits to be sent, nothing more will come.
    pub(crate) ending: bool,
    /// The client knows that.
    shut: bool,
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// A load balancer has to say first whose connection it is.
    Announced(Security),
    /// Its first byte will tell whether it is TLS.
    Undecided,
    /// TLS is being agreed on.
    Handshake,
    /// Messages can pass; none has.
    Silent,
    /// Messages pass.
    Talking,
}

/// What a listener's connections begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// Messages.
    Plain,
    /// A TLS handshake.
    Tls,
    /// One or the other, told by the first byte.
    Either,
}

/// What is known of a connection when it is accepted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    /// The number of its listener.
    pub(crate) listener: u16,
    /// How its client begins.
    pub(crate) security: Security,
    /// Who it comes from.
    pub(crate) origin: Origin,
}

/// Who has connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A client.
    Client,
    /// A load balancer, for a client that it has to name.
    Balancer,
}

/// What one turn of reading brought.
pub(crate) struct Turn<'s> {
    /// The stream from the first byte that was not served before.
    pub(crate) bytes: &'s [u8],
    /// Nothing more is there at the moment.
    pub(crate) is_drained: bool,
    /// The connection has to end once these bytes are served.
    pub(crate) end: Option<ReadEnd>,
}

/// How long connections without an allocation may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// From accept until messages can pass.
    pub handshake: Duration,
    /// From there to the first whole message.
    pub first_request: Duration,
    /// From one message to the next.
    pub idle: Duration,
}

/// The longest message of a stranger: what comes before an allocation is this short.
pub(crate) const STRANGERS_FRAME_MAX: usize = 4096;
/// Room in the arena for one turn: what is kept of a frame, and what can be read at once.
pub(crate) const TURN_ROOM: usize = FRAME_MAX + READ_ROOM;
/// How long a client may take to read what was sent before its connection was to be closed.
const GOOD_BYE_MAX: Duration = Duration::from_secs(10);
/// Answers that fit into the outbox beyond the limit for relayed data.
const ANSWERS_ROOM: usize = 64 << 10;

impl Connection {
    pub(crate) fn new(
        socket: TcpStream,
        peer: SocketAddr,
        arrival: Arrival,
        place: Place,
        now: Millis,
    ) -> Self {
        let mut connection = Self {
            socket,
            stage: Stage::Announced(arrival.security),
            session: Session::Plain,
            inbox: Vec::new(),
            outbox: Outbox::default(),
            client: FiveTuple::new(peer, ListenerId::new(Transport::Tcp, arrival.listener)),
            place,
            since: now,
            course: Course::Messages,
            marks: Marks::default(),
        };
        if arrival.origin == Origin::Client {
            connection.begin(arrival.security);
        }
        connection
    }

    pub(crate) const fn socket(&mut self) -> &mut TcpStream {
        &mut self.socket
    }

    /// Who it belongs to; the transport is right once [`Self::is_open`].
    pub(crate) const fn client(&self) -> FiveTuple {
        self.client
    }

    /// The name that a TLS client asked for.
    pub(crate) fn sni(&self) -> Option<&str> {
        self.session.sni()
    }

    /// Counts it for its source.
    pub(crate) fn claim_place(&mut self) -> Result<(), CapReached> {
        self.place.claim(self.client.client().ip())
    }

    /// Whether messages can pass.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Silent | Stage::Talking)
    }

    /// Whether TLS is being agreed on.
    pub(crate) fn is_handshake(&self) -> bool {
        self.stage == Stage::Handshake
    }

    /// Counts the handshake it began with, if it is TLS.
    pub(crate) fn count_handshake(&self, counters: &mut Counters) {
        match self.session.tls_version() {
            None => {}
            Some(ProtocolVersion::TLSv1_3) => counters.tls13_handshakes += 1,
            // Nothing older is served.
            Some(_) => counters.tls12_handshakes += 1,
        }
    }

    /// Reads what is there, as much as one turn allows. The arena has [`TURN_ROOM`].
    pub(crate) fn receive<'s>(
        &mut self,
        greeter: Greeter<'_>,
        cipher: &mut [u8; READ_MAX],
        arena: &mut ArenaRound<'s>,
        now: Millis,
    ) -> Turn<'s> {
        if let Err(turn) = self.begin_to_listen(cipher, now) {
            return turn;
        }
        let Self { session, socket, inbox, .. } = self;
        if inbox.len() > FRAME_MAX {
            // Whole frames, kept while their client did not read its answers: there is no room for more.
            let (bytes, ()) = arena.fill(|free| {
                free[..inbox.len()].copy_from_slice(inbox);
                (inbox.len(), ())
            });
            return Turn { bytes, is_drained: false, end: None };
        }
        let (bytes, reading) = arena.fill(|free| {
            let kept = inbox.len();
            let (before, behind) = free.split_at_mut(kept);
            before.copy_from_slice(inbox);
            let reading = session.read(socket, greeter, cipher, behind);
            (kept + reading.length, reading)
        });
        if self.stage == Stage::Handshake && self.session.is_open() {
            self.stage = Stage::Silent;
            self.since = now;
        }
        Turn { bytes, is_drained: reading.is_drained && !self.marks.hung_up, end: reading.end }
    }

    /// A whole frame has arrived. A stream begins with a STUN message: without one there can be no channel, and what
    /// looks like one is text.
    pub(crate) fn heard(&mut self, frame: &[u8], now: Millis) -> Result<(), End> {
        if self.stage == Stage::Silent && kind(frame) != Kind::Stun {
            return Err(End::Garbage);
        }
        self.stage = Stage::Talking;
        self.since = now;
        Ok(())
    }

    /// How it is served.
    pub(crate) const fn course(&self) -> Course {
        self.course
    }

    /// Changes that while it is being served: what was kept of a frame has been.
    pub(crate) fn set_course(&mut self, course: Course) {
        self.course = course;
        self.inbox = Vec::new();
    }

    /// Lets it end as soon as what waits to be sent is out.
    pub(crate) fn dismiss(&mut self, now: Millis) {
        self.course = Course::Leaving;
        self.marks.ending = true;
        self.since = now;
        self.inbox = Vec::new();
    }

    /// Prepares it for another worker: what was not served, and no lists.
    pub(crate) fn pack(&mut self, unserved: &[u8]) {
        self.keep(unserved);
        self.course = Course::Messages;
        self.marks = Marks { entered: true, ..Marks::default() };
    }

    /// Bytes that wait to be sent.
    pub(crate) const fn waiting(&self) -> usize {
        self.outbox.len()
    }

    /// Takes bytes that are to be sent as they are.
    pub(crate) fn pour(&mut self, bytes: &[u8]) {
        self.outbox.push(bytes, &[], 0);
    }

    /// Tells the client that this was all, once it was.
    pub(crate) fn end_when_all_is_said(&mut self) {
        if !self.marks.ending || self.marks.shut || !self.outbox.is_empty() || self.session.wants_write() {
            return;
        }
        self.marks.shut = true;
        self.session.close();
        // If it is broken there is nobody to tell.
        let _ = self.write().map(|_| self.socket.shutdown(std::net::Shutdown::Write));
    }

    /// How much of a frame has arrived and been kept.
    pub(crate) const fn kept(&self) -> usize {
        self.inbox.len()
    }

    /// Keeps the beginning of a frame until more of it arrives.
    pub(crate) fn keep(&mut self, part: &[u8]) {
        self.inbox.clear();
        self.inbox.extend_from_slice(part);
        if part.is_empty() {
            self.inbox.shrink_to(STRANGERS_FRAME_MAX);
        }
    }

    /// Takes a frame to be sent; says whether there was room for it. Beyond `limit` there is none for relayed data.
    #[inline]
    pub(crate) fn send(&mut self, head: &[u8], payload: &[u8], padding: u8, limit: usize) -> bool {
        let length = self.outbox.len() + head.len() + payload.len() + usize::from(padding);
        if length > limit && (is_relayed(head) || length > limit + ANSWERS_ROOM) {
            return false;
        }
        self.outbox.push(head, payload, padding);
        true
    }

    /// Whether something waits to be sent that is not in the outbox.
    pub(crate) fn has_more_to_say(&self) -> bool {
        self.session.wants_write()
    }

    /// Gives back room that has not been needed for a while.
    pub(crate) fn trim(&mut self) {
        self.outbox.trim();
    }

    /// Whether its first message is still to come.
    pub(crate) const fn is_silent(&self) -> bool {
        matches!(self.stage, Stage::Silent)
    }

    /// Whether it is for a web server: it says so, or it does not begin like STUN.
    pub(crate) fn is_foreign(&self, begin: &[u8]) -> bool {
        self.is_silent() && (self.session.is_web() || !begin.is_empty() && kind(begin) != Kind::Stun)
    }

    /// Lets go of what it consists of.
    pub(crate) fn into_parts(self) -> (Side, Place) {
        (Side::new(self.socket, self.session), self.place)
    }

    /// Whether so many answers wait that no more requests are taken.
    pub(crate) const fn is_clogged(&self, limit: usize) -> bool {
        self.outbox.len() > limit + ANSWERS_ROOM / 2
    }

    /// Writes as much as the connection takes. Returns how much of the outbox has gone.
    pub(crate) fn write(&mut self) -> io::Result<usize> {
        let before = self.outbox.len();
        let contents = match self.course {
            Course::Diverted(_) => Contents::Bytes,
            Course::Messages | Course::Departing(_) | Course::Leaving => Contents::Messages,
        };
        self.session.write(&self.socket, &mut self.outbox, contents)?;
        Ok(before - self.outbox.len())
    }

    /// Says good-bye as well as it can be done without waiting.
    pub(crate) fn close(&mut self) {
        // If it is broken there is nobody to tell. What waits goes first: TLS sends nothing behind its good-bye.
        let _ = self.write();
        self.session.close();
        let _ = self.write();
    }

    /// Why it has to end, if it has taken too long. Who holds an allocation may be silent: that has a lifetime.
    pub(crate) fn overdue(&self, patience: &Patience, now: Millis) -> Option<End> {
        if self.course == Course::Leaving {
            return (now.since(self.since) > GOOD_BYE_MAX).then_some(End::Dismissed);
        }
        let (limit, end) = match self.stage {
            Stage::Announced(_) | Stage::Undecided | Stage::Handshake => {
                (patience.handshake, End::HandshakeTimeout)
            }
            Stage::Silent => (patience.first_request, End::FirstRequestTimeout),
            Stage::Talking => (patience.idle, End::Idle),
        };
        (now.since(self.since) > limit).then_some(end)
    }
}

/// Whether a frame is relayed data, which may be lost, and not an answer.
fn is_relayed(head: &[u8]) -> bool {
    const DATA_INDICATION: [u8; 2] = [0x00, 0x17];
    matches!(kind(head), Kind::ChannelData | Kind::OldChannelData) || head.starts_with(&DATA_INDICATION)
}
