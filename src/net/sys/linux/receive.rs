//! Receive slots and `recvmmsg`.

use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use super::address::RawAddress;
use crate::net::sys::{LARGEST_MESSAGE, Message, SMALL_SLOT, SlotSize};

/// Memory for a number of messages, and the message headers that point into it, made once.
///
/// A message has a small slot and a large one. The small slots lie side by side; the large ones are only touched
/// (and so only become resident) by messages that need them.
pub struct Slots {
    // Only reached through the pointers below: no reference to these is ever made after `new`.
    small: Vec<u8>,
    large: Vec<u8>,
    names: Vec<RawAddress>,
    _controls: Vec<Control>,
    _iovecs: Vec<[libc::iovec; 3]>,
    /// With the small slot and the large one behind it.
    split_headers: Vec<libc::mmsghdr>,
    /// With the large slot alone.
    whole_headers: Vec<libc::mmsghdr>,
}

/// Room for what comes along with a message: a segment size and a count of lost datagrams, 24 bytes each.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; CONTROL_CAPACITY]);

const CONTROL_CAPACITY: usize = 64;

/// Free room in front of a large slot, into which the part in the small slot is moved when a message is longer.
const HEAD_ROOM: usize = SMALL_SLOT;
/// A plain 64 KiB stride would map the starts of all slots to one set of the first-level cache.
const LARGE_STRIDE: usize = 64 * 1024 + 4096 + 192;
const _: () = assert!(LARGE_STRIDE >= LARGEST_MESSAGE + HEAD_ROOM);

impl Slots {
    /// Memory for `count` messages at once.
    pub fn new(count: usize) -> Self {
        let mut small = vec![0; count * SMALL_SLOT];
        let mut large = vec![0; count * LARGE_STRIDE];
        let mut names = vec![RawAddress::empty(); count];
        let mut controls = vec![Control([0; CONTROL_CAPACITY]); count];
        let mut iovecs = Vec::with_capacity(count);
        for index in 0..count {
            // SAFETY: index < count, so both offsets are inside their allocations.
            let (small, large) = unsafe {
                (small.as_mut_ptr().add(index * SMALL_SLOT), large.as_mut_ptr().add(index * LARGE_STRIDE))
            };
            // SAFETY: the large slot has room for HEAD_ROOM and more (asserted above).
            let overflow = unsafe { large.add(HEAD_ROOM) };
            iovecs.push([
                iovec(small, SMALL_SLOT),
                iovec(overflow, LARGEST_MESSAGE),
                iovec(large, LARGEST_MESSAGE),
            ]);
        }
        let mut headers_at = |first: usize, parts: usize| -> Vec<libc::mmsghdr> {
            let header = |index: usize| {
                // SAFETY: zero is a value for every field of mmsghdr; index < count and first < 3.
                unsafe {
                    let mut header: libc::mmsghdr = std::mem::zeroed();
                    header.msg_hdr.msg_name = names.as_mut_ptr().add(index).cast();
                    header.msg_hdr.msg_namelen = RawAddress::CAPACITY;
                    header.msg_hdr.msg_iov = iovecs.as_mut_ptr().add(index).cast::<libc::iovec>().add(first);
                    header.msg_hdr.msg_iovlen = parts as _;
                    header.msg_hdr.msg_control = controls.as_mut_ptr().add(index).cast();
                    header.msg_hdr.msg_controllen = CONTROL_CAPACITY as _;
                    header
                }
            };
            (0..count).map(header).collect()
        };
        let (split_headers, whole_headers) = (headers_at(0, 2), headers_at(2, 1));
        Self { small, large, names, _controls: controls, _iovecs: iovecs, split_headers, whole_headers }
    }

    /// Starts over: every slot is free, and what is received lives until the round is dropped.
    pub fn round(&mut self) -> Round<'_> {
        let count = self.names.len();
        Round {
            small: self.small.as_mut_ptr(),
            large: self.large.as_mut_ptr(),
            names: self.names.as_mut_ptr(),
            split_headers: self.split_headers.as_mut_ptr(),
            whole_headers: self.whole_headers.as_mut_ptr(),
            count,
            next: 0,
            slots: PhantomData,
        }
    }
}

/// The time between two [`Slots::round`]s: each slot is filled at most once in it, so messages stay as they are.
pub struct Round<'s> {
    small: *mut u8,
    large: *mut u8,
    names: *mut RawAddress,
    split_headers: *mut libc::mmsghdr,
    whole_headers: *mut libc::mmsghdr,
    count: usize,
    next: usize,
    slots: PhantomData<&'s mut Slots>,
}

impl<'s> Round<'s> {
    /// Slots that are still free.
    pub fn free(&self) -> usize {
        self.count - self.next
    }

    /// Receives up to `limit` messages, or fewer if fewer slots are free.
    pub fn receive(
        &mut self,
        socket: BorrowedFd<'_>,
        limit: usize,
        size: SlotSize,
    ) -> io::Result<Received<'s>> {
        let limit = limit.min(self.free());
        let headers = match size {
            SlotSize::Small => self.split_headers,
            SlotSize::Large => self.whole_headers,
        };
        // SAFETY: next + limit <= count, so the headers are inside their allocation; each points to a name, a
        // control buffer and iovecs of its own slot, which no slice handed out in this round overlaps, because
        // slots below `next` are not received into again and those at or above it have not been handed out.
        let filled = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.add(self.next),
                libc::c_uint::try_from(limit).unwrap_or(libc::c_uint::MAX),
                libc::MSG_DONTWAIT as _,
                ptr::null_mut(),
            )
        };
        let (filled, drained) = match usize::try_from(filled) {
            Ok(filled) => (filled, filled < limit),
            Err(_) => {
                let error = io::Error::last_os_error();
                match error.raw_os_error() {
                    Some(libc::EAGAIN) => (0, true),
                    Some(libc::EINTR) => (0, false),
                    _ => return Err(error),
                }
            }
        };
        let first = self.next;
        self.next += filled;
        let Self { small, large, names, .. } = *self;
        let slots = PhantomData;
        Ok(Received { small, large, names, headers, size, next: first, end: self.next, drained, slots })
    }
}

/// The messages of one receive call.
pub struct Received<'s> {
    small: *mut u8,
    large: *mut u8,
    names: *mut RawAddress,
    headers: *mut libc::mmsghdr,
    size: SlotSize,
    next: usize,
    end: usize,
    drained: bool,
    slots: PhantomData<&'s mut Slots>,
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
        while self.next < self.end {
            let index = self.next;
            self.next += 1;
            if let Some(message) = self.take(index) {
                return Some(message);
            }
        }
        None
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.end - self.next))
    }
}

impl Drop for Received<'_> {
    fn drop(&mut self) {
        // Headers of messages nobody looked at must be ready for the next round as well.
        self.for_each(drop);
    }
}

impl<'s> Received<'s> {
    /// Reads what the kernel wrote about one message and makes its header ready for the next round.
    fn take(&mut self, index: usize) -> Option<Message<'s>> {
        // SAFETY: index < end <= count; the kernel is done with this header, and its slot belongs to this call alone,
        // so nobody else has a reference into it.
        let header = unsafe { &mut *self.headers.add(index) };
        let length = (header.msg_len as usize).min(LARGEST_MESSAGE);
        let aside = ancillary(&header.msg_hdr);
        let truncated = header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0;
        header.msg_hdr.msg_namelen = RawAddress::CAPACITY;
        header.msg_hdr.msg_controllen = CONTROL_CAPACITY as _;
        // SAFETY: index < count; the name was initialized at the start, and the kernel wrote at most all of it.
        let from = unsafe { (*self.names.add(index)).decode() }?;
        let bytes = self.bytes(index, length);
        let segment = match aside.segment {
            Some(segment) if segment > 0 => segment,
            _ => length.max(1),
        };
        Some(Message { from, bytes, segment, truncated, lost: aside.lost })
    }

    /// The payload in one piece.
    fn bytes(&mut self, index: usize, length: usize) -> &'s [u8] {
        // SAFETY: index < count, so both slots are inside their allocations. `length` bytes were written by the
        // kernel: the first SMALL_SLOT of them to the small slot and the rest HEAD_ROOM = SMALL_SLOT bytes into the
        // large one, or all of them to the start of the large one. The slices are valid for 's: the round borrows
        // the slots for 's, does not receive into this slot again, and makes no other reference to it.
        unsafe {
            let small = self.small.add(index * SMALL_SLOT);
            let large = self.large.add(index * LARGE_STRIDE);
            match self.size {
                SlotSize::Small if length <= SMALL_SLOT => std::slice::from_raw_parts(small, length),
                SlotSize::Small => {
                    ptr::copy_nonoverlapping(small, large, SMALL_SLOT);
                    std::slice::from_raw_parts(large, length)
                }
                SlotSize::Large => std::slice::from_raw_parts(large, length),
            }
        }
    }
}

/// What came along with a message.
#[derive(Default)]
struct Ancillary {
    segment: Option<usize>,
    lost: Option<u32>,
}

fn ancillary(header: &libc::msghdr) -> Ancillary {
    let mut found = Ancillary::default();
    // SAFETY: msg_control and msg_controllen describe a control buffer that the kernel has just filled; the CMSG
    // functions stay inside it, and data is read unaligned, as many bytes as the kernel documents for its type.
    unsafe {
        let mut next = libc::CMSG_FIRSTHDR(header);
        while let Some(control) = next.as_ref() {
            match (control.cmsg_level, control.cmsg_type) {
                (libc::SOL_UDP, libc::UDP_GRO) => {
                    let segment: libc::c_int = ptr::read_unaligned(libc::CMSG_DATA(control).cast());
                    found.segment = usize::try_from(segment).ok();
                }
                (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => {
                    found.lost = Some(ptr::read_unaligned(libc::CMSG_DATA(control).cast()));
                }
                _ => {}
            }
            next = libc::CMSG_NXTHDR(header, control);
        }
    }
    found
}

fn iovec(base: *mut u8, length: usize) -> libc::iovec {
    libc::iovec { iov_base: base.cast(), iov_len: length }
}
