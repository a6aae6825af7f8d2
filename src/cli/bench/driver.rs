//! Carries clients through their plans: a bounded number at a time, on one thread, lost requests sent again.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use super::io::is_full;
use super::link::{Desk, Link};
use super::session::{Failure, Progress, Session, Step};

/// A session and what it speaks through.
pub(super) struct Client {
    pub(super) link: Link,
    pub(super) session: Session,
}

/// How a run of clients went.
#[derive(Default)]
pub(super) struct Outcome {
    pub(super) done: u64,
    pub(super) retransmissions: u64,
    pub(super) failures: BTreeMap<Failure, u64>,
}

/// Takes clients (whose plans have begun) from `next` until it has no more, and hands back each that succeeded.
/// At most `in_flight` of them are under way at a time.
pub(super) fn drive(
    server: SocketAddr,
    in_flight: usize,
    mut next: impl FnMut() -> Result<Option<Client>>,
    mut done: impl FnMut(Client),
) -> Result<Outcome> {
    let mut driver = Driver::new(server, in_flight)?;
    let mut events = Events::with_capacity(in_flight);
    loop {
        while let Some(at) = driver.free.pop() {
            match next()? {
                Some(client) => driver.start(at, client)?,
                None => {
                    driver.free.push(at);
                    break;
                }
            }
        }
        if driver.free.len() == in_flight {
            return Ok(driver.outcome);
        }
        match driver.poll.poll(&mut events, Some(TICK)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            result => result.context("cannot wait for answers")?,
        }
        for event in &events {
            driver.on_ready(event.token().0, &mut done)?;
        }
        driver.retransmit()?;
        // A wake-up for each answer would cost more than the answer.
        std::thread::sleep(GATHER);
    }
}

struct Driver {
    server: SocketAddr,
    poll: Poll,
    desk: Desk,
    slots: Vec<Option<Slot>>,
    free: Vec<usize>,
    next_check: Instant,
    outcome: Outcome,
}

struct Slot {
    client: Client,
    resend_at: Instant,
    tries: u32,
}

impl Driver {
    fn new(server: SocketAddr, in_flight: usize) -> Result<Self> {
        Ok(Self {
            server,
            poll: Poll::new().context("cannot make a poll")?,
            desk: Desk::new(false),
            slots: std::iter::repeat_with(|| None).take(in_flight).collect(),
            free: (0..in_flight).rev().collect(),
            next_check: Instant::now() + TICK,
            outcome: Outcome::default(),
        })
    }

    fn start(&mut self, at: usize, client: Client) -> Result<()> {
        let fd = client.link.as_raw_fd();
        // A connection is writable once it is established, and again when it takes what it did not take before.
        let interest = match client.link.is_stream() {
            true => Interest::READABLE | Interest::WRITABLE,
            false => Interest::READABLE,
        };
        let registry = self.poll.registry();
        registry.register(&mut SourceFd(&fd), Token(at), interest).context("cannot watch a socket")?;
        self.slots[at] = Some(Slot::new(client));
        self.send(at)
    }

    /// Sends the open request of a slot. A full send buffer is left to the retransmission.
    fn send(&mut self, at: usize) -> Result<()> {
        let Self { slots, desk, server, .. } = self;
        let Some(slot) = &mut slots[at] else { return Ok(()) };
        let Client { link, session } = &mut slot.client;
        let request = session.request();
        match link.send(*server, desk, request, request.len()) {
            Err(error) if !is_full(&error) => {
                let failure = failure(error, session.step()).context("cannot send to the server")?;
                self.end(at).map(|_| self.note(failure))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn on_ready(&mut self, at: usize, done: &mut impl FnMut(Client)) -> Result<()> {
        let Some(slot) = &mut self.slots[at] else { return Ok(()) };
        let Client { link, session } = &mut slot.client;
        let mut progress = Progress::Ignored;
        let each = |message: &[u8]| {
            if progress == Progress::Ignored {
                progress = session.on_datagram(message);
            }
        };
        let received = link.flush().and_then(|()| link.receive(&mut self.desk, each));
        if let (Err(error), Progress::Ignored | Progress::Next) = (received, progress) {
            let failure = failure(error, session.step()).context("cannot receive from the server")?;
            progress = Progress::Failed(failure);
        }
        match progress {
            Progress::Ignored => Ok(()),
            Progress::Next => {
                slot.restart_timer();
                // Edge-triggered, yet nothing can be missed: the answer to what is sent now raises a new edge.
                self.send(at)
            }
            Progress::Done => {
                self.outcome.done += 1;
                self.end(at).map(|client| client.map_or((), done))
            }
            Progress::Failed(failure) => self.end(at).map(|_| self.note(failure)),
        }
    }

    /// RFC 8489 §6.2.1: again after RTO, 2 RTO, 4 RTO ..., given up after `LAST_TRY`.
    fn retransmit(&mut self) -> Result<()> {
        let now = Instant::now();
        if now < self.next_check {
            return Ok(());
        }
        self.next_check = now + TICK;
        for at in 0..self.slots.len() {
            match &mut self.slots[at] {
                Some(slot) if slot.resend_at <= now && slot.tries < LAST_TRY => {
                    slot.tries += 1;
                    slot.resend_at = now + RTO * 2u32.pow(slot.tries);
                    // What a connection has taken it delivers (RFC 8489 §6.2.2).
                    if !slot.client.link.is_stream() {
                        self.outcome.retransmissions += 1;
                        self.send(at)?;
                    }
                }
                Some(slot) if slot.resend_at <= now => {
                    let failure = Failure::Timeout(slot.client.session.step());
                    self.end(at)?;
                    self.note(failure);
                }
                Some(_) | None => {}
            }
        }
        Ok(())
    }

    fn end(&mut self, at: usize) -> Result<Option<Client>> {
        let Some(slot) = self.slots[at].take() else { return Ok(None) };
        let fd = slot.client.link.as_raw_fd();
        self.poll.registry().deregister(&mut SourceFd(&fd)).context("cannot stop watching a socket")?;
        self.free.push(at);
        Ok(Some(slot.client))
    }

    fn note(&mut self, failure: Failure) {
        *self.outcome.failures.entry(failure).or_default() += 1;
    }
}

/// What an error of a link means for the client. Some are not the server's fault and end the run.
fn failure(error: io::Error, step: Step) -> io::Result<Failure> {
    if error.kind() == ErrorKind::ConnectionRefused {
        Ok(Failure::Unreachable(step))
    } else if matches!(
        error.kind(),
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
    ) {
        Ok(Failure::Closed(step))
    } else {
        Err(error)
    }
}

impl Slot {
    fn new(client: Client) -> Self {
        Self { client, resend_at: Instant::now() + RTO, tries: 0 }
    }

    fn restart_timer(&mut self) {
        self.resend_at = Instant::now() + RTO;
        self.tries = 0;
    }
}

/// How long answers gather before they are looked at.
const GATHER: Duration = Duration::from_micros(200);
/// How often the timers are looked at.
const TICK: Duration = Duration::from_millis(50);
const RTO: Duration = Duration::from_millis(500);
/// 0.5 + 1 + 2 + 4 + 8 seconds.
const LAST_TRY: u32 = 4;

impl Outcome {
    pub(super) fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    /// The failures by kind, most frequent first in wording fit for a report.
    pub(super) fn failure_lines(&self) -> Vec<String> {
        self.failures.iter().map(|(failure, count)| format!("{count} x {failure}")).collect()
    }
}
