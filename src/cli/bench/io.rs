//! Batches in and bursts out, on top of the server's own door to the kernel.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;

use crate::net::sys::{Outbox, SlotSize, Slots, enable_offloads};

/// Receives in batches, for any number of sockets.
pub(super) struct Inbox {
    slots: Slots,
    size: SlotSize,
}

impl Inbox {
    /// `joined` says whether the kernel may hand over many datagrams as one; the sockets must then have been given to
    /// [`accept_joined`].
    pub(super) fn new(joined: bool) -> Self {
        let size = if joined { SlotSize::Large } else { SlotSize::Small };
        Self { slots: Slots::new(SLOTS), size }
    }

    /// Hands every datagram that waits at a socket to `each`.
    pub(super) fn empty(
        &mut self,
        socket: &UdpSocket,
        mut each: impl FnMut(SocketAddr, &[u8]),
    ) -> io::Result<()> {
        loop {
            let mut received = self.slots.round().receive(socket.as_fd(), SLOTS, self.size)?;
            for message in &mut received {
                for datagram in message.datagrams() {
                    each(message.from, datagram);
                }
            }
            if received.is_drained() {
                return Ok(());
            }
        }
    }
}

/// Lets the kernel join datagrams of one sender that arrive in a row.
pub(super) fn accept_joined(socket: &UdpSocket) {
    enable_offloads(socket.as_fd());
}

/// Sends bursts, each in one call.
pub(super) struct Sender {
    outbox: Outbox,
}

impl Sender {
    pub(super) fn new() -> Self {
        Self { outbox: Outbox::with_capacity(1, 1) }
    }

    /// Sends `bytes` as datagrams of `segment` bytes each.
    pub(super) fn send(
        &mut self,
        socket: &UdpSocket,
        to: SocketAddr,
        bytes: &[u8],
        segment: u16,
    ) -> io::Result<()> {
        let mut parcel = self.outbox.parcel();
        parcel.message(to, (usize::from(segment) < bytes.len()).then_some(segment));
        parcel.part(bytes);
        parcel.send(socket.as_fd(), 0).map(drop)
    }
}

/// Whether a send failed for want of room, so that the same may be tried again later.
pub(super) fn is_full(error: &io::Error) -> bool {
    error.kind() == ErrorKind::WouldBlock || error.raw_os_error() == Some(libc::ENOBUFS)
}

/// More than a socket usually holds when its turn comes.
const SLOTS: usize = 64;
