//! What goes out at the end of a receive batch.
//!
//! The kernel's UDP stack costs the same for one datagram as for a run of them, so the way to be fast is to pass runs
//! through it: consecutive or not, all datagrams of a batch that go from one socket to one address and have the same
//! length become one message that the kernel cuts apart (GSO). Order is kept per socket and address.
//!
//! Payloads are borrowed from the receive slots; heads (the header of a ChannelData message, a whole STUN answer) are
//! copied into the batch. Nothing is allocated once the batch has grown to its working size.

mod flush;
mod recent;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;

pub use flush::{Outlet, RunLimit, Sockets};
use recent::{Recent, Seen};

use super::socket_id::SocketId;
use super::sys::{MAX_RUN_BYTES, MAX_SEGMENTS, Outbox};

/// One datagram to send: head, payload and zeroes, one behind the other.
#[derive(Debug, Clone, Copy)]
pub struct Letter<'h, 'a> {
    /// Copied.
    pub head: &'h [u8],
    /// Borrowed from what was received.
    pub payload: &'a [u8],
    /// Zero bytes behind it, at most three.
    pub padding: u8,
    /// The datagram must not be fragmented on its way.
    pub dont_fragment: bool,
}

impl<'a> Letter<'static, 'a> {
    /// A datagram that is passed on as it is.
    pub const fn payload(payload: &'a [u8]) -> Self {
        Self { head: &[], payload, padding: 0, dont_fragment: false }
    }
}

/// Datagrams waiting to be sent, grouped by socket and joined to runs.
pub struct Batch<'a> {
    heads: Vec<u8>,
    datagrams: Vec<Datagram<'a>>,
    runs: Vec<Run>,
    groups: Vec<Group>,
    recent_runs: Recent,
    recent_groups: Recent,
    latest: usize,
    outbox: Outbox,
    plan: Vec<flush::Planned>,
}

struct Datagram<'a> {
    payload: &'a [u8],
    head: u32,
    head_length: u16,
    padding: u8,
    /// The next datagram of the same run.
    next: u32,
}

/// Datagrams to one address through one socket, all of `size` bytes but for the last, which may be shorter.
struct Run {
    socket: SocketId,
    to: SocketAddr,
    first: u32,
    last: u32,
    count: u32,
    size: u32,
    bytes: u32,
    /// Whether one more may be added.
    open: bool,
    dont_fragment: bool,
    /// Where it was entered in the table of recent runs.
    place: u16,
    /// The next run through the same socket.
    next: u32,
}

/// The runs that go through one socket.
struct Group {
    socket: SocketId,
    first: u32,
    last: u32,
    /// Where it was entered in the table of recent groups.
    place: u16,
}

/// End of a chain of indexes.
const NONE: u32 = u32::MAX;
/// Datagrams after which the batch asks to be flushed.
const FULL_AT: usize = 512;
/// Bytes of heads after which the batch asks to be flushed.
const HEADS_FULL_AT: usize = 64 * 1024;
/// More than one call into the core adds: a run that GRO joined has at most 64 datagrams on older kernels, 128 on newer.
const MARGIN: usize = 128;

impl Default for Batch<'_> {
    fn default() -> Self {
        let capacity = FULL_AT + MARGIN;
        Self {
            heads: Vec::with_capacity(HEADS_FULL_AT + MARGIN * 64),
            datagrams: Vec::with_capacity(capacity),
            runs: Vec::with_capacity(capacity),
            groups: Vec::with_capacity(capacity),
            recent_runs: Recent::new(),
            recent_groups: Recent::new(),
            latest: 0,
            outbox: Outbox::with_capacity(capacity, 3 * capacity),
            plan: Vec::with_capacity(capacity),
        }
    }
}

impl<'a> Batch<'a> {
    /// The same batch for payloads that live for another time. What is in it is forgotten; the memory is kept.
    pub fn renew<'b>(mut self) -> Batch<'b> {
        self.clear();
        Batch {
            heads: self.heads,
            // Never runs, as the vector is empty; the standard library collects in place, into the same memory.
            datagrams: self.datagrams.into_iter().map(|_| Datagram::EMPTY).collect(),
            runs: self.runs,
            groups: self.groups,
            recent_runs: self.recent_runs,
            recent_groups: self.recent_groups,
            latest: self.latest,
            outbox: self.outbox,
            plan: self.plan,
        }
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.datagrams.is_empty()
    }

    /// Whether it is time to flush. Adding more is still possible.
    pub fn is_full(&self) -> bool {
        self.datagrams.len() >= FULL_AT || self.heads.len() >= HEADS_FULL_AT
    }

    /// Whether something waits to be sent through this socket.
    pub fn uses(&self, socket: SocketId) -> bool {
        self.groups.iter().any(|group| group.socket == socket)
    }

    /// Adds a datagram to be sent through `socket`.
    pub fn push(&mut self, socket: SocketId, to: SocketAddr, letter: Letter<'_, 'a>) {
        let padding = letter.padding.min(MAX_PADDING);
        let (Ok(head_length), Ok(size)) = (
            u16::try_from(letter.head.len()),
            u32::try_from(letter.head.len() + letter.payload.len() + usize::from(padding)),
        ) else {
            debug_assert!(false, "a datagram is never longer than 64 KiB");
            return;
        };
        let (place, run) = self.find_run(socket, to);
        let run = run.filter(|run| self.runs[*run].admits(size, letter.dont_fragment));
        let head = self.store_head(letter.head, run);
        let index = index(self.datagrams.len());
        self.datagrams.push(Datagram { payload: letter.payload, head, head_length, padding, next: NONE });
        match run {
            Some(run) => self.append(run, index, size),
            None => self.begin_run(place, Run::new(socket, to, index, size, letter.dont_fragment)),
        }
    }

    /// The latest run through this socket to this address, and its place in the table.
    fn find_run(&mut self, socket: SocketId, to: SocketAddr) -> (u16, Option<usize>) {
        let matches = |run: &Run| run.socket == socket && run.to == to;
        if let Some(run) = self.runs.get(self.latest).filter(|run| matches(run)) {
            return (run.place, Some(self.latest));
        }
        let (place, found) = self.recent_runs.find(hash(socket, to), |run, place| match self.runs.get(run) {
            Some(run) if run.place == place && matches(run) => Seen::Wanted,
            Some(run) if run.place == place => Seen::Other,
            _ => Seen::Stale,
        });
        if let Some(run) = found {
            self.latest = run;
        }
        (place, found)
    }

    /// Copies a head, unless the datagram before in the same run has the same one.
    fn store_head(&mut self, head: &[u8], run: Option<usize>) -> u32 {
        if head.is_empty() {
            return 0;
        }
        if let Some(run) = run {
            let before = &self.datagrams[self.runs[run].last as usize];
            if before.head(&self.heads) == head {
                return before.head;
            }
        }
        let offset = index(self.heads.len());
        self.heads.extend_from_slice(head);
        offset
    }

    fn append(&mut self, run: usize, datagram: u32, size: u32) {
        let run = &mut self.runs[run];
        self.datagrams[run.last as usize].next = datagram;
        run.last = datagram;
        run.count += 1;
        run.bytes += size;
        run.open = size == run.size;
    }

    fn begin_run(&mut self, place: u16, run: Run) {
        let socket = run.socket;
        let new = self.runs.len();
        self.runs.push(Run { place, ..run });
        self.recent_runs.enter(place, new);
        self.latest = new;

        let (place, group) =
            self.recent_groups.find(mix(socket.to_bits()), |group, place| match self.groups.get(group) {
                Some(group) if group.place == place && group.socket == socket => Seen::Wanted,
                Some(group) if group.place == place => Seen::Other,
                _ => Seen::Stale,
            });
        let new = index(new);
        match group {
            Some(group) => {
                let group = &mut self.groups[group];
                self.runs[group.last as usize].next = new;
                group.last = new;
            }
            None => {
                self.recent_groups.enter(place, self.groups.len());
                self.groups.push(Group { socket, first: new, last: new, place });
            }
        }
    }

    fn clear(&mut self) {
        self.heads.clear();
        self.datagrams.clear();
        self.runs.clear();
        self.groups.clear();
    }
}

impl Run {
    const fn new(socket: SocketId, to: SocketAddr, datagram: u32, size: u32, dont_fragment: bool) -> Self {
        // An empty datagram cannot be part of a run: the kernel would not know where it is.
        let open = size > 0;
        let (first, last) = (datagram, datagram);
        Self {
            socket,
            to,
            first,
            last,
            count: 1,
            size,
            bytes: size,
            open,
            dont_fragment,
            place: 0,
            next: NONE,
        }
    }

    /// Whether a datagram of this size may join.
    fn admits(&self, size: u32, dont_fragment: bool) -> bool {
        self.open
            && self.dont_fragment == dont_fragment
            && (1..=self.size).contains(&size)
            && (self.count as usize) < MAX_SEGMENTS
            && (self.bytes + size) as usize <= MAX_RUN_BYTES
    }
}

impl<'a> Datagram<'a> {
    const EMPTY: Self = Self { payload: &[], head: 0, head_length: 0, padding: 0, next: NONE };

    fn head<'h>(&self, heads: &'h [u8]) -> &'h [u8] {
        let begin = self.head as usize;
        &heads[begin..begin + usize::from(self.head_length)]
    }

    /// Head, payload and padding.
    fn parts<'p>(&self, heads: &'p [u8]) -> [&'p [u8]; 3]
    where
        'a: 'p,
    {
        [self.head(heads), self.payload, &ZEROES[..usize::from(self.padding)]]
    }

    fn size(&self) -> u32 {
        index(usize::from(self.head_length) + self.payload.len() + usize::from(self.padding))
    }
}

/// STUN pads to four bytes.
const MAX_PADDING: u8 = 3;
static ZEROES: [u8; MAX_PADDING as usize] = [0; MAX_PADDING as usize];

fn hash(socket: SocketId, to: SocketAddr) -> u32 {
    let ip = match to {
        SocketAddr::V4(to) => u32::from(*to.ip()),
        SocketAddr::V6(to) => {
            let [.., a, b, c, d] = to.ip().octets();
            u32::from_be_bytes([a, b, c, d])
        }
    };
    mix(ip.rotate_left(16) ^ u32::from(to.port()) ^ socket.to_bits().rotate_left(8))
}

/// Multiplication by 2³²/φ brings all bits into the upper ones, which are those that are used.
const fn mix(bits: u32) -> u32 {
    bits.wrapping_mul(0x9E37_79B9) >> 16
}

/// Lengths and indexes in a batch: far below 2³², since it is flushed when it is full.
fn index(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(NONE)
}
