//! Sending a batch: one send call per socket, and what to do when a message fails.

use std::io;
use std::os::fd::BorrowedFd;

use super::{Batch, Datagram, NONE, Run};
use crate::net::counters::Counters;
use crate::net::socket_id::SocketId;
use crate::net::sys::{self, Outbox};
use crate::turn::Family;

/// Where the batch finds the sockets it sends through.
pub trait Sockets {
    /// The socket, if it is still open.
    fn outlet(&mut self, socket: SocketId) -> Option<Outlet<'_>>;
}

/// A socket to send through.
pub struct Outlet<'s> {
    /// The open descriptor.
    pub socket: BorrowedFd<'s>,
    /// What is remembered about runs on this socket.
    pub runs: &'s mut RunLimit,
}

/// The longest datagram of which the kernel cuts runs apart on a socket; learned from its refusals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunLimit(pub(super) u16);

impl Default for RunLimit {
    fn default() -> Self {
        Self(u16::MAX)
    }
}

impl RunLimit {
    /// The segment size for a run of datagrams of this size, if the kernel takes one.
    pub(super) fn segment(self, size: u32) -> Option<u16> {
        u16::try_from(size).ok().filter(|size| *size <= self.0)
    }

    /// The kernel refused a run, but sends its datagrams.
    pub(super) fn lower(&mut self, refused: u16, errno: i32) {
        // EIO: the device cannot compute the checksums, so it refuses all runs. Otherwise they were too long for it.
        self.0 = if errno == libc::EIO { 0 } else { refused.saturating_sub(1) };
    }
}

/// One message of a send call: a run, or a single datagram of a run that is not sent as one.
pub(super) struct Planned {
    run: u32,
    first: u32,
    count: u32,
    bytes: u32,
    segment: Option<u16>,
}

impl Batch<'_> {
    /// Sends everything and forgets it. What cannot be sent is counted and dropped, and never holds up the rest.
    pub fn flush(&mut self, sockets: &mut impl Sockets, counters: &mut Counters) {
        for index in 0..self.groups.len() {
            let group = &self.groups[index];
            let Some(outlet) = sockets.outlet(group.socket) else {
                counters.dropped_closed += self.datagrams_in(group.first);
                continue;
            };
            let first = group.first;
            let waiting = Waiting { heads: &self.heads, datagrams: &self.datagrams, runs: &self.runs };
            let mut sending = Sending { waiting, outlet, counters };
            sending.plan(first, &mut self.plan);
            sending.send(&self.plan, &mut self.outbox);
            sending.send_unfragmented(first);
        }
        self.clear();
    }

    fn datagrams_in(&self, first: u32) -> u64 {
        chain(first, |run| self.runs[run].next).map(|run| u64::from(self.runs[run].count)).sum()
    }
}

/// What is to be sent, and the chains in it.
#[derive(Clone, Copy)]
struct Waiting<'b, 'a> {
    heads: &'b [u8],
    datagrams: &'b [Datagram<'a>],
    runs: &'b [Run],
}

impl<'b, 'a> Waiting<'b, 'a> {
    fn runs_from(self, first: u32) -> impl Iterator<Item = (u32, &'b Run)> {
        chain(first, move |run| self.runs[run].next).map(move |run| (super::index(run), &self.runs[run]))
    }

    fn datagrams_from(self, first: u32) -> impl Iterator<Item = (u32, &'b Datagram<'a>)> {
        chain(first, move |datagram| self.datagrams[datagram].next)
            .map(move |datagram| (super::index(datagram), &self.datagrams[datagram]))
    }
}

/// The sending of all runs of one socket.
struct Sending<'b, 'a> {
    waiting: Waiting<'b, 'a>,
    outlet: Outlet<'b>,
    counters: &'b mut Counters,
}

impl Sending<'_, '_> {
    /// Decides what becomes a message.
    fn plan(&self, first: u32, plan: &mut Vec<Planned>) {
        plan.clear();
        for (number, run) in self.waiting.runs_from(first).filter(|(_, run)| !run.dont_fragment) {
            let segment = if run.count > 1 { self.outlet.runs.segment(run.size) } else { None };
            if run.count == 1 || segment.is_some() {
                let Run { first, count, bytes, .. } = *run;
                plan.push(Planned { run: number, first, count, bytes, segment });
            } else {
                plan.extend(self.waiting.datagrams_from(run.first).map(|(first, datagram)| Planned {
                    run: number,
                    first,
                    count: 1,
                    bytes: datagram.size(),
                    segment: None,
                }));
            }
        }
    }

    fn send(&mut self, plan: &[Planned], outbox: &mut Outbox) {
        let mut parcel = outbox.parcel();
        for planned in plan {
            parcel.message(self.waiting.runs[planned.run as usize].to, planned.segment);
            for (_, datagram) in self.waiting.datagrams_from(planned.first).take(planned.count as usize) {
                datagram.parts(self.waiting.heads).into_iter().for_each(|part| parcel.part(part));
            }
        }
        let mut at = 0;
        let mut retried = None;
        while let Some(next) = plan.get(at) {
            self.counters.send_calls += 1;
            match parcel.send(self.outlet.socket, at) {
                Ok(sent) => {
                    // Zero is not to be expected; the datagram would be lost, but the loop must end.
                    let sent = sent.max(1);
                    plan[at..]
                        .iter()
                        .take(sent)
                        .for_each(|planned| self.count_sent(planned.count, planned.bytes));
                    at += sent;
                }
                Err(error) if retried != Some(at) && may_be_about_an_earlier_send(&error) => {
                    retried = Some(at);
                }
                Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => {
                    // The send buffer is the socket's, so what follows would fare no better.
                    self.counters.dropped_buffer_full +=
                        plan[at..].iter().map(|p| u64::from(p.count)).sum::<u64>();
                    return;
                }
                Err(error) => {
                    self.give_up(next, &error);
                    at += 1;
                }
            }
        }
    }

    /// A message cannot be sent: if it is a run, its datagrams still may be.
    fn give_up(&mut self, planned: &Planned, error: &io::Error) {
        let (Some(segment), Some(errno)) = (planned.segment, error.raw_os_error()) else {
            self.count_dropped(error, planned.count);
            return;
        };
        if !matches!(errno, libc::EIO | libc::EINVAL | libc::EMSGSIZE) {
            self.count_dropped(error, planned.count);
            return;
        }
        let before = self.counters.datagrams_sent;
        self.send_singly(&self.waiting.runs[planned.run as usize]);
        if self.counters.datagrams_sent > before {
            self.counters.segmentation_refused += 1;
            self.outlet.runs.lower(segment, errno);
        }
    }

    /// Sends the runs that must not be fragmented, with the socket in that state for as long as it takes.
    fn send_unfragmented(&mut self, first: u32) {
        for (_, run) in self.waiting.runs_from(first).filter(|(_, run)| run.dont_fragment) {
            let family = Family::of(run.to.ip());
            match sys::disable_fragmentation(self.outlet.socket, family) {
                Ok(()) => self.send_singly(run),
                Err(error) => self.count_dropped(&error, run.count),
            }
            let restored = sys::restore_fragmentation(self.outlet.socket, family);
            debug_assert!(restored.is_ok(), "{restored:?}");
        }
    }

    fn send_singly(&mut self, run: &Run) {
        for (_, datagram) in self.waiting.datagrams_from(run.first) {
            let parts = datagram.parts(self.waiting.heads);
            let send = || sys::send_one(self.outlet.socket, run.to, &parts);
            self.counters.send_calls += 1;
            let result = match send() {
                Err(error) if may_be_about_an_earlier_send(&error) => send(),
                result => result,
            };
            match result {
                Ok(()) => self.count_sent(1, datagram.size()),
                Err(error) => self.count_dropped(&error, 1),
            }
        }
    }

    fn count_sent(&mut self, datagrams: u32, bytes: u32) {
        self.counters.messages_sent += 1;
        self.counters.datagrams_sent += u64::from(datagrams);
        self.counters.bytes_sent += u64::from(bytes);
    }

    fn count_dropped(&mut self, error: &io::Error, datagrams: u32) {
        *reason(error, self.counters) += u64::from(datagrams);
    }
}

/// Follows a chain of indexes to its end.
fn chain(first: u32, next: impl Fn(usize) -> u32) -> impl Iterator<Item = usize> {
    let start = (first != NONE).then_some(first as usize);
    std::iter::successors(start, move |index| {
        Some(next(*index)).filter(|next| *next != NONE).map(|next| next as usize)
    })
}

/// The counter for datagrams that could not be sent for this reason.
fn reason<'c>(error: &io::Error, counters: &'c mut Counters) -> &'c mut u64 {
    match error.raw_os_error().unwrap_or_default() {
        libc::EAGAIN => &mut counters.dropped_buffer_full,
        libc::ENETUNREACH | libc::EHOSTUNREACH | libc::ENETDOWN | libc::EHOSTDOWN | libc::ECONNREFUSED => {
            &mut counters.dropped_unreachable
        }
        libc::EPERM | libc::EACCES => &mut counters.dropped_forbidden,
        libc::EMSGSIZE => &mut counters.dropped_too_long,
        libc::EINVAL | libc::EADDRNOTAVAIL | libc::EAFNOSUPPORT | libc::EDESTADDRREQ => {
            &mut counters.dropped_bad_address
        }
        libc::ENOBUFS | libc::ENOMEM => &mut counters.dropped_no_memory,
        _ => &mut counters.dropped_other,
    }
}

/// ICMP errors about earlier datagrams wait in the socket and are reported by the next call, whatever that sends. The
/// report takes them away, so the same call again shows whether it was about this datagram.
fn may_be_about_an_earlier_send(error: &io::Error) -> bool {
    !matches!(
        error.raw_os_error(),
        None | Some(libc::EAGAIN | libc::EINVAL | libc::EPERM | libc::ENOBUFS | libc::ENOMEM | libc::EIO)
    )
}
