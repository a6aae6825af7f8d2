//! The system calls of the packet path, behind a small safe door.
//!
//! This is the only module with `unsafe`. Two implementations have the same API:
//!
//! - `linux`: `recvmmsg` with `UDP_GRO`, `sendmmsg` with `UDP_SEGMENT`, the error queue of a socket;
//! - `portable`: one datagram per call, without an error queue, for every other Unix (and for Linux with the feature
//!   `portable`, so that the rest of `net` can be tested on top of it).
//!
//! Both hand out received datagrams as slices that live as long as the [`Round`] they were received in, so a batch
//! of sends can borrow them: nothing between receive and send copies a payload.

#![allow(unsafe_code)]

use std::net::SocketAddr;

pub mod clock;
pub mod descriptors;
pub mod host_name;
pub mod interfaces;
#[cfg(target_os = "linux")]
pub mod linux;
pub mod memory;
pub mod open_files;
#[cfg(any(not(target_os = "linux"), feature = "portable", test))]
pub mod portable;
pub mod process;
pub(crate) mod tcp;
#[cfg(test)]
pub(crate) mod tests;
pub mod udp;

#[cfg(all(target_os = "linux", not(feature = "portable")))]
use linux as imp;
#[cfg(any(not(target_os = "linux"), feature = "portable"))]
use portable as imp;

pub use imp::{
    DONT_FRAGMENT, ERROR_QUEUE, MAX_SEGMENTS, Outbox, Parcel, Received, Round, Slots, disable_fragmentation,
    enable_error_queue, enable_offloads, read_error, restore_fragmentation, send_one,
};

/// One datagram, or a run of datagrams of equal size that the kernel joined (GRO).
#[derive(Debug, Clone, Copy)]
pub struct Message<'s> {
    /// Who sent it.
    pub from: SocketAddr,
    /// The payload, or the payloads one behind the other.
    pub bytes: &'s [u8],
    /// Length of each datagram in `bytes`; only the last may be shorter. At least 1.
    pub segment: usize,
    /// The kernel had more than fits into the largest slot, so the end is missing.
    pub truncated: bool,
    /// Datagrams this socket has lost since it was opened because its receive buffer was full, if the kernel said so.
    pub lost: Option<u32>,
}

impl<'s> Message<'s> {
    /// The datagrams in it, in the order they were sent. An empty datagram is one.
    pub fn datagrams(&self) -> impl Iterator<Item = &'s [u8]> + use<'s> {
        let empty = self.bytes.is_empty().then_some(self.bytes);
        self.bytes.chunks(self.segment).chain(empty)
    }

    /// Whether the kernel joined datagrams, in which case large slots pay for this socket from now on.
    pub fn is_joined(&self) -> bool {
        self.bytes.len() > self.segment
    }
}

/// An ICMP message that came back for something a socket had sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IcmpReport {
    /// Where the datagram had been sent.
    pub peer: SocketAddr,
    /// ICMP or ICMPv6 type.
    pub kind: u8,
    /// Its code.
    pub code: u8,
    /// What came with it: the MTU of the next hop, or the pointer to the wrong byte.
    pub info: u32,
}

/// How a receive call lays the message out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotSize {
    /// The first 2 KiB into a small slot, so that a batch of single packets stays within few pages.
    Small,
    /// All of it into the large slot: for sockets on which the kernel joins datagrams.
    Large,
}

/// Bytes of a small slot: more than any datagram that fits an Ethernet frame.
pub const SMALL_SLOT: usize = 2048;
/// The longest message the kernel can hand out: a UDP length field, or a run that GRO joined.
pub const LARGEST_MESSAGE: usize = 65_535;
/// A GSO message may be no longer than one IP packet; a little room is left for its headers.
pub const MAX_RUN_BYTES: usize = 65_000;
