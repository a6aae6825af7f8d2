//! Carries clients through their plans: a bounded number at a time, on one thread, lost requests sent again.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use super::session::{Failure, Progress, Session};

/// A session and the socket it speaks through, connected to the server.
pub(super) struct Client {
    pub(super) socket: UdpSocket,
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
    in_flight: usize,
    mut next: impl FnMut() -> Result<Option<Client>>,
    mut done: impl FnMut(Client),
) -> Result<Outcome> {
    let mut driver = Driver::new(in_flight)?;
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
    poll: Poll,
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
    fn new(in_flight: usize) -> Result<Self> {
        Ok(Self {
            poll: Poll::new().context("cannot make a poll")?,
            slots: std::iter::repeat_with(|| None).take(in_flight).collect(),
            free: (0..in_flight).rev().collect(),
            next_check: Instant::now() + TICK,
            outcome: Outcome::default(),
        })
    }

    fn start(&mut self, at: usize, client: Client) -> Result<()> {
        let fd = client.socket.as_raw_fd();
        let registry = self.poll.registry();
        registry
            .register(&mut SourceFd(&fd), Token(at), Interest::READABLE)
            .context("cannot watch a socket")?;
        self.slots[at] = Some(Slot::new(client));
        self.send(at)
    }

    /// Sends the open request of a slot. A full send buffer is left to the retransmission.
    fn send(&mut self, at: usize) -> Result<()> {
        let Some(slot) = &self.slots[at] else { return Ok(()) };
        match slot.client.socket.send(slot.client.session.request()) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                let failure = Failure::Unreachable(slot.client.session.step());
                self.end(at).map(|_| self.note(failure))
            }
            Err(error) => Err(error).context("cannot send to the server"),
        }
    }

    fn on_ready(&mut self, at: usize, done: &mut impl FnMut(Client)) -> Result<()> {
        let mut datagram = [0; 2048];
        while let Some(slot) = &mut self.slots[at] {
            let progress = match slot.client.socket.recv(&mut datagram) {
                Ok(length) => slot.client.session.on_datagram(&datagram[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                    Progress::Failed(Failure::Unreachable(slot.client.session.step()))
                }
                Err(error) => return Err(error).context("cannot receive from the server"),
            };
            match progress {
                Progress::Ignored => {}
                Progress::Next => {
                    slot.restart_timer();
                    self.send(at)?;
                    // Edge-triggered, yet nothing can be missed: the answer to what was just sent raises a new edge.
                    return Ok(());
                }
                Progress::Done => {
                    self.outcome.done += 1;
                    return self.end(at).map(|client| client.map_or((), done));
                }
                Progress::Failed(failure) => return self.end(at).map(|_| self.note(failure)),
            }
        }
        Ok(())
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
                    self.outcome.retransmissions += 1;
                    self.send(at)?;
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
        let fd = slot.client.socket.as_raw_fd();
        self.poll.registry().deregister(&mut SourceFd(&fd)).context("cannot stop watching a socket")?;
        self.free.push(at);
        Ok(Some(slot.client))
    }

    fn note(&mut self, failure: Failure) {
        *self.outcome.failures.entry(failure).or_default() += 1;
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
