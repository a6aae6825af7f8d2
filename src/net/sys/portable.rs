//! Any Unix: one datagram per system call, no joining, no error queue.

use std::io::{self, IoSlice};
use std::marker::PhantomData;
use std::mem::{self, ManuallyDrop};
use std::net::{SocketAddr, UdpSocket};
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd};

use super::{IcmpReport, LARGEST_MESSAGE, Message, SMALL_SLOT, SlotSize};
use crate::turn::Family;

/// Datagrams that may go out as one message: the kernel does not cut.
pub const MAX_SEGMENTS: usize = 1;

/// Whether the DF bit can be set for a single datagram.
pub const DONT_FRAGMENT: bool = false;

/// Whether sockets here have an error queue.
pub const ERROR_QUEUE: bool = false;

/// Memory for a number of received datagrams.
pub struct Slots(Vec<u8>);

impl Slots {
    /// Memory for `count` datagrams at once. What is never touched never becomes resident.
    pub fn new(count: usize) -> Self {
        Self(vec![0; count * SLOT_STRIDE])
    }

    /// Starts over: all memory is free, and what is received lives until the round is dropped.
    pub fn round(&mut self) -> Round<'_> {
        Round { rest: &mut self.0 }
    }
}

/// A plain 64 KiB stride would map the starts of all slots to one set of the first-level cache.
const SLOT_STRIDE: usize = 64 * 1024 + 4096 + 192;
const _: () = assert!(SLOT_STRIDE >= LARGEST_MESSAGE);

/// The time between two [`Slots::round`]s.
pub struct Round<'s> {
    rest: &'s mut [u8],
}

impl<'s> Round<'s> {
    /// Slots that are still free.
    pub fn free(&self) -> usize {
        self.rest.len() / SLOT_STRIDE
    }

    /// Receives up to `limit` datagrams, or fewer if fewer slots are free.
    pub fn receive(&mut self, socket: BorrowedFd<'_>, limit: usize, _: SlotSize) -> io::Result<Received<'s>> {
        let mut messages = Vec::with_capacity(limit.min(self.free()));
        let mut drained = false;
        while messages.len() < limit && self.free() > 0 && !drained {
            match with_std(socket, |socket| socket.recv_from(&mut self.rest[..SLOT_STRIDE])) {
                Ok((length, from)) => {
                    let (slot, rest) = mem::take(&mut self.rest).split_at_mut(SLOT_STRIDE);
                    self.rest = rest;
                    let bytes = &slot[..length];
                    messages.push(Message {
                        from,
                        bytes,
                        segment: length.max(1),
                        truncated: false,
                        lost: None,
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => drained = true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if messages.is_empty() => return Err(error),
                Err(_) => break,
            }
        }
        Ok(Received { messages: messages.into_iter(), drained })
    }
}

/// The messages of one receive call.
pub struct Received<'s> {
    messages: std::vec::IntoIter<Message<'s>>,
    drained: bool,
}

impl Received<'_> {
    /// The socket had nothing more, so a new readiness event will tell when it has.
    pub fn is_drained(&self) -> bool {
        self.drained
    }
}

impl<'s> Iterator for Received<'s> {
    type Item = Message<'s>;

    fn next(&mut self) -> Option<Message<'s>> {
        self.messages.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.messages.size_hint()
    }
}

/// The memory that the messages of a send call are gathered in, kept from call to call.
#[derive(Default)]
pub struct Outbox {
    messages: Vec<(SocketAddr, Range<usize>)>,
    bytes: Vec<u8>,
}

impl Outbox {
    /// Room for this many messages before anything has to grow, and for about as much data.
    pub fn with_capacity(messages: usize, _parts: usize) -> Self {
        Self { messages: Vec::with_capacity(messages), bytes: Vec::with_capacity(messages * SMALL_SLOT) }
    }

    /// An empty parcel.
    pub fn parcel<'d>(&mut self) -> Parcel<'_, 'd> {
        self.messages.clear();
        self.bytes.clear();
        Parcel { outbox: self, parts: PhantomData }
    }
}

/// Messages that go out through one socket, each gathered from parts.
pub struct Parcel<'o, 'd> {
    outbox: &'o mut Outbox,
    parts: PhantomData<&'d [u8]>,
}

impl<'d> Parcel<'_, 'd> {
    /// Begins a message. `segment` is for systems where [`MAX_SEGMENTS`] is larger than one.
    pub fn message(&mut self, to: SocketAddr, segment: Option<u16>) {
        debug_assert!(segment.is_none(), "the kernel does not cut here");
        let begin = self.outbox.bytes.len();
        self.outbox.messages.push((to, begin..begin));
    }

    /// Adds bytes to the message begun last.
    pub fn part(&mut self, bytes: &'d [u8]) {
        self.outbox.bytes.extend_from_slice(bytes);
        if let Some((_, range)) = self.outbox.messages.last_mut() {
            range.end = self.outbox.bytes.len();
        }
    }

    /// How many messages there are.
    pub fn len(&self) -> usize {
        self.outbox.messages.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.outbox.messages.is_empty()
    }

    /// Sends the messages from index `from` on; says how many went, which is at least one. The first that cannot
    /// be sent ends the call, and is the error if it is also the first of all.
    pub fn send(&mut self, socket: BorrowedFd<'_>, from: usize) -> io::Result<usize> {
        let mut sent = 0;
        for (to, range) in self.outbox.messages.iter().skip(from) {
            match with_std(socket, |socket| socket.send_to(&self.outbox.bytes[range.clone()], to)) {
                Ok(_) => sent += 1,
                Err(error) if sent == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(sent)
    }
}

/// Sends one datagram made of parts.
pub fn send_one(socket: BorrowedFd<'_>, to: SocketAddr, parts: &[&[u8]]) -> io::Result<()> {
    let mut slices = [IoSlice::new(&[]); 4];
    for (slot, part) in slices.iter_mut().zip(parts) {
        *slot = IoSlice::new(part);
    }
    debug_assert!(parts.len() <= slices.len(), "a datagram has a head, a payload and padding");
    socket2::SockRef::from(&socket).send_to_vectored(&slices, &to.into()).map(drop)
}

/// There is nothing to turn on.
pub fn enable_offloads(_: BorrowedFd<'_>) {}

/// There is no error queue.
pub fn enable_error_queue(_: BorrowedFd<'_>, _: Family) -> io::Result<()> {
    Ok(())
}

/// Takes one entry from the error queue; there is none.
pub fn read_error(_: BorrowedFd<'_>) -> io::Result<Option<IcmpReport>> {
    Ok(None)
}

/// Lets routers or this host fragment what is sent, which is how sockets start.
pub fn restore_fragmentation(_: BorrowedFd<'_>, _: Family) -> io::Result<()> {
    Ok(())
}

/// The DF bit cannot be set here; the caller learns it and drops the datagram, as RFC 8656 §15 wants it.
pub fn disable_fragmentation(_: BorrowedFd<'_>, _: Family) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Lends the descriptor to the standard library.
fn with_std<T>(socket: BorrowedFd<'_>, use_it: impl FnOnce(&UdpSocket) -> T) -> T {
    // SAFETY: the descriptor stays open during the call, since it is borrowed, and is not closed after it, since
    // the socket is not dropped.
    let socket = ManuallyDrop::new(unsafe { UdpSocket::from_raw_fd(socket.as_raw_fd()) });
    use_it(&socket)
}
