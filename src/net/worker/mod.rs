//! A worker: one thread, one poll, its own sockets and its own [`Core`].
//!
//! Workers share nothing on the packet path. A client's packets always reach the same worker (see
//! [`listener`](super::listener)), and the relay sockets of its allocation belong to that worker too.

mod connections;
mod core;
mod engine;
mod handle;
mod peers;
mod settings;
mod siblings;
mod sink;
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

pub use core::Core;
use engine::{Engine, Rooms, Sources};
use handle::Command;
#[cfg(test)]
pub(crate) use handle::Puppet;
pub use handle::{Busy, WorkerHandle, WorkerLine};
pub use settings::NetSettings;
pub use siblings::Siblings;

use super::batch::Batch;
use super::counters::Published;
use super::listener::WorkerListeners;
use super::peer::Peers;
use super::ports::RelayPorts;
use super::relay_sockets::RelaySockets;
use super::socket_id::SocketId;
use super::stream::{Arena, Caps, Connection, StreamListener, StreamOptions, Streams};
use super::sys::Slots;
use super::sys::udp::BufferSizes;
use super::tls::TlsFailure;
use crate::turn::{Event, FiveTuple, Millis, Now, QueryId};

/// What a worker reports, for logs and accounting.
#[derive(Clone, Copy, Debug)]
pub enum Report<'a> {
    /// Its core says so.
    Core(Event<'a>),
    /// Its core wants somebody outside to be asked about a user; the answer goes to it as
    /// [`Input::KeyFound`](crate::turn::Input::KeyFound).
    FindKey {
        /// How the question is called.
        query: QueryId,
        /// Who claims to be the user.
        client: FiveTuple,
        /// The user name as the client sent it.
        user: &'a str,
    },
    /// A TLS connection failed.
    Tls {
        /// Whose.
        client: SocketAddr,
        /// The name it asked for.
        sni: Option<&'a str>,
        /// What went wrong.
        failure: TlsFailure<'a>,
    },
}

/// Who takes a worker's reports.
pub type Observer = Box<dyn FnMut(Report<'_>) + Send>;

/// Both clocks. Workers get copies of one, so that their times can be compared.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that begins now.
    #[expect(clippy::new_without_default, reason = "each has its own beginning")]
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }

    /// The time.
    pub fn now(self) -> Now {
        let mono = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Now { mono: Millis(mono), unix }
    }
}

/// How many workers to start: one per core that this process may use, the quota of a container included.
///
/// Where the kernel does not divide the clients among several sockets on one address, one worker serves them all.
pub fn worker_count() -> usize {
    if cfg!(any(target_os = "linux", target_os = "android")) {
        // Counts the affinity mask and the CPU quota of control groups, version 1 and 2.
        std::thread::available_parallelism().map_or(1, usize::from)
    } else {
        1
    }
}

/// What a worker needs beside its core.
pub struct Setup {
    /// Its sockets on all listening addresses for datagrams.
    pub listeners: WorkerListeners,
    /// Its sockets on all listening addresses for connections.
    pub stream_listeners: Vec<StreamListener>,
    /// What was decided about connections.
    pub streams: StreamOptions,
    /// How many connections there may be; shared by all workers.
    pub caps: Arc<Caps>,
    /// The way to the other workers.
    pub siblings: Siblings,
    /// The relay ports of the server.
    pub ports: Arc<RelayPorts>,
    /// Buffers of each relay socket.
    pub relay_buffers: BufferSizes,
    /// The server's clock.
    pub clock: Clock,
    /// Who hears of events.
    pub observer: Observer,
}

/// Starts a worker on a thread of its own.
pub fn start<C: Core + Send + 'static>(name: &str, setup: Setup, core: C) -> io::Result<WorkerHandle<C>> {
    let Setup { listeners, stream_listeners, streams, caps, siblings, ports, relay_buffers, clock, observer } =
        setup;
    let poll = Poll::new()?;
    for (listener, number) in listeners.iter().zip(0..) {
        if !listener.is_heard {
            continue;
        }
        let token = SocketId::listener(number).token();
        let socket = listener.inlet().0.as_raw_fd();
        poll.registry().register(&mut SourceFd(&socket), token, Interest::READABLE)?;
    }
    let mut streams = Streams::new(stream_listeners, streams, caps);
    streams.register(poll.registry())?;
    let waker = Arc::new(mio::Waker::new(poll.registry(), WAKER)?);
    let handed_over = siblings.open_door(waker.clone());
    let peers = Peers::new(streams.hasher());
    let published = Arc::new(Published::default());
    let (sender, commands) = handle::channel();
    let counters = Arc::clone(&published);
    let run = move || {
        let relays = RelaySockets::new(ports, relay_buffers);
        let engine = Engine::new(core, Sources { listeners, streams, relays, peers }, observer, siblings);
        Worker::new(poll, engine, (commands, handed_over), counters, clock).run();
    };
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(run)?;
    Ok(WorkerHandle::new(thread, WorkerLine::new(waker, sender, published)))
}

struct Worker<C> {
    poll: Poll,
    events: Events,
    slots: Slots,
    arena: Arena,
    /// Between rounds, when it borrows nothing.
    batch: Option<Batch<'static>>,
    engine: Engine<C>,
    commands: Receiver<Command<C>>,
    /// Connections from other workers.
    handed_over: Receiver<Box<Connection>>,
    published: Arc<Published>,
    clock: Clock,
    /// Somebody has put a command into the queue.
    called: bool,
    stopping: bool,
}

/// Messages received together; what is sent because of them goes out in one batch.
const SLOTS: usize = 64;
/// Datagrams served before looking at the clock, the commands and the other sockets again: while one socket is flooded,
/// all others wait this long, a tenth of a millisecond. Looking costs a hundredth of serving them.
const DATAGRAMS_PER_WAKEUP: usize = 32;
/// Sockets that one poll can report.
const EVENTS: usize = 1024;
/// Commands carried out per wake-up.
const COMMANDS_PER_WAKEUP: usize = 64;
/// Turns of connections that are still shaking hands, per wake-up.
const HANDSHAKES_PER_WAKEUP: usize = 2;
const WAKER: Token = Token(usize::MAX);

/// What a poll says about a socket.
#[derive(Clone, Copy)]
pub(super) struct Readiness {
    /// Something went wrong, or waits in the error queue.
    error: bool,
    /// It can be written to.
    writable: bool,
    /// The other side has closed.
    hung_up: bool,
}

impl Readiness {
    fn of(event: &mio::event::Event) -> Self {
        Self {
            error: event.is_error(),
            writable: event.is_writable(),
            hung_up: event.is_read_closed() || event.is_error(),
        }
    }
}

impl<C: Core> Worker<C> {
    fn new(
        poll: Poll,
        engine: Engine<C>,
        (commands, handed_over): (Receiver<Command<C>>, Receiver<Box<Connection>>),
        published: Arc<Published>,
        clock: Clock,
    ) -> Self {
        Self {
            poll,
            events: Events::with_capacity(EVENTS),
            slots: Slots::new(SLOTS),
            arena: Arena::default(),
            batch: None,
            engine,
            commands,
            handed_over,
            published,
            clock,
            called: false,
            stopping: false,
        }
    }

    fn run(mut self) {
        let mut now = self.clock.now();
        while !self.stopping {
            self.wait(now);
            now = self.clock.now();
            self.engine.counters.wakeups += 1;
            self.note_events();
            self.obey(now);
            self.report_errors(now);
            self.serve(now);
            self.shake_hands(now);
            self.engine.pass_on(now, &self.poll);
            self.expire(now);
            self.engine.write_streams();
            self.published.publish(&self.engine.counters);
        }
        self.engine.close_streams();
    }

    /// Waits until there is something to do. `now` is the time of the last wake-up: what has passed since only makes
    /// this one later by as much.
    fn wait(&mut self, now: Now) {
        let timeout = if self.engine.has_work() || self.called {
            Some(Duration::ZERO)
        } else {
            self.engine.next_deadline().map(|deadline| deadline.since(now.mono))
        };
        if let Err(error) = self.poll.poll(&mut self.events, timeout) {
            // The list of events is not touched then, and must not be read as news.
            self.events.clear();
            if error.kind() != io::ErrorKind::Interrupted {
                tracing::error!(%error, "waiting for sockets failed");
                self.stopping = true;
            }
        }
    }

    fn note_events(&mut self) {
        for event in &self.events {
            if event.token() == WAKER {
                self.called = true;
                continue;
            }
            let Ok(bits) = u32::try_from(event.token().0) else { continue };
            self.engine.note_ready(SocketId::from_bits(bits), Readiness::of(event));
        }
    }

    /// Carries out what others have asked for.
    fn obey(&mut self, now: Now) {
        if !std::mem::take(&mut self.called) {
            return;
        }
        self.adopt(now);
        for _ in 0..COMMANDS_PER_WAKEUP {
            match self.commands.try_recv() {
                Ok(Command::Stop) => self.stopping = true,
                Ok(Command::With(action)) => {
                    self.with_batch(|engine, batch, poll| {
                        engine.with_core(now, batch, poll, |core, out| action(core, now, out));
                    });
                }
                Ok(Command::Reconfigure(settings)) => self.engine.reconfigure(*settings),
                Err(_) => return,
            }
        }
        self.called = true;
    }

    /// Takes connections over that other workers have handed over.
    fn adopt(&mut self, now: Now) {
        for _ in 0..COMMANDS_PER_WAKEUP {
            let Ok(connection) = self.handed_over.try_recv() else { return };
            self.with_batch(|engine, batch, poll| engine.adopt(now, connection, batch, poll));
        }
        self.called = true;
    }

    fn report_errors(&mut self, now: Now) {
        if self.engine.has_errors() {
            self.with_batch(|engine, batch, poll| engine.report_errors(now, batch, poll));
        }
    }

    /// Receives and relays, round after round, until nothing is left or it is enough for one wake-up.
    fn serve(&mut self, now: Now) {
        let mut budget = DATAGRAMS_PER_WAKEUP;
        while budget > 0 && self.engine.has_ready() {
            let mut rooms = Rooms { round: self.slots.round(), arena: self.arena.round() };
            let mut batch = self.batch.take().unwrap_or_default().renew();
            while budget > 0 && rooms.are_free() && self.engine.has_ready() {
                let served = self.engine.serve_next(now, &mut rooms, &mut batch, &self.poll);
                budget = budget.saturating_sub(served.max(1));
            }
            self.engine.flush(&mut batch);
            self.batch = Some(batch.renew());
        }
    }

    /// Gives some of the connections a turn on which messages cannot pass yet. A handshake costs as much as hundreds of
    /// packets, so a crowd of new clients must not hold up those that are talking.
    fn shake_hands(&mut self, now: Now) {
        for _ in 0..HANDSHAKES_PER_WAKEUP {
            if !self.engine.has_handshakes() {
                return;
            }
            let mut arena = self.arena.round();
            let mut batch = self.batch.take().unwrap_or_default().renew();
            self.engine.serve_handshake(now, &mut arena, &mut batch, &self.poll);
            self.engine.flush(&mut batch);
            self.batch = Some(batch.renew());
        }
    }

    fn expire(&mut self, now: Now) {
        if self.engine.next_deadline().is_none_or(|deadline| deadline > now.mono) {
            return;
        }
        self.with_batch(|engine, batch, poll| {
            engine.sweep_streams(now, batch, poll);
            engine.wake_peers(now, batch, poll);
            if engine.core.next_deadline().is_some_and(|deadline| deadline <= now.mono) {
                engine.with_core(now, batch, poll, |core, mut out| core.expire(now, &mut out));
            }
        });
    }

    /// For outputs that have nothing to do with a received datagram.
    fn with_batch(&mut self, act: impl FnOnce(&mut Engine<C>, &mut Batch<'static>, &Poll)) {
        let mut batch = self.batch.take().unwrap_or_default();
        act(&mut self.engine, &mut batch, &self.poll);
        self.engine.flush(&mut batch);
        self.batch = Some(batch);
    }
}
